/**
 * Many readers in a process of their own, each of which wants a small part of the log, or all of it. Run as a program, this
 * file is that process.
 */
import { Effect, type Scope, Stream } from "effect"
import { Category, EventStore, Subscription } from "effect-eventstore"
import { openPlace, type Store } from "./arena.ts"
import { Arrivals, type Expected, type Times } from "./arrivals.ts"
import { answerParent, type Child, startChild } from "./child.ts"
import { makePolling, type Polling } from "./pollingReaders.ts"
import { category, type Part, stream, tag } from "./readerParts.ts"
import { Cart, markOf } from "./shop.ts"

/** How many readers of what kind, on which database. */
export interface Settings {
  readonly url: string
  readonly readers: number
  /** Events that each of them is to get. */
  readonly each: number
  readonly part: Part
  readonly way: "subscription" | Polling
}

/**
 * When the events came, or the last one of each reader where all get the same; what the process held when all were there, in
 * MiB: live objects after a collection, and at most.
 */
export interface Read {
  readonly times: Times
  readonly heap: number
  readonly rss: number
}

const noting = (arrivals: Arrivals, { each, part }: Settings, reader: number): (event: unknown) => void => {
  if (part !== "all") return arrivals.note
  let count = 0
  return (event) => {
    if (++count === each) arrivals.noteAt(markOf(event).run, reader)
  }
}

const subscribe = (store: Store, part: Part, reader: number, note: (event: unknown) => void) => {
  const forward = <A>(events: Stream.Stream<A, unknown>, eventOf: (item: A) => unknown) =>
    Effect.forkScoped(
      Stream.runForEachArray(events, (items) => Effect.sync(() => items.forEach((item) => note(eventOf(item)))))
    )
  const typed = (
    source: ReturnType<typeof category> | typeof Cart | ReturnType<typeof stream>,
    tags?: ReadonlyArray<string>
  ) => Effect.flatMap(Subscription.volatile(source, { tags }), (events) => forward(events, ({ event }) => event))
  const started = () => {
    switch (part) {
      case "category":
        return typed(category(reader))
      case "stream":
        return typed(stream(reader))
      case "tag":
        return typed(Cart, [tag(reader)])
      case "all":
        return Effect.flatMap(
          Subscription.volatile(Category.raw),
          (events) => forward(events, ({ event }) => event.data)
        )
    }
  }
  return Effect.provideService(started(), EventStore, store)
}

/** Starts the process; its readers are established when this completes. */
export const startReaders = (settings: Settings): Effect.Effect<Child<Expected>, never, Scope.Scope> =>
  startChild<Expected>(import.meta.filename, settings)

if (import.meta.main) {
  await answerParent<Expected, Settings>(Effect.fnUntraced(function*(settings) {
    const place = yield* openPlace(settings.url)
    const arrivals = new Arrivals()
    const { part, way } = settings
    const start = way === "subscription"
      ? (reader: number, note: (event: unknown) => void) => subscribe(place.store, part, reader, note)
      : yield* makePolling(place, part, way)
    yield* Effect.forEach(
      Array.from({ length: settings.readers }, (_, reader) => reader),
      (reader): Effect.Effect<unknown, unknown, Scope.Scope> => start(reader, noting(arrivals, settings, reader)),
      { concurrency: 10, discard: true }
    )
    return (expected) =>
      Effect.map(arrivals.expect(expected), (times): Read => {
        globalThis.gc!()
        return {
          times,
          heap: process.memoryUsage().heapUsed / 2 ** 20,
          rss: process.resourceUsage().maxRSS / 2 ** 10
        }
      })
  }))
}
