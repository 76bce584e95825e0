/** Applies a definition to the log by hand, batch by batch: no runner, no leases, no checkpoint. */
import { Array as Arr, Effect } from "effect"
import type { EventStore, Recorded } from "effect-eventstore"
import { decodeAll } from "../../src/Projection/internal/decoding.ts"
import type { Definition } from "../../src/Projection/internal/definition.ts"

type Store = EventStore["Service"]

export interface Driving {
  /** Stored events of each transaction, in turns; the last number counts for all that are left. */
  readonly batches: ReadonlyArray<number>
  /** Whether the owner remembers what it kept from one transaction to the next. */
  readonly remembers?: boolean
  /** Transactions that fail at their end, and are run again. */
  readonly failing?: ReadonlySet<number>
}

/** Applies all that is stored behind a position. Answers the position of the last one, and the id under which things are kept. */
export const drive = (store: Store, definition: Definition, { batches, failing, remembers }: Driving, after = 0) =>
  Effect.gen(function*() {
    const { projections } = store.storage
    const filter = yield* definition.filter
    const { id } = yield* projections.register(
      { ...definition, filter },
      1,
      { position: 0, eventId: null }
    )
    const all = Number.MAX_SAFE_INTEGER
    let position = after
    let kept = new Map<string, unknown>()
    for (let i = 0;; i++) {
      const limit = batches[Math.min(i, batches.length - 1)]!
      const { events } = yield* store.storage.logPage(filter, {
        direction: "forward",
        from: position + 1,
        to: all,
        limit,
        bytes: all
      })
      if (events.length === 0) return { id, position }
      const recorded: Array<Recorded.Recorded<any>> = []
      const cause = yield* decodeAll(definition.decode, events, recorded)
      if (cause !== undefined) return yield* Effect.failCause(cause)
      position = events.at(-1)!.position
      if (!Arr.isReadonlyArrayNonEmpty(recorded)) continue
      const target = () => ({
        store,
        id,
        owns: () => true,
        isRebuild: false,
        isInline: false,
        ...(remembers === true ? { kept } : {})
      })
      const apply = Effect.suspend(() => definition.apply(target(), recorded))
      if (failing?.has(i) === true) {
        yield* Effect.flip(store.transaction(Effect.andThen(apply, Effect.fail("crash"))))
        kept = new Map()
      }
      yield* store.transaction(apply)
    }
  })
