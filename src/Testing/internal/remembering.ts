import { Effect, Layer, type Scope } from "effect"
import { type Entry, EventStore } from "../../Store/EventStore.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import * as Decode from "../../Stream/Decode.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Store } from "./rule.ts"

/** A store of one's own in memory, in which some events happened. */
export const storeOf = (entries: ReadonlyArray<Entry>): Effect.Effect<Store, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { store } = yield* Effect.map(
      Layer.build(Layer.fresh(EventStore.layerMemory)),
      (context) => ({ store: context.mapUnsafe.get(EventStore.key) as Store })
    )
    yield* appendAll(store, entries)
    return store
  })

/** One after the other: a stream may stand in several. What cannot be appended is a mistake in the test. */
export const appendAll = (store: Store, entries: ReadonlyArray<Entry>): Effect.Effect<number> =>
  Effect.as(Effect.forEach(entries, (entry) => store.appendAll([entry]), { discard: true }), 0).pipe(
    Effect.andThen(store.head()),
    Effect.orDie
  )

/** What passes a filter, decoded. */
export const eventsOf = (
  store: Store,
  filter: LogFilter,
  decode: Decode.Decode<any, any>
): Effect.Effect<ReadonlyArray<Recorded<any>>, unknown, any> =>
  Effect.gen(function*() {
    const range = { direction: "forward", from: 1, to: Number.MAX_SAFE_INTEGER, limit: 1e9, bytes: 1e12 } as const
    const { events } = yield* store.storage.logPage(filter, range)
    const into: Array<Recorded<any>> = []
    yield* Decode.decodeFrom(decode, events, 0, into) ?? Effect.void
    return into
  })
