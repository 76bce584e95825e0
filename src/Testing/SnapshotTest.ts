/**
 * The contract of snapshots, as a test suite: what they keep on the layers of this library, and what a layer of your own has
 * to keep so that they can stand on it.
 *
 * @since 0.1.0
 */
import { describe, layer as sharedLayer } from "@effect/vitest"
import type { Layer } from "effect"
import type { EventStore } from "../Store/EventStore.ts"
import { type Options, ruleOf, type Rules } from "./internal/rule.ts"
import { besides, snapshotRulesIn } from "./internal/snapshotRules.ts"
import { snapshotOperatorRules, snapshotStorageRules } from "./internal/snapshotStorageRules.ts"

const subjects: Readonly<Record<string, ReadonlyArray<Rules>>> = {
  "what is kept of snapshots": [snapshotStorageRules],
  "operating snapshots": [snapshotOperatorRules],
  "states that are saved": [snapshotRulesIn("store")],
  "snapshots in the process": [besides(snapshotStorageRules), besides(snapshotOperatorRules)],
  "states that are saved in the process": [snapshotRulesIn("process")]
}

/**
 * Declares the contract suite of snapshots for a layer: call it at the top of a test file, beside `EventStoreTest.suite`, which
 * the layer has to pass first. Every rule uses names of its own, so the store may hold other events, but nobody else may
 * write to it meanwhile.
 *
 * **Details** `transactions: "exclusive"` leaves out the rules that look at a transaction from outside while it is open:
 * for a store on a single connection, where other work has to wait until it ends.
 *
 * **Example**
 * ```ts
 * import { EventStore } from "effect-eventstore"
 * import { SnapshotTest } from "effect-eventstore/Testing"
 *
 * SnapshotTest.suite("memory", EventStore.layerMemory)
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const suite = <E>(
  name: string,
  layer: Layer.Layer<EventStore, E>,
  options: Partial<Options> = {}
): void =>
  // real input and output stands still on the test clock
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`Snapshot (${name})`, (it) => {
    for (const [subject, rules] of Object.entries(subjects)) {
      describe(subject, () => {
        for (const declare of rules) declare(ruleOf(it), { transactions: "concurrent", ...options })
      })
    }
  })
