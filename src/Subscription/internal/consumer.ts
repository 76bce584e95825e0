import { Clock, Context, Deferred, Effect, Exit, Fiber, type Scope, Tracer } from "effect"
import type { StoreError } from "../../Store/StoreError.ts"
import type { Held } from "../../Store/SubscriptionStorage.ts"
import { Claiming } from "./claiming.ts"
import { Core, type CoreOptions } from "./core.ts"
import { Filler } from "./filler.ts"
import { measureLag } from "./lag.ts"
import { extendLeases, giveUpExpired } from "./leases.ts"
import type { Answer } from "./outbox.ts"
import { Working } from "./working.ts"

/** Time to bring to the storage what is left when a consumer ends. */
const leavingTime = "3 seconds"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * Starts a consumer that ends with the scope. The answer fails when the consumer ends by itself.
 *
 * Its parts share no fibre: one claims and fills, one settles, two keep leases, and one works on each run. They meet in
 * the core.
 */
export const startConsumer = (
  options: Omit<CoreOptions, "clock">
): Effect.Effect<Effect.Effect<never, unknown>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>())
    const clock = yield* Clock.Clock
    const consumer = yield* Effect.acquireRelease(
      Effect.sync(() => new Consumer({ ...options, clock }, context)),
      (consumer) => consumer.leave
    )
    yield* options.store.tail.watch(options.state.name, consumer.core.onChange)
    consumer.start()
    return Deferred.await(consumer.core.failure)
  })

class Consumer {
  readonly core: Core
  private readonly fork: <A, E>(effect: Effect.Effect<A, E, any>) => Fiber.Fiber<A, E>
  private readonly working: Working
  private readonly claiming: Claiming
  private readonly filler: Filler<never, unknown>
  private claimer: AnyFiber | undefined
  private settler: AnyFiber | undefined
  private keepers: ReadonlyArray<AnyFiber> = []

  constructor(options: CoreOptions, context: Context.Context<never>) {
    const core = new Core(options, context)
    this.core = core
    this.fork = Effect.runForkWith(context as Context.Context<any>)
    this.working = new Working(core, this.fork)
    this.filler = new Filler(options.follower, options.keyOf, options.state.position, () => core.holdings.now())
    this.claiming = new Claiming(core, this.filler, this.working.pump)
  }

  start(): void {
    const { core } = this
    const { settings: { lease }, state, store } = core.options
    const leases = {
      holdings: core.holdings,
      lease,
      extend: (held: ReadonlyArray<Held>) => store.storage.subscriptions.extend(state.id, held, lease, core.now),
      steadily: <A>(effect: Effect.Effect<A, StoreError>) => core.steadily("extended", effect),
      onLost: core.onLost
    }
    this.settler = this.forkPart(core.outbox.run)
    this.keepers = [
      this.forkPart(extendLeases(leases)),
      this.forkPart(giveUpExpired(leases)),
      this.forkPart(measureLag(core, this.filler))
    ]
    this.claimer = this.forkPart(this.claiming.run)
  }

  /** A part whose failure ends the consumer. */
  private forkPart<A, E>(part: Effect.Effect<A, E, any>): Fiber.Fiber<A, E> {
    const fiber = this.fork(part)
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit) && !this.core.isEnding) this.core.fail(Exit.failCause(exit.cause))
    })
    return fiber
  }

  /** Stops claiming and handling, and brings what is left to the storage in time. */
  readonly leave: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    const { claimer, claiming, core, keepers, settler, working } = this
    core.isEnding = true
    core.signal.raise()
    core.outbox.close()
    // the answer to a claim is waited for: what is in it would be nobody's until its lease runs out
    if (claimer !== undefined && !claiming.isAsking) claimer.interruptUnsafe()
    // leases are kept as long as handlers take to end
    yield* working.end
    const parts = [claimer, settler].filter((fiber) => fiber !== undefined)
    const farewell = this.fork(Effect.andThen(Fiber.awaitAll(parts), this.settleAll))
    yield* Effect.raceFirst(Fiber.await(farewell), Effect.sleep(leavingTime))
    // nobody waits for a storage that does not answer
    for (const fiber of [...parts, ...keepers, farewell]) fiber.interruptUnsafe()
    for (const entry of core.holdings.all()) entry.settled(true)
  })

  /** Settles what is answered and gives back the rest, in one call. */
  private readonly settleAll: Effect.Effect<void, unknown> = Effect.suspend(() => {
    const { core } = this
    const answers: Array<Answer> = [...core.outbox.takeAll()]
    for (const entry of core.holdings.all()) {
      if (entry.phase !== "answered") answers.push({ entry, settlement: { ...entry.held, outcome: "release" } })
    }
    if (answers.length === 0) return Effect.void
    const settlements = answers.map(({ settlement }) => settlement)
    return Effect.flatMap(
      core.steadily("given back", core.settle(settlements)),
      (refused) => core.onSettled(answers, new Set(refused))
    )
  })
}
