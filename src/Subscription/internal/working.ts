import { Cause, Effect, Exit, Fiber } from "effect"
import type { Core } from "./core.ts"
import { makeHandling } from "./handling.ts"
import type { Entry, Run } from "./held.ts"
import type { Answer } from "./outbox.ts"
import { judge, stopOf } from "./verdict.ts"

/** Works on what is held: at most so many runs at a time, each of them in order. */
export class Working {
  private readonly core: Core
  private readonly fork: (effect: Effect.Effect<void, never, any>) => Fiber.Fiber<void>
  private readonly handle: (entry: Entry) => Effect.Effect<void, unknown, any>
  private readonly fibers = new Set<Fiber.Fiber<unknown>>()
  private isPumping = false

  constructor(core: Core, fork: (effect: Effect.Effect<void, never, any>) => Fiber.Fiber<void>) {
    const { clock, decode, handle, state, store } = core.options
    this.core = core
    this.fork = fork
    this.handle = makeHandling({
      subscription: state.name,
      id: state.id,
      store,
      decode,
      handle,
      clock,
      telemetry: core.telemetry,
      onFinished: core.onFinished
    })
  }

  /** Begins runs as long as there are some, and hands free. */
  readonly pump = (): void => {
    // a run that ends in here makes room for the loop below, not for one inside of it
    if (this.isPumping) return
    const { core } = this
    this.isPumping = true
    while (!core.isEnding && core.holdings.active < core.options.concurrency) {
      const run = core.holdings.takeRun()
      if (run === undefined) break
      const fiber = this.fork(this.work(run))
      this.fibers.add(fiber)
      fiber.addObserver((exit) => this.onEnd(run, fiber, exit))
    }
    this.isPumping = false
  }

  /** Interrupts what is handled, and waits for it. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    for (const fiber of this.fibers) fiber.interruptUnsafe()
    return Fiber.awaitAll([...this.fibers])
  })

  private onEnd(run: Run, fiber: Fiber.Fiber<unknown>, exit: Exit.Exit<unknown>): void {
    const { core } = this
    this.fibers.delete(fiber)
    core.holdings.endRun(run)
    if (Exit.hasDies(exit)) core.fail(exit as Exit.Exit<never>)
    this.pump()
    if (core.holdings.active < core.options.concurrency) {
      // nobody is left who would answer more, or somebody has nothing to do
      core.outbox.poke()
      core.signal.raise()
    }
  }

  private work(run: Run): Effect.Effect<void, never, any> {
    const { core } = this
    return Effect.withFiber((fiber) => {
      run.fiber = fiber
      return Effect.uninterruptibleMask((restore) =>
        Effect.gen({ self: this }, function*() {
          while (!core.isEnding) {
            const entry = core.holdings.begin(run)
            if (entry === undefined) return
            if (!core.holdings.isValid(entry)) {
              yield* core.onLost(entry, "ran out before it was handled")
              return this.giveBackRest(entry)
            }
            run.current = entry
            const exit = yield* Effect.exit(restore(this.handle(entry)))
            run.current = undefined
            if (entry.isLost) return this.giveBackRest(entry)
            if (Exit.isSuccess(exit)) {
              if (!entry.isFinished) core.outbox.add([{ entry, settlement: { ...entry.held, outcome: "done" } }])
              continue
            }
            const goesOn = yield* entry.isFinished
              ? this.failedLate(entry, exit.cause)
              : this.failed(entry, exit.cause)
            // an interrupted fibre would interrupt the next handler, too: another one goes on with the run
            if (!goesOn || Cause.hasInterrupts(exit.cause)) return
          }
        })
      )
    })
  }

  /** Answers an entry whose handler failed. Says whether the next one of its run may be handled. */
  private failed(entry: Entry, cause: Cause.Cause<unknown>): Effect.Effect<boolean> {
    const { core } = this
    const { clock, retry, settings, state } = core.options
    const { attempt } = entry.claimed
    // what was interrupted because the consumer ends is given back
    if (core.isEnding && Cause.hasInterruptsOnly(cause)) return Effect.succeed(false)
    const stop = stopOf(cause)
    if (stop !== undefined) {
      core.fail(Exit.fail(stop))
      return Effect.succeed(false)
    }
    const policy = { attempts: settings.attempts, schedule: retry }
    return Effect.flatMap(judge(cause, attempt, policy, clock.currentTimeMillisUnsafe()), (verdict) => {
      if (entry.isLost) {
        this.giveBackRest(entry)
        return Effect.succeed(false)
      }
      const isParked = verdict.outcome === "park"
      const goesOn = isParked && !state.parkedBlocks
      // together, so that nobody is handed a later one of the key before this one waits
      core.outbox.add([{ entry, settlement: { ...entry.held, ...verdict } }, ...(goesOn ? [] : this.restOf(entry))])
      const log = isParked
        ? Effect.logWarning(
          `Parked an event: ${[verdict.reason, verdict.error].filter((text) => text !== null).join(": ")}`
        )
        : Effect.logDebug(`Attempt ${attempt} at an event failed and is repeated`, cause)
      return Effect.as(core.annotated(entry, log), goesOn)
    })
  }

  /** A handler failed after its transaction had finished the event: that stays so. */
  private failedLate(entry: Entry, cause: Cause.Cause<unknown>): Effect.Effect<boolean> {
    const { core } = this
    if (core.isEnding && Cause.hasInterruptsOnly(cause)) return Effect.succeed(false)
    const stop = stopOf(cause)
    if (stop !== undefined) {
      core.fail(Exit.fail(stop))
      return Effect.succeed(false)
    }
    const warning = "A handler failed after its transaction had finished the event: it is not repeated"
    return Effect.as(core.annotated(entry, Effect.logWarning(warning, cause)), true)
  }

  private restOf(entry: Entry): ReadonlyArray<Answer> {
    return this.core.holdings.takeRest(entry).map((later) => ({
      entry: later,
      settlement: { ...later.held, outcome: "release" }
    }))
  }

  /** Only who holds the first delivery of a key can keep it in order. */
  private giveBackRest(entry: Entry): void {
    this.core.outbox.add(this.restOf(entry))
  }
}
