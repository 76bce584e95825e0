/**
 * Runs the journal until it is killed: `node projector.ts URL OPTIONS`, the options of {@link ProjectorOptions} as JSON.
 * Writes `started`, `frozen` where it stops itself, its warnings as `log` and a text, and why it ended, which it should
 * not. A line that it reads ends it in good order.
 */
import { Data, Effect, Logger, References, Schedule } from "effect"
import { EventStore, Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { writeSync } from "node:fs"
import { journal, type JournalOptions, type Kind } from "./journal.ts"
import { openStore } from "./Notes.ts"
import { isFirst, isMended, type ProjectorOptions } from "./projectors.ts"
import { notes as openNotes, patiently } from "./storm.ts"

const [url, json] = process.argv.slice(2) as [string, string]
const { slow = 0, version = 1, ...options } = JSON.parse(json) as ProjectorOptions

const say = (line: string) => writeSync(1, `${line.replaceAll("\n", " ")}\n`)

const ordered = new Promise<void>((resolve) => process.stdin.once("data", () => resolve()))
// nobody reads what it writes any more
process.stdin.once("end", () => process.exit(1))

class Failing extends Data.TaggedError("Failing")<{ readonly message: string }> {}

const logger = Logger.make(({ message }) => say(`log ${[message].flat().map(String).join(" ")}`))

const program = Effect.gen(function*() {
  const notes = yield* openNotes(url)
  const { sql, store } = yield* openStore(url, { poll: "500 millis" })
  say("started")

  const act: Readonly<Record<Kind, (position: number) => Effect.Effect<unknown, unknown>>> = {
    plain: () => Effect.void,
    freeze: (position) =>
      Effect.map(isFirst(notes, position), (isFirst) => {
        if (!isFirst) return
        say("frozen")
        process.kill(process.pid, "SIGSTOP")
      }),
    poison: (position) =>
      Effect.map(isFirst(notes, position), (isFirst) => {
        if (isFirst) process.kill(process.pid, "SIGKILL")
      }),
    flaky: (position) =>
      Effect.flatMap(
        isFirst(notes, position),
        (isFirst) => isFirst ? new Failing({ message: "it fails once" }) : Effect.void
      ),
    fail: () =>
      Effect.flatMap(
        isMended(notes),
        (isMended) => isMended ? Effect.void : new Failing({ message: "it always fails" })
      ),
    slow: (position) =>
      Effect.flatMap(
        isFirst(notes, position),
        (isFirst) => isFirst ? Effect.asVoid(sql`SELECT pg_sleep(${slow / 1000})`) : Effect.void
      )
  }
  const meanwhile: JournalOptions["meanwhile"] = ({ kind, position }) => act[kind](position)
  return yield* Projection.run(journal({ meanwhile, version }), {
    ...options,
    onError: { retry: Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 2 })), giveUp: "park" }
  }).pipe(Effect.provideService(EventStore, store), Effect.provideService(SqlClient.SqlClient, sql))
})

await Effect.runPromise(
  Effect.raceFirst(Effect.promise(() => ordered), patiently(Effect.scoped(program))).pipe(
    Effect.provideService(References.MinimumLogLevel, "Warn"),
    Effect.provideService(References.CurrentLoggers, new Set([logger])),
    Effect.andThen(Effect.sync(() => process.exit(0))),
    Effect.catchCause((cause) => Effect.sync(() => say(`ended ${cause}`)))
  )
)
process.exit(1)
