import { deriveRules } from "./deriveRules.ts"
import { inMemoryRules } from "./inMemoryRules.ts"
import { linkRules } from "./linkRules.ts"
import { patternRules } from "./patternRules.ts"
import type { Rules } from "./rule.ts"
import { viewRules } from "./viewRules.ts"

/** What is derived from events keeps, by subject. */
export const projectionKindSubjects: Readonly<Record<string, ReadonlyArray<Rules>>> = {
  "live views": [viewRules],
  "projections in memory": [inMemoryRules],
  links: [linkRules],
  "derived events": [deriveRules],
  patterns: [patternRules]
}
