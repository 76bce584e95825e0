/** A process of the operating system that answers questions of the bench, one after the other. */
import { Effect, type Scope } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"

/** What runs in the other process: made once, then asked. */
export type Respond<Question> = (question: Question) => Effect.Effect<unknown, unknown>

export interface Child<Question> {
  readonly ask: <Answer>(question: Question) => Effect.Effect<Answer>
}

const variable = "EVENTSTORE_BENCH_SETTINGS"

/** Starts a module as a process that ends with the scope; completes when it is ready for questions. */
export const startChild = <Question extends object>(
  module: string,
  settings: object
): Effect.Effect<Child<Question>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const child = fork(module, [], {
          serialization: "advanced",
          env: { ...process.env, [variable]: JSON.stringify(settings) }
        })
        child.once("exit", (code) => {
          if (code !== 0) throw new Error(`a process of the bench ended with ${code}`)
        })
        await once(child, "message")
        return child
      }),
      (child) =>
        Effect.promise(async () => {
          const exited = once(child, "exit")
          child.disconnect()
          await exited
        })
    ),
    (child) => ({
      ask: <Answer>(question: Question) =>
        Effect.promise(async () => {
          const answered = once(child, "message") as Promise<[Answer]>
          child.send(question)
          return (await answered)[0]
        })
    })
  )

/** The other side: for the end of a module that was started so. */
export const answerParent = async <Question, Settings>(
  make: (settings: Settings) => Effect.Effect<Respond<Question>, unknown, Scope.Scope>
): Promise<void> => {
  process.on("disconnect", () => process.exit())
  const serve = Effect.gen(function*() {
    const respond = yield* make(JSON.parse(process.env[variable]!))
    process.on("message", (question: Question) => {
      Effect.runPromise(respond(question)).then((answer) => process.send!(answer), (error: unknown) => {
        console.error(error)
        process.exit(1)
      })
    })
    process.send!("ready")
    return yield* Effect.never
  })
  await Effect.runPromise(Effect.scoped(serve))
}
