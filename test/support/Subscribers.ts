/** Subscribers that note what they see, and a writer that notes what was acknowledged, while a test breaks something. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, References, type Scope, Stream } from "effect"
import { Category, EventStore, RawEvent, type Recorded, Subscription } from "effect-eventstore"
import * as Child from "./child.ts"
import { note, Notes, type OpenOptions, recorded, type Store } from "./Notes.ts"

/** Two categories and what is in neither: a filter has something to leave out. */
const Noise = Category.rawStream("noise-1")

export interface Subscriber {
  readonly name: string
  /** Positions and ids of the events, in the order in which they came. */
  readonly seen: ReadonlyArray<string>
  /** Tag of the error that ended it. */
  readonly failure: () => string | undefined
  /** Whether it is to see everything, or the notes alone. */
  readonly seesAll: boolean
}

const line = ({ eventId, position }: { readonly eventId: string; readonly position: number }) =>
  `${position} ${eventId}`

const lastOf = ({ seen }: Subscriber) => seen.length === 0 ? 0 : Number.parseInt(seen.at(-1)!)

const noteSeen = (
  name: string,
  store: Store,
  seesAll: boolean,
  events: Stream.Stream<Recorded.Recorded<unknown>, Subscription.SubscribeError, EventStore>
): Effect.Effect<Subscriber, never, Scope.Scope> =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    let failure: string | undefined
    yield* Stream.runForEachArray(events, (events) =>
      Effect.sync(() => {
        for (const event of events) seen.push(line(event))
      })).pipe(
        Effect.provideService(EventStore, store),
        // a server that goes away on purpose is no news
        Effect.provideService(References.MinimumLogLevel, "Error"),
        Effect.catch((error) => Effect.sync(() => failure = error._tag)),
        Effect.forkScoped
      )
    return { name, seen, failure: () => failure, seesAll }
  })

/** Subscribes to everything in this process. */
export const subscribe = (store: Store, after?: number | Recorded.Recorded<unknown>) =>
  noteSeen("raw", store, true, Subscription.catchUp(Category.raw, { after }))

/** Subscribes to the notes in this process. */
export const subscribeToNotes = (store: Store, after?: number | Recorded.Recorded<unknown>) =>
  noteSeen("typed", store, false, Subscription.catchUp(Notes, { after }))

/** Subscribes to everything in another process. */
export const subscribeElsewhere = (
  url: string,
  options: OpenOptions = {}
): Effect.Effect<Subscriber, never, Scope.Scope> =>
  Effect.map(Child.start("subscribeWorker.ts", url, JSON.stringify(options), "0"), ({ errors, lines }) => {
    const hasFailed = () => lines.at(-1)?.startsWith("failed ") === true
    return {
      name: "of another process",
      get seen() {
        return hasFailed() ? lines.slice(0, -1) : lines
      },
      failure: () => errors() !== "" ? errors() : hasFailed() ? lines.at(-1)!.slice("failed ".length) : undefined,
      seesAll: true
    }
  })

/** A raw and a typed one on a store, and one in another process. */
export const subscribeAll = (store: Store, url: string, options?: OpenOptions) =>
  Effect.all([subscribe(store), subscribeToNotes(store), subscribeElsewhere(url, options)])

/** Waits for something that must come; fails at once where a subscriber fails instead. */
export const until = (
  condition: () => boolean,
  subscribers: ReadonlyArray<Subscriber> = []
): Effect.Effect<void> =>
  Effect.suspend(() => {
    for (const { failure, name } of subscribers) assert.isUndefined(failure(), `the subscriber ${name} failed`)
    return condition() ? Effect.void : Effect.andThen(Effect.sleep(5), until(condition, subscribers))
  })

/** Waits until each subscriber saw so many more events. */
export const goOn = (subscribers: ReadonlyArray<Subscriber>, count = 100) =>
  Effect.suspend(() => {
    const before = subscribers.map(({ seen }) => seen.length)
    return until(() => subscribers.every(({ seen }, i) => seen.length >= before[i]! + count), subscribers)
  })

export const untilFailed = (subscribers: ReadonlyArray<Subscriber>) =>
  Effect.map(
    until(() => subscribers.every(({ failure }) => failure() !== undefined)),
    () => subscribers.map(({ failure }) => failure())
  )

export interface Writer {
  /** Positions of acknowledged events, and what they say. */
  readonly acknowledged: ReadonlyMap<number, string>
  /** Stops it when what is under way is answered. */
  readonly stop: Effect.Effect<void>
}

/** Appends all the time, on a few streams; an append that fails is a failure of the test. */
export const write = (store: Store, name = "w"): Effect.Effect<Writer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const acknowledged = new Map<number, string>()
    let stopped = false
    const fiber = yield* Effect.forkScoped(Effect.forEach([0, 1, 2], (n) =>
      Effect.gen(function*() {
        for (let i = 0; !stopped; i++) {
          const texts = Array.from({ length: 1 + i % 2 }, (_, k) => `${name}.${n}.${i}.${k}`)
          const { firstPosition } = i % 3 === 2
            ? yield* store.append(
              Noise,
              texts.map((text) => RawEvent.make({ type: "Noise", schemaVersion: 1, data: { text } }))
            )
            : yield* store.append(Notes.stream(String(n)), texts.map(note))
          for (const [k, text] of texts.entries()) acknowledged.set(firstPosition + k, text)
          yield* Effect.sleep(2)
        }
      }), { concurrency: "unbounded", discard: true }))
    return {
      acknowledged,
      stop: Effect.suspend(() => {
        stopped = true
        return Effect.orDie(Fiber.join(fiber))
      })
    }
  })

/** Every subscriber saw everything that is in the log once and in order, and in the log is all that was acknowledged. */
export const assertWhole = (store: Store, subscribers: ReadonlyArray<Subscriber>, writers: ReadonlyArray<Writer>) =>
  Effect.gen(function*() {
    for (const writer of writers) yield* writer.stop
    const { position } = yield* store.append(Notes.stream("end"), [note("end")])
    yield* until(() => subscribers.every((subscriber) => lastOf(subscriber) >= position), subscribers)
    const events = yield* recorded(store)
    assert.deepStrictEqual(events.map(({ position }) => position as number), events.map((_, i) => i + 1))
    for (const { acknowledged } of writers) {
      for (const [position, text] of acknowledged) {
        assert.deepInclude(events[position - 1]?.event.data, { text })
      }
    }
    const ofNotes = events.filter(({ streamId }) => streamId.startsWith("notes-")).map(line)
    const all = events.map(line)
    for (const { name, seen, seesAll } of subscribers) {
      const wanted = seesAll ? all : ofNotes
      const i = seen.findIndex((line, i) => line !== wanted[i])
      assert.strictEqual(i < 0 ? seen.length : i, wanted.length, `${name} saw ${seen.slice(Math.max(0, i - 2), i + 3)}`)
      assert.strictEqual(seen.length, wanted.length, name)
    }
    return events.length
  })
