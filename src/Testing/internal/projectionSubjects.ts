import { projectionAwaitRules } from "./projectionAwaitRules.ts"
import { projectionFailureRules } from "./projectionFailureRules.ts"
import { projectionHistoryRules } from "./projectionHistoryRules.ts"
import { projectionOperatorRules } from "./projectionOperatorRules.ts"
import { projectionPartitionRules } from "./projectionPartitionRules.ts"
import { projectionRehearsalRules } from "./projectionRehearsalRules.ts"
import { projectionRules } from "./projectionRules.ts"
import { projectionSavepointRules } from "./projectionSavepointRules.ts"
import { projectionVersionRules } from "./projectionVersionRules.ts"
import type { Rules } from "./rule.ts"

/** What projections keep that are run, by subject. */
export const projectionSubjects: Readonly<Record<string, ReadonlyArray<Rules>>> = {
  "projections that are run": [projectionRules],
  "their partitions and runners": [projectionPartitionRules],
  "failures of their handlers": [projectionFailureRules],
  "transactions within theirs": [projectionSavepointRules],
  "their versions": [projectionVersionRules],
  "their operators": [projectionOperatorRules],
  "waiting for them": [projectionAwaitRules],
  "their histories": [projectionHistoryRules],
  "their rehearsals": [projectionRehearsalRules]
}
