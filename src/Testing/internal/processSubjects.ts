import { processCommandRules } from "./processCommandRules.ts"
import { processRules } from "./processRules.ts"
import { processTimerRules } from "./processTimerRules.ts"
import type { Rules } from "./rule.ts"

/** What process managers keep, by subject. */
export const processSubjects: Readonly<Record<string, ReadonlyArray<Rules>>> = {
  "process managers": [processRules],
  "timers of processes": [processTimerRules],
  "commands of processes": [processCommandRules]
}
