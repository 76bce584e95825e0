/**
 * The contract of aggregates, as a test suite: what deciders and boundaries keep on the layers of this library, and what a layer of your own
 * has to keep so that they can stand on it.
 *
 * @since 0.1.0
 */
import { describe, layer as sharedLayer } from "@effect/vitest"
import type { Layer } from "effect"
import type { EventStore } from "../Store/EventStore.ts"
import { boundaryRules } from "./internal/boundaryRules.ts"
import { deciderAsOfRules } from "./internal/deciderAsOfRules.ts"
import { deciderCacheRules } from "./internal/deciderCacheRules.ts"
import { deciderRepeatRules } from "./internal/deciderRepeatRules.ts"
import { deciderRules } from "./internal/deciderRules.ts"
import { deciderSnapshotRules } from "./internal/deciderSnapshotRules.ts"
import { dynamicBoundaryRules } from "./internal/dynamicBoundaryRules.ts"
import { type Options, ruleOf, type Rules } from "./internal/rule.ts"

const subjects: Readonly<Record<string, Rules>> = {
  "commands on a stream": deciderRules,
  "commands that come again": deciderRepeatRules,
  "states, now and as they were": deciderAsOfRules,
  "states that are saved": deciderSnapshotRules,
  "states that are kept in the process": deciderCacheRules,
  "commands over several streams": boundaryRules,
  "commands over dynamic boundaries": dynamicBoundaryRules
}

/**
 * Declares the contract suite of aggregates for a layer: call it at the top of a test file, beside `EventStoreTest.suite`,
 * which the layer has to pass first. Every rule uses names of its own, so the store may hold other events, but nobody else
 * may write to it meanwhile.
 *
 * **Details** `transactions: "exclusive"` leaves out the rules that look at a transaction from outside while it is open:
 * for a store on a single connection, where other work has to wait until it ends.
 *
 * **Example**
 * ```ts
 * import { EventStore } from "effect-eventstore"
 * import { AggregateTest } from "effect-eventstore/Testing"
 *
 * AggregateTest.suite("memory", EventStore.layerMemory)
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
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`Aggregate (${name})`, (it) => {
    for (const [subject, declare] of Object.entries(subjects)) {
      describe(subject, () => declare(ruleOf(it), { transactions: "concurrent", ...options }))
    }
  })
