/* oxlint-disable unicorn/no-thenable -- given, when, then: refusingPromises keeps it from being awaited */
import { Effect, Schedule, Stream } from "effect"
import { EventData } from "../../Event/EventData.ts"
import * as Projection from "../../Projection/Projection.ts"
import type { View } from "../../Projection/View.ts"
import { type Entry, EventStore } from "../../Store/EventStore.ts"
import type * as Category from "../../Stream/Category.ts"
import { refusingPromises } from "./awaiting.ts"
import { expectSame, textOf } from "./expecting.ts"
import { appendAll, eventsOf, storeOf } from "./remembering.ts"

type Entries = ReadonlyArray<Entry>

export const documents = <S>(projection: Projection.Documents<S, any>, entries: Entries) => ({
  then: refusingPromises((expected) =>
    Effect.gen(function*() {
      const { definition } = projection
      const store = yield* storeOf(entries)
      const kept = new Map<string, string>()
      const target = {
        store: { ...store, storage: { ...store.storage, projections: projectionsOf(kept) } },
        id: 1,
        owns: () => true,
        isRebuild: false,
        isInline: false
      }
      const events = yield* eventsOf(store, yield* definition.filter, definition.decode)
      for (const recorded of events) yield* definition.apply(target as never, [recorded])
      const decode = projection.decoderOf(definition.version)!
      const actual = Object.fromEntries([...kept].map(([key, text]) => [key, decode(text)]))
      expectSame(`${givenOf(entries)}, other documents were expected`, actual, expected)
    }).pipe(Effect.scoped, Effect.orDie)
  )
})

/** Documents in a map: all that applying asks of a storage. */
const projectionsOf = (kept: Map<string, string>) => ({
  documents: {
    load: (_id: number, keys: ReadonlyArray<string>) =>
      Effect.sync(() => new Map([...kept].filter(([key]) => keys.includes(key)))),
    save: (_id: number, changes: ReadonlyArray<{ readonly key: string; readonly state: string | null }>) =>
      Effect.sync(() => {
        for (const { key, state } of changes) {
          if (state === null) kept.delete(key)
          else kept.set(key, state)
        }
      })
  }
})

const givenOf = (entries: ReadonlyArray<Entry>): string =>
  entries.length === 0
    ? "given nothing"
    : `given ${entries.map((entry) => `${textOf(eventsIn(entry))} in ${entry.stream.streamId}`).join(", ")}`

export const eventsIn = ({ events }: Entry): ReadonlyArray<unknown> =>
  events.map((event) => event instanceof EventData ? event.event : event)

export const view = <S>(view: View<S, any>, entries: Entries) => ({
  then: refusingPromises((expected) =>
    Effect.gen(function*() {
      const store = yield* storeOf(entries)
      const categories = [...new Set(entries.map(({ stream }) => stream.category as Category.Any))]
      const events = categories.length === 0 ? [] : yield* Stream.runCollect(store.readCategory(categories))
      const actual = events.reduce((state, recorded) => view.evolve(state, recorded as never), view.initial)
      expectSame(`${givenOf(entries)}, another state was expected`, actual, expected)
    }).pipe(Effect.scoped, Effect.orDie) as Effect.Effect<void>
  )
})

export const inMemory = (follow: Effect.Effect<Projection.InMemory<any>, any, any>, entries: Entries) => ({
  then: refusingPromises((expected) =>
    Effect.gen(function*() {
      const store = yield* storeOf(entries)
      const { get } = yield* Effect.provideService(follow, EventStore, store)
      expectSame(`${givenOf(entries)}, another state was expected`, yield* get, expected)
    }).pipe(Effect.scoped, Effect.orDie)
  )
})

export const tables = (projection: Projection.Tables<any>, entries: Entries) => ({
  then: refusingPromises((
    query: (model: Projection.Model) => Effect.Effect<unknown, unknown, any>,
    expected: unknown
  ) =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const position = yield* appendAll(store, entries)
      const once = { retry: Schedule.recurs(0), giveUp: "stop" } as const
      const running = Projection.run(projection, { onError: once })
      const actual = yield* Effect.raceFirst(
        running,
        Effect.andThen(Projection.awaitProcessed(projection, position), Projection.read(projection, query)).pipe(
          // it has to be known before it can be waited for
          Effect.retry({ while: (error: any) => error?._tag === "ProjectionNotFound" })
        ) as Effect.Effect<unknown, unknown, any>
      )
      expectSame(`${givenOf(entries)}, the tables were expected to answer something else`, actual, expected)
    }).pipe(Effect.orDie)
  )
})
