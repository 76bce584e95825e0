import { type Array as Arr, Duration, Effect, type Scope, Stream } from "effect"
import * as LogFilter from "../../Store/LogFilter.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { inStore, until } from "./consuming.ts"
import { collect, equal, freshName, type Notes, type Store } from "./rule.ts"

/** A read model that appends keep: under each stream the ids of its events, with the versions they were handed over with. */
export interface Journal {
  readonly id: number
  readonly name: string
  readonly version: number
  /** Lets a process apply it, until the scope closes. */
  readonly runIn: (store: Store) => Effect.Effect<void, never, Scope.Scope>
  /** Catches up, and lets appends apply it from then on. */
  readonly activate: Effect.Effect<void, any>
  /** What the transactions that were stored have made of it. */
  readonly read: Effect.Effect<Readonly<Record<string, ReadonlyArray<string>>>, any>
  /** Shows that it holds what the log holds, nothing missing and nothing twice. */
  readonly isExact: Effect.Effect<void, any>
}

export interface JournalOptions {
  readonly name?: string | undefined
  readonly version?: number | undefined
  readonly types?: ReadonlyArray<string> | undefined
  /** What happens before events are put into it. */
  readonly before?: ((events: Arr.NonEmptyReadonlyArray<StoredEvent>) => Effect.Effect<unknown, unknown>) | undefined
}

/** A version of a projection that is to be inline; appends do not apply it before it is activated. */
export const makeJournal = (
  store: Store,
  { name: category }: Notes,
  { before, name = `p${freshName()}`, types, version = 1 }: JournalOptions = {}
): Effect.Effect<Journal, any, Scope.Scope> =>
  Effect.gen(function*() {
    const filter = { ...LogFilter.everything, categories: [category], types: types ?? null }
    const { projections } = store.storage
    const { id } = yield* projections.register(
      { name, version, filter, kind: "documents", isInline: true, schema: null },
      1,
      { position: 0, eventId: null }
    )
    // the storage outlives the rule, and need not look for this one any longer
    yield* Effect.addFinalizer(() => Effect.ignore(projections.pause(id)))

    const put = ({ storage: { projections: { documents } } }: Store) => (events: ReadonlyArray<StoredEvent>) =>
      Effect.gen(function*() {
        const byStream = Map.groupBy(events, ({ streamId }) => streamId)
        const known = yield* documents.load(id, [...byStream.keys()], { isLocking: true })
        // whoever else puts events into the same documents has time to be in the way
        yield* Effect.yieldNow
        yield* documents.save(
          id,
          [...byStream].map(([key, events]) => ({
            key,
            state: JSON.stringify([...JSON.parse(known.get(key) ?? "[]"), ...events.map(lineOf)])
          }))
        )
      })

    const activate = Effect.gen(function*() {
      const runner = freshName()
      const claim = { id, runner, lease: Duration.seconds(30), now: undefined }
      const step = Effect.gen(function*() {
        const [owned] = (yield* projections.claim(claim))!.partitions
        if (owned === undefined) return false
        const head = yield* store.head()
        const { events } = yield* store.storage.logPage(filter, {
          direction: "forward",
          from: owned.position + 1,
          to: head,
          limit: 100_000,
          bytes: Infinity
        })
        const { eventId } = yield* store.storage.identity(head)
        yield* projections.advanceWith({
          ...claim,
          partition: 0,
          epoch: owned.epoch,
          from: owned.position,
          to: head,
          eventId: eventId ?? null,
          handled: events.length,
          rate: 0,
          isCaughtUp: true
        }, put(store)(events))
        return yield* projections.completeWith(id, { isSwitching: true }, put(store))
      })
      yield* until(`${name} to be applied`, () => step)
      yield* projections.release(id, runner)
    })

    const read = Effect.gen(function*() {
      const page = yield* projections.documents.page(id, { prefix: "", after: "", limit: 10_000 })
      return Object.fromEntries(page.map(({ key, state }) => [key, JSON.parse(state)]))
    })

    const stored = Effect.map(
      inStore(store)(collect(Stream.filter(store.readAll(), ({ streamId }) => streamId.startsWith(`${category}-`)))),
      (events) =>
        Object.fromEntries(
          [...Map.groupBy(
            events.filter(({ type }) => types === undefined || types.includes(type)),
            ({ streamId }) => streamId
          )].map(([key, events]) => [key, events.map(lineOf)])
        )
    )

    return {
      id,
      name,
      version,
      runIn: (process) =>
        process.inline.register({
          id,
          name,
          version,
          filter,
          apply: (events) => Effect.andThen(before?.(events) ?? Effect.void, put(process)(events))
        }),
      activate,
      read,
      isExact: Effect.map(Effect.all([read, stored]), ([model, log]) => equal(model, log))
    }
  })

const lineOf = ({ eventId, streamVersion }: { readonly eventId: string; readonly streamVersion: number }): string =>
  `${streamVersion} ${eventId}`
