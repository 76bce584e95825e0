import type { Rules } from "./rule.ts"
export const projectionStorageModelRules: Rules = () => {}
