import { Context, Effect, Exit, Fiber, type Scope, Tracer } from "effect"
import type { AppendCommand, AppendedEntry } from "../LogStorage.ts"
import { StoreError } from "../StoreError.ts"
import { Coalescer, type Lanes, type SendOptions, type Sent } from "./coalescer.ts"

/** Appends that travel in groups, each with a fibre of its own. */
export interface AppendGroups<E> {
  readonly submit: (command: AppendCommand) => Effect.Effect<ReadonlyArray<AppendedEntry>, E | StoreError>
  /** Whether the scope is about to close: nobody waits any longer than he has to. */
  readonly isClosing: () => boolean
}

/**
 * Groups appends until the scope closes: what is under way then gets some seconds for its answer, what waits is refused.
 */
export const makeAppendGroups = <E>(
  lanes: Lanes,
  makeSend: (isClosing: () => boolean) => (
    commands: ReadonlyArray<AppendCommand>,
    isWanted: (command: AppendCommand) => boolean,
    options: SendOptions
  ) => Effect.Effect<ReadonlyArray<Sent<E>>>
): Effect.Effect<AppendGroups<E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runFork = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()))
    let closing = false
    const isClosing = () => closing
    const send = makeSend(isClosing)
    const sending = new Set<Fiber.Fiber<ReadonlyArray<Sent<E>>>>()
    const coalescer = new Coalescer<E | StoreError>(lanes, (commands, isWanted, options, answer) => {
      const fiber = runFork(send(commands, isWanted, options))
      sending.add(fiber)
      fiber.addObserver((exit) => {
        sending.delete(fiber)
        if (Exit.isSuccess(exit)) return answer(exit.value)
        const failure = Exit.hasInterrupts(exit) ? Exit.fail(storeClosed("unknown")) : Exit.failCause(exit.cause)
        answer(commands.map(() => failure))
      })
    })
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        closing = true
        // what is under way gets its answer, unless somebody holds the log
        yield* Effect.timeoutOption(coalescer.close(Exit.fail(storeClosed("not-stored"))), patienceAtClose)
        coalescer.abandon()
        yield* Fiber.interruptAll(sending)
      })
    )
    return { submit: (command) => coalescer.submit(command), isClosing }
  })

/** How long a store that closes waits for the answers to its appends. */
const patienceAtClose = "3 seconds"

export const storeClosed = (outcome: StoreError["outcome"], operation = "append") =>
  new StoreError({ operation, isRetryable: false, outcome, cause: new Error("the event store is closed") })
