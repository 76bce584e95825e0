/**
 * The contract of an event store, as a test suite: what the layers of this library keep, and what a layer of your own
 * has to keep.
 *
 * @since 0.1.0
 */
import { describe, layer as sharedLayer } from "@effect/vitest"
import type { Layer } from "effect"
import type { EventStore } from "../Store/EventStore.ts"
import { appendAllRules } from "./internal/appendAllRules.ts"
import { appendIfRules } from "./internal/appendIfRules.ts"
import { appendRules } from "./internal/appendRules.ts"
import { badInputRules } from "./internal/badInputRules.ts"
import { codecRules, upcastRules } from "./internal/codecRules.ts"
import { concurrencyRules } from "./internal/concurrencyRules.ts"
import { idempotencyRules } from "./internal/idempotencyRules.ts"
import { metadataRules } from "./internal/metadataRules.ts"
import { readLogRules } from "./internal/readLogRules.ts"
import { readRules } from "./internal/readRules.ts"
import { type Options, ruleOf, type Rules } from "./internal/rule.ts"
import { streamRules } from "./internal/streamRules.ts"
import { transactionRules } from "./internal/transactionRules.ts"

const subjects: Readonly<Record<string, Rules>> = {
  append: appendRules,
  "concurrent appends": concurrencyRules,
  "repeated appends": idempotencyRules,
  appendAll: appendAllRules,
  appendIf: appendIfRules,
  read: readRules,
  "the log": readLogRules,
  streams: streamRules,
  transactions: transactionRules,
  "metadata and tags": metadataRules,
  "data of events": codecRules,
  "older events": upcastRules,
  "bad input": badInputRules
}

/**
 * Declares the contract suite for a layer: call it at the top of a test file. Every rule uses names of its own, so the
 * store may hold other events, but nobody else may write to it meanwhile.
 *
 * **Details** `transactions: "exclusive"` leaves out the rules that look at a transaction from outside while it is open:
 * for a store on a single connection, where other work has to wait until it ends.
 *
 * **Example**
 * ```ts
 * import { EventStore } from "effect-eventstore"
 * import { EventStoreTest } from "effect-eventstore/Testing"
 *
 * EventStoreTest.suite("memory", EventStore.layerMemory)
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
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`EventStore (${name})`, (it) => {
    for (const [subject, rules] of Object.entries(subjects)) {
      describe(subject, () => rules(ruleOf(it), { transactions: "concurrent", ...options }))
    }
  })
