import { Context, Deferred, Duration, Effect, Exit, Fiber, type Scope, Tracer } from "effect"
import type { OwnedPartition, PartitionsClaimed } from "../../Store/ProjectionStorage.ts"
import { ProjectionDropped } from "../ProjectionError.ts"
import { awaitable } from "./awaiting.ts"
import { completing } from "./completing.ts"
import { channelOf, Core, type CoreOptions } from "./core.ts"
import { messageOf } from "./failure.ts"
import { setUp } from "./setup.ts"
import { Worker } from "./worker.ts"
import type { Worked } from "./working.ts"

/** Time to bring to the storage what is left when a runner ends. */
const leavingTime = "3 seconds"

/** Time after which the lag is measured again. */
const measureEvery = "5 seconds"

/**
 * Starts a runner that ends with the scope. The answer fails when the runner ends by itself.
 *
 * One fibre asks the storage what there is to do; one works on each partition that the runner owns. A worker whose
 * transaction is refused ends, and is made anew from what the storage says then.
 */
export const startRunner = (
  options: Omit<CoreOptions, "context">
): Effect.Effect<Effect.Effect<never, unknown>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>())
    const core = new Core({ ...options, context })
    const runner = yield* Effect.acquireRelease(
      Effect.sync(() => new Runner(core)),
      (runner) => runner.leave
    )
    yield* awaitable(core, () => runner.progress())
    yield* options.store.tail.watch(channelOf(options.definition.name), core.signal.raise)
    runner.start()
    return Deferred.await(runner.failure)
  })

interface Work {
  readonly worker: Worker
  readonly fiber: Fiber.Fiber<Worked, unknown>
  isLeaving: boolean
}

class Runner {
  private readonly core: Core
  private readonly fork: <A, E>(effect: Effect.Effect<A, E, any>) => Fiber.Fiber<A, E>
  readonly failure = Deferred.makeUnsafe<never, unknown>()
  private readonly works = new Map<number, Work>()
  /** Partitions that workers let go of. */
  private readonly left: Array<number> = []
  private asker: Fiber.Fiber<unknown, unknown> | undefined
  private measurer: Fiber.Fiber<unknown, unknown> | undefined
  /** Whether the storage was asked and has not answered. */
  private isAsking = false
  private isEnding = false
  /** Checkpoints of the workers when a claim was made: what the storage says then is not less. */
  private readonly placesAtClaim = new Map<number, number>()
  /** How many claims were made, and which was the last one when a worker of a partition ended. */
  private claims = 0
  private readonly endedIn = new Map<number, number>()
  /** Workers in a row that were refused before they had done anything. */
  private refusals = 0

  constructor(core: Core) {
    this.core = core
    this.fork = Effect.runForkWith(core.options.context as Context.Context<any>)
  }

  start(): void {
    this.asker = this.forkPart(this.run)
    this.measurer = this.forkPart(this.measure)
  }

  private forkPart<A, E>(part: Effect.Effect<A, E, any>): Fiber.Fiber<A, E> {
    const fiber = this.fork(part)
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) this.fail(Exit.failCause(exit.cause))
    })
    return fiber
  }

  private fail(exit: Exit.Exit<never, unknown>): void {
    if (!this.isEnding) Deferred.doneUnsafe(this.failure, exit)
  }

  private readonly run: Effect.Effect<void, unknown, any> = Effect.gen({ self: this }, function*() {
    const { core } = this
    while (!this.isEnding) {
      core.signal.take()
      yield* this.release
      const claimed = yield* this.claim
      if (this.isEnding) return
      if (claimed.partitions.length > 0 && !claimed.isSetUp) {
        // it was reset
        this.stopAll()
        if (!(yield* this.setUp(claimed.partitions[0]!))) continue
      }
      this.reconcile(claimed)
      // what others changed may have been said in vain
      const poll = Duration.toMillis(core.options.store.tail.poll)
      const wait = Math.max(1, Math.ceil(Math.min(core.lease / 3, poll, claimed.nextIn ?? Infinity)))
      yield* Effect.raceFirst(core.signal.wait, Effect.sleep(wait))
      if (this.refusals > 1) yield* Effect.sleep(Math.min(1000, 5 * 2 ** Math.min(this.refusals, 8)))
    }
  })

  private readonly claim: Effect.Effect<PartitionsClaimed, unknown> = Effect.suspend(() => {
    const { core } = this
    const { definition: { name, version }, id, runner, settings: { lease }, store } = core.options
    const asked = Effect.suspend(() => {
      this.claims++
      this.isAsking = true
      this.placesAtClaim.clear()
      for (const [partition, { worker }] of this.works) this.placesAtClaim.set(partition, worker.place.to)
      return Effect.onExitPrimitive(store.storage.projections.claim({ id, runner, lease, now: core.now }), () => {
        this.isAsking = false
        return undefined
      })
    })
    return Effect.flatMap(
      core.steadily("claimed", asked),
      (claimed) =>
        claimed === undefined
          ? Effect.fail(new ProjectionDropped({ projection: name, version }))
          : Effect.succeed(claimed)
    )
  })

  /** Gives back what workers let go of: else the next claim would keep it. */
  private readonly release: Effect.Effect<void, unknown> = Effect.suspend(() => {
    const { core, left } = this
    const { id, runner, store } = core.options
    const partitions = left.splice(0)
    if (partitions.length === 0) return Effect.void
    return Effect.map(
      core.steadily("released", Effect.suspend(() => store.storage.projections.release(id, runner, partitions))),
      core.changed
    )
  })

  /** Makes the workers what the storage says. */
  private reconcile(claimed: PartitionsClaimed): void {
    const { core, works } = this
    core.known = claimed
    const owned = new Map(claimed.partitions.map((partition) => [partition.partition, partition]))
    for (const [partition, { fiber, worker }] of works) {
      const stored = owned.get(partition)
      // a database that crashed or was replaced may have lost what it had answered
      const isLost = stored?.epoch === worker.owned.epoch && stored.position < (this.placesAtClaim.get(partition) ?? 0)
      if (isLost) this.fork(this.sayLost(stored))
      if (stored?.epoch !== worker.owned.epoch || isLost) fiber.interruptUnsafe()
    }
    let isLate = false
    for (const partition of claimed.partitions) {
      if (works.has(partition.partition)) continue
      // what is said of it may be older than what its last worker did
      if ((this.endedIn.get(partition.partition) ?? -1) >= this.claims) isLate = true
      else this.begin(partition)
    }
    if (isLate) core.signal.raise()
    let surplus = claimed.surplus
    for (const work of [...works.values()].reverse()) {
      if (surplus <= 0) break
      surplus--
      if (!work.isLeaving) {
        work.isLeaving = true
        work.worker.leave()
      }
    }
    core.onProgress()
  }

  private sayLost({ partition, position }: OwnedPartition): Effect.Effect<void> {
    return this.core.annotated(
      Effect.logWarning("The database has lost what was handled: it is handled again from its checkpoint on"),
      { partition, position }
    )
  }

  private begin(owned: OwnedPartition): void {
    const { core, works } = this
    const worker = new Worker(core, owned)
    worker.complete = completing(core, worker)
    const work: Work = { worker, fiber: this.fork(worker.run), isLeaving: false }
    works.set(owned.partition, work)
    work.fiber.addObserver((exit) => this.onEnd(owned.partition, work, exit))
  }

  private onEnd(partition: number, { worker }: Work, exit: Exit.Exit<Worked, unknown>): void {
    this.works.delete(partition)
    this.endedIn.set(partition, this.claims)
    if (Exit.isSuccess(exit)) {
      if (exit.value === "left") this.left.push(partition)
      this.refusals = exit.value === "refused" && !worker.hasMoved ? this.refusals + 1 : 0
    } else if (!Exit.hasInterrupts(exit)) this.fail(Exit.failCause(exit.cause))
    this.core.signal.raise()
  }

  private stopAll(): void {
    for (const { fiber } of this.works.values()) fiber.interruptUnsafe()
  }

  /** Sets up what was reset; where that fails it is tried again, and then the version fails. */
  private setUp(owned: OwnedPartition): Effect.Effect<boolean, unknown, any> {
    const { core } = this
    return Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.retry(setUp(core.options), core.options.settings.retry))
      if (Exit.isSuccess(exit)) return true
      yield* core.annotated(
        Effect.logError("The projection cannot be set up, and stops until it is resumed", exit.cause)
      )
      yield* core.report(owned, { error: messageOf(exit.cause), position: null, isFatal: true })
      core.changed()
      return false
    })
  }

  /** Everything up to here is in the read model, by partition; and how many partitions there are. */
  progress(): { readonly of: number; readonly positions: ReadonlyMap<number, number> } {
    let of = 0
    const positions = new Map<number, number>()
    for (const [partition, { worker }] of this.works) {
      of = worker.owned.of
      positions.set(partition, worker.progress)
    }
    return { of, positions }
  }

  private readonly measure: Effect.Effect<never> = Effect.forever(Effect.andThen(
    Effect.sleep(measureEvery),
    Effect.sync(() => {
      for (const { worker } of this.works.values()) worker.measure()
    })
  ))

  /** Stops the workers, and gives everything back in time. */
  readonly leave: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    const { asker, core, isAsking, measurer, works } = this
    const { id, runner, store } = core.options
    this.isEnding = true
    measurer?.interruptUnsafe()
    // the answer to a claim is waited for: what is in it would be nobody's until its lease runs out
    if (!isAsking) asker?.interruptUnsafe()
    this.stopAll()
    const parts = [...[...works.values()].map(({ fiber }) => fiber), ...(asker === undefined ? [] : [asker])]
    const released = core.steadily("released", Effect.suspend(() => store.storage.projections.release(id, runner)))
    const farewell = this.fork(Effect.andThen(Fiber.awaitAll(parts), Effect.map(released, core.changed)))
    // nobody waits for a storage that does not answer
    yield* Effect.raceFirst(Fiber.await(farewell), Effect.sleep(leavingTime))
    for (const fiber of [...parts, farewell]) fiber.interruptUnsafe()
  })
}
