/**
 * Runs the process manager of `Journeys.ts` until it is killed, and notes each command that it carries out in a table:
 * `node processWorker.ts URL`. Writes `started`.
 */
import { Effect, References, Schedule } from "effect"
import { EventStore, ProcessManager } from "effect-eventstore"
import { writeSync } from "node:fs"
import { Guide } from "./Journeys.ts"
import { openStore } from "./Notes.ts"

const [url] = process.argv.slice(2) as [string]

// nobody reads what it writes any more
process.stdin.resume().once("end", () => process.exit(1))

const program = Effect.gen(function*() {
  const { sql, store } = yield* openStore(url)
  // what dies again and again is not parked for that
  const work = { lease: "1 second", attempts: 1000, retry: Schedule.spaced("10 millis"), concurrency: 4 } as const
  yield* Effect.sync(() => writeSync(1, "started\n"))
  return yield* ProcessManager.run(Guide, {
    ...work,
    commands: work,
    perform: {
      // nothing keeps it from being there twice
      Write: ({ text }, { id, idempotencyKey }) =>
        sql`INSERT INTO cards (key, journey, text) VALUES (${idempotencyKey}, ${id}, ${text})`
    }
  }).pipe(Effect.provideService(EventStore, store))
})

await Effect.runPromise(
  Effect.scoped(program).pipe(
    Effect.provideService(References.MinimumLogLevel, "Error"),
    Effect.catchCause((cause) => Effect.logError("ended", cause))
  )
)
process.exit(1)
