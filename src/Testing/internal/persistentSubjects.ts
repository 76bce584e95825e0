import { persistentFailureRules } from "./persistentFailureRules.ts"
import { persistentLeaseRules } from "./persistentLeaseRules.ts"
import { persistentOperatorRules } from "./persistentOperatorRules.ts"
import { persistentRules } from "./persistentRules.ts"
import type { Rules } from "./rule.ts"

/** What persistent subscriptions keep, by subject. */
export const persistentSubjects: Readonly<Record<string, ReadonlyArray<Rules>>> = {
  "persistent subscriptions": [persistentRules],
  "failures of their handlers": [persistentFailureRules],
  "their leases and transactions": [persistentLeaseRules],
  "their operators, and deliveries in hand": [persistentOperatorRules]
}
