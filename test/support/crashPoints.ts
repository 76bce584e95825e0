/**
 * Runs a scenario again and again, and each time something else goes wrong: at the first point where a runner waits for
 * its storage, at the second, and so on to the last.
 */
import { assert } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, References, Scope } from "effect"
import { EventStore, type LogStorage, Projection, StoreError } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { setImmediate } from "node:timers/promises"
import { hookedStorage, type Point } from "../../src/Testing/internal/hookedStorage.ts"
import type { Store } from "./Notes.ts"

/**
 * What goes wrong at a point.
 *
 * - `"killed"`: the process is gone, and what it was in the middle of is rolled back
 * - `"interrupted"`: the program ends the runner, which may say good-bye
 * - `"frozen"`: nothing happens until another one has taken over; then it goes on
 * - `"refused"`: the storage fails, and says that it may work the next time; after a call the answer is lost
 */
export type Fault = "killed" | "interrupted" | "frozen" | "refused"

/** What a scenario works with. */
export interface World {
  /** The storage as others see it, who have no trouble. */
  readonly store: Store
  /**
   * Starts a runner in the process that gets into trouble. When that is killed, interrupted or frozen, another process
   * starts all that it ran.
   */
  readonly start: (projection: Projection.Any, options: Projection.RunOptions) => Effect.Effect<void>
  /** As {@link start}, for what is not a projection. */
  readonly startProgram: (program: Program) => Effect.Effect<void>
  /** Lets time pass until something holds. */
  readonly until: (what: string, holds: Effect.Effect<boolean, unknown>) => Effect.Effect<void, unknown>
  /** From now on checkpoints may be lower than they were. */
  readonly allowReset: () => void
}

/** Answers what has to be true at the end, when also who was frozen has gone on. */
export type Scenario = (world: World) => Effect.Effect<Effect.Effect<void, unknown>, unknown>

/** Where a scenario is played. */
export interface Stage {
  readonly storage: LogStorage.LogStorage
  /** What it takes until everybody has done what there is to do. */
  readonly rest: Effect.Effect<unknown>
  /** Whether what a transaction keeps from others is free some time after its process froze: a database sees to that. */
  readonly endsFrozenTransactions: boolean
}

/**
 * Plays a scenario in which a fault happens at the n-th point, from 1. Answers where that was, `undefined` where there
 * are not so many points.
 */
export const play = (
  stage: Stage,
  scenario: Scenario,
  fault: Fault,
  n: number
): Effect.Effect<string | undefined, unknown> =>
  Effect.suspend(() => {
    const isWithin = stage.endsFrozenTransactions ? Effect.succeed(false) : stage.storage.inTransaction
    const trouble = new Trouble(fault, n, isWithin)
    return Effect.scoped(perform(stage, scenario, fault, trouble)).pipe(
      Effect.map(() => trouble.where),
      // trouble is no news here
      Effect.provideService(References.MinimumLogLevel, "None"),
      // which one it was is half of the finding
      Effect.catchCause((cause) =>
        Effect.die(new Error(`${fault} at point ${n}, ${trouble.where}: ${Cause.pretty(cause)}`))
      )
    )
  })

const perform = ({ rest, storage }: Stage, scenario: Scenario, fault: Fault, trouble: Trouble) =>
  Effect.gen(function*() {
    const clock = yield* TestClock.make()
    yield* clock.setTime(1_700_000_000_000)
    const scope = yield* Effect.scope
    // what is forked in the middle of a transaction is no part of it
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const positions = new Map<string, number>()
    const ends: Array<string> = []

    const open = (storage: LogStorage.LogStorage) =>
      EventStore.make({ ...storage, pollMillis: 1000 }).pipe(Effect.provideService(Clock.Clock, clock))
    const run = (store: Store, program: Program) =>
      program.pipe(
        Effect.provideService(EventStore, store),
        Effect.provideService(Clock.Clock, clock),
        Effect.tapCause((cause) => Effect.sync(() => void ends.push(Cause.pretty(cause))))
      )

    // the process that gets into trouble: who is killed does not end its scope
    const process = yield* Scope.make()
    yield* Effect.addFinalizer(() =>
      fault === "killed" ? Effect.forkDetach(Scope.close(process, Exit.void)) : Scope.close(process, Exit.void)
    )
    const troubled = yield* Scope.provide(open(hookedStorage(storage, trouble.hook)), process)
    const store = yield* open(storage)

    const running: Array<Program> = []
    const takeOver = Effect.gen(function*() {
      const other = yield* open(storage)
      for (const one of running) yield* Effect.forkIn(run(other, one), scope)
    }).pipe(Scope.provide(scope))
    // not on top of the fibre that is to end
    trouble.onFault = () =>
      void setImmediate().then(() => {
        if (fault !== "frozen") fork(Scope.close(process, Exit.void))
        fork(takeOver)
      })

    const watch = Effect.gen(function*() {
      for (const { id, name, partitions } of yield* storage.projections.states(undefined, undefined)) {
        for (const { partition, position } of partitions) {
          const of = `${name} ${id}, ${partition} of ${partitions.length}`
          assert.isAtLeast(position, positions.get(of) ?? 0, `the checkpoint of ${of} moved back`)
          positions.set(of, position)
        }
      }
    })
    const pass = Effect.andThen(clock.adjust(997), Effect.andThen(rest, watch))

    const startProgram = (program: Program) =>
      Effect.suspend(() => {
        const hasFailed = trouble.where !== undefined && fault !== "refused"
        if (!hasFailed) running.push(program)
        return Effect.forkIn(run(hasFailed ? store : troubled, program), hasFailed ? scope : process)
      })

    const check = yield* scenario({
      store,
      start: (projection, options) =>
        startProgram(Projection.run(projection, options) as Effect.Effect<never, unknown, EventStore>),
      startProgram,
      until: (what, holds) =>
        Effect.gen(function*() {
          for (let i = 0; !(yield* holds); i++) {
            assert.isBelow(i, 300, `waited in vain for ${what}; the runners ended with ${ends.join()}`)
            yield* pass
          }
        }),
      allowReset: () => positions.clear()
    })
    trouble.end()
    for (let i = 0; i < 3; i++) yield* pass
    yield* check
  })

/** What a process does until it ends. */
type Program = Effect.Effect<never, unknown, EventStore>

/** Counts points, and what happens at one of them. */
class Trouble {
  /** Where it was. */
  where: string | undefined
  onFault: () => void = () => {}
  private points = 0
  private isOver = false
  private readonly fault: Fault
  private readonly n: number
  private thaw: () => void = () => {}
  private readonly thawed = new Promise<void>((resolve) => this.thaw = resolve)

  /** Whether a point is one where nothing can freeze. */
  private readonly isSpared: Effect.Effect<boolean>

  constructor(fault: Fault, n: number, isSpared: Effect.Effect<boolean>) {
    this.fault = fault
    this.n = n
    this.isSpared = fault === "frozen" ? isSpared : Effect.succeed(false)
  }

  readonly hook = (point: Point): Effect.Effect<void, StoreError.StoreError> =>
    Effect.flatMap(this.isSpared, (isSpared): Effect.Effect<void, StoreError.StoreError> => {
      if (isSpared || this.isOver) return Effect.void
      if (this.where !== undefined) return this.afterwards
      if (++this.points !== this.n) return Effect.void
      this.where = `${point.call}/${point.at}`
      switch (this.fault) {
        case "refused":
          return Effect.fail(refusal(point))
        case "interrupted":
          this.onFault()
          // where it may not be interrupted it goes on
          return Effect.andThen(Effect.promise(() => setImmediate()), Effect.promise(() => setImmediate()))
        case "killed":
        case "frozen":
          this.onFault()
          return this.afterwards
      }
    })

  /** Who was frozen goes on, and nothing happens any more. */
  readonly end = (): void => {
    this.isOver = this.fault !== "killed"
    this.thaw()
  }

  private get afterwards(): Effect.Effect<void> {
    return this.fault === "killed"
      ? Effect.never
      : this.fault === "frozen"
      ? Effect.promise(() => this.thawed)
      : Effect.void
  }
}

const refusal = ({ at, call }: Point) =>
  new StoreError.StoreError({
    operation: call,
    isRetryable: true,
    outcome: at === "after" ? "unknown" : "not-stored",
    cause: new Error(`refused at ${call}/${at}`)
  })
