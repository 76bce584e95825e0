import { assert } from "@effect/vitest"
import { type Duration, Effect, Fiber, Latch, Option, Result, Stream } from "effect"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { Advance, OwnedPartition, ProjectionDefinition, ProjectionState } from "../../Store/ProjectionStorage.ts"
import { begin, everything, second } from "./queue.ts"
import { equal, freshCategory, freshName, freshStream, type Notes, notes, type Store, texts } from "./rule.ts"

export const storageOf = (store: Store) => store.storage.projections

/** Names of projections are short. */
export const freshProjection = (): string => `p${freshName()}`.slice(0, 40)

export const definitionOf = (
  name: string,
  options: Partial<ProjectionDefinition> = {}
): ProjectionDefinition => ({
  name,
  version: 1,
  filter: everything,
  kind: "documents",
  isInline: false,
  schema: null,
  ...options
})

export interface VersionOptions extends Partial<ProjectionDefinition> {
  readonly partitions?: number
  readonly start?: number
}

/** A partition by what an advance has to know of it. */
export type Owned = Pick<OwnedPartition, "partition" | "epoch" | "position">

/** A version of a projection of its own for each rule, and what rules do with it. */
export type Version = Effect.Success<ReturnType<typeof makeVersion>>

export const makeVersion = Effect.fnUntraced(
  function*(store: Store, { partitions = 1, start = 0, ...options }: VersionOptions = {}) {
    const projections = storageOf(store)
    const definition = definitionOf(options.name ?? freshProjection(), options)
    const { name } = definition
    const { id } = yield* projections.register(definition, partitions, { position: start, eventId: null })

    const find = (now: number | undefined): Effect.Effect<ProjectionState | undefined, any> =>
      Effect.map(projections.states(name, now), (states) => states.find((state) => state.id === id))

    const state = (now = begin) =>
      Effect.map(find(now), (state) => {
        assert.isDefined(state)
        return state
      })

    const claim = (runner: string, now = begin, lease: Duration.Duration = second) =>
      Effect.map(projections.claim({ id, runner, lease, now }), (claimed) => {
        assert.isDefined(claimed)
        return claimed
      })

    const advance = (owned: Owned, to: number, options: Partial<Advance> = {}): Advance => ({
      id,
      partition: owned.partition,
      epoch: owned.epoch,
      from: owned.position,
      to,
      eventId: null,
      handled: to - owned.position,
      rate: 0,
      isCaughtUp: false,
      lease: second,
      now: begin,
      ...options
    })

    return {
      id,
      name,
      definition,
      /** What is known of it, `undefined` where it was dropped. */
      find,
      state,
      claim,
      advance,
      /** The partitions that a runner owns after a claim. */
      own: (runner: string, now?: number, lease?: Duration.Duration) =>
        Effect.map(claim(runner, now, lease), ({ partitions }) => partitions),
      /** The only partition, or the first one. */
      ownFirst: (runner: string, now?: number, lease?: Duration.Duration) =>
        Effect.map(claim(runner, now, lease), ({ partitions }): OwnedPartition => {
          assert.isDefined(partitions[0])
          return partitions[0]
        }),
      /** Moves a checkpoint; answers whether it was moved. */
      move: (owned: Owned, to: number, options?: Partial<Advance>) =>
        Effect.map(projections.advanceWith<never, never, never>(advance(owned, to, options), undefined), Option.isSome),
      /** Moves a checkpoint together with an effect. */
      moveWith: <A, E, R>(owned: Owned, to: number, effect: Effect.Effect<A, E, R>, options?: Partial<Advance>) =>
        projections.advanceWith(advance(owned, to, options), effect),
      /** The positions of its partitions. */
      positions: Effect.map(state(), ({ partitions }) => partitions.map(({ position }) => position)),
      /** Its documents. */
      documents: Effect.map(
        projections.documents.page(id, { prefix: "", after: "", limit: 1000 }),
        (page) => Object.fromEntries(page.map(({ key, state }) => [key, JSON.parse(state)]))
      )
    }
  }
)

export const movedTo = (owned: Owned, position: number): Owned => ({ ...owned, position })

/** Everything that an effect can leave in a storage, and a look at what is left. */
export interface Traces {
  readonly leave: Effect.Effect<void, any>
  /** What is left: nothing, or all. */
  readonly left: Effect.Effect<"nothing" | "all", any>
}

/** Appends, documents, links and timers of a version, of which none or all has to be there. */
export const tracesOf = Effect.fnUntraced(function*(store: Store, { id, name }: Version) {
  const { documents, links, timers } = storageOf(store)
  const [stream, linked, mark] = [freshStream(), freshStream(), freshName()]
  const { position } = yield* store.append(linked, notes("linked"))
  const traces: Traces = {
    leave: Effect.gen(function*() {
      yield* store.append(stream, notes("left"))
      yield* documents.load(id, [mark], { isLocking: true })
      yield* documents.save(id, [{ key: mark, state: "{}" }])
      yield* links.add(id, [{ key: mark, position }])
      yield* timers.change(name, [{ key: mark, name: "t", at: begin }])
    }),
    left: Effect.gen(function*() {
      const linkPage = yield* links.page(id, mark, wholeLog)
      const waiting = yield* timers.list(name, 1000)
      const found = [
        (yield* texts(store, stream)).length,
        (yield* documents.load(id, [mark], { isLocking: false })).size,
        linkPage.events.length,
        waiting.filter(({ key }) => key === mark).length
      ]
      const sum = found.reduce((sum, count) => sum + count, 0)
      assert.include([0, 4], sum, `left appends, documents, links, timers: ${found.join()}`)
      return sum === 0 ? "nothing" : "all"
    })
  }
  return traces
})

export const wholeLog = {
  direction: "forward",
  from: 1,
  to: Number.MAX_SAFE_INTEGER,
  limit: 1000,
  bytes: 1_000_000
} as const

/** Runs `inside` with what runs it as a transaction, and `outside` while that is open. */
export const whileOpen = <A, E, A2, E2, B, E3>(
  transaction: (effect: Effect.Effect<A, E>) => Effect.Effect<A2, E2>,
  inside: Effect.Effect<A, E>,
  outside: Effect.Effect<B, E3>
) =>
  Effect.gen(function*() {
    const [opened, seen] = [yield* Latch.make(), yield* Latch.make()]
    const effect = Effect.tap(Effect.ensuring(inside, opened.open), () => seen.await)
    const fiber = yield* Effect.forkChild(Effect.result(transaction(effect)))
    yield* opened.await
    const answer = yield* outside
    yield* seen.open
    return [yield* Fiber.join(fiber), answer] as const
  })

/** Lets several runners claim in turn and give back what is too much, until each has its share. */
export const settleShares = (
  version: Version,
  runners: ReadonlyArray<string>,
  store: Store,
  now = begin
): Effect.Effect<ReadonlyArray<ReadonlyArray<OwnedPartition>>, any> =>
  Effect.gen(function*() {
    for (let round = 0; round < 3; round++) {
      for (const runner of runners) {
        const { partitions, surplus } = yield* version.claim(runner, now)
        const given = partitions.slice(0, surplus).map(({ partition }) => partition)
        if (surplus > 0) yield* storageOf(store).release(version.id, runner, given)
      }
    }
    return yield* Effect.forEach(runners, (runner) => version.own(runner, now))
  })

/** An inline version over notes of a category of its own, that has caught up and is not applied yet. */
export const makeInline = Effect.fnUntraced(function*(store: Store, options: VersionOptions = {}) {
  const category: Notes = freshCategory()
  return { category, version: yield* makeInlineOf(store, category, options) }
})

/** The same over a category that is there. */
export const makeInlineOf = Effect.fnUntraced(function*(store: Store, category: Notes, options: VersionOptions = {}) {
  const filter: LogFilter = { ...everything, categories: [category.name] }
  const version = yield* makeVersion(store, { isInline: true, filter, start: yield* store.head(), ...options })
  yield* catchUp(version, version.definition.name)
  return version
})

/** Says that a version has caught up where it is. */
export const catchUp = (version: Version, runner: string): Effect.Effect<void, any> =>
  Effect.gen(function*() {
    for (const owned of yield* version.own(runner)) {
      equal(yield* version.move(owned, owned.position, { isCaughtUp: true }), true)
    }
  })

/** Makes a version live by its runner, who notes what it had to handle. */
export const complete = (store: Store, version: Version, isSwitching = true) =>
  Effect.gen(function*() {
    const missing: Array<string> = []
    const answer = yield* storageOf(store).completeWith(version.id, { isSwitching }, (events) =>
      Effect.sync(() => {
        for (const { data } of events) missing.push(JSON.parse(data).text)
      }))
    return [answer, missing] as const
  })

/** What runs an append as a part of the transactions that apply inline versions. */
export const appendInline = (
  store: Store,
  versions: ReadonlyArray<Version>,
  stream: ReturnType<Notes["stream"]>,
  text: string,
  apply: (ids: ReadonlyArray<number>) => Effect.Effect<unknown, any> = () => Effect.void
) =>
  store.transaction(Effect.gen(function*() {
    const ids = versions.map(({ id }) => id)
    const { applied } = yield* storageOf(store).beginInline(ids, [stream.streamId], { isWaiting: true })
    const appended = yield* store.append(stream, notes(text))
    yield* apply(applied)
    return { applied, version: appended.version }
  }))

/** The texts of a category, in the order of the log. */
export const textsOf = (store: Store, category: Notes): Effect.Effect<ReadonlyArray<string>, any> =>
  Effect.map(
    Stream.runCollect(store.readCategory(category)),
    (recorded) => recorded.map(({ event }) => event._tag === "Noted" ? event.text : "")
  )

/** Whether an effect that may fail with an error of the storage was refused for want of inline projections. */
export const isMissing = (result: Result.Result<unknown, any>): boolean =>
  Result.isFailure(result) && result.failure._tag === "InlineProjectionMissing"
