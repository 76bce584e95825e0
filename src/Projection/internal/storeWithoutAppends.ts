import { Effect } from "effect"
import type { EventStore } from "../../Store/EventStore.ts"
import { InvalidInput } from "../../Store/StoreError.ts"

/** A store for handlers that are rehearsed: it reads as any other, and stores and changes nothing. */
export const withoutAppends = (store: EventStore["Service"]): EventStore["Service"] => ({
  ...store,
  append: refuse("append"),
  appendAll: refuse("appendAll"),
  appendIf: refuse("appendIf"),
  setMetadata: refuse("setMetadata"),
  truncateBefore: refuse("truncateBefore"),
  delete: refuse("delete"),
  tombstone: refuse("tombstone"),
  transaction: refuse("transaction")
})

const refuse = (field: string) => (): Effect.Effect<never, InvalidInput> =>
  Effect.fail(new InvalidInput({ field, problem: "is refused here: a rehearsal appends nothing" }))
