/**
 * Consumes the subscription of a storm until it is killed: `node stormConsumer.ts URL NUMBER SEED`. Writes `started`,
 * `frozen` where it stops itself, its warnings as `log` and a text, and why it ended, which it should not.
 */
import type { PgClient } from "@effect/sql-pg"
import { Data, Effect, Logger, References, Schedule } from "effect"
import { Delivery, EventStore, PersistentSubscription } from "effect-eventstore"
import { randomUUID } from "node:crypto"
import { writeSync } from "node:fs"
import { openStore, type Store } from "./Notes.ts"
import * as Storm from "./storm.ts"

const [url, number, seed] = process.argv.slice(2) as [string, string, string]
const { below } = Storm.chance(Number(seed))

// nobody reads what it writes any more
process.stdin.resume().once("end", () => process.exit(1))

const say = (line: string) => writeSync(1, `${line.replaceAll("\n", " ")}\n`)

class Failing extends Data.TaggedError("Failing")<{ readonly message: string }> {}

const logger = Logger.make(({ message }) => say(`log ${[message].flat().map(String).join(" ")}`))

const handle = (notes: PgClient.PgClient, sql: PgClient.PgClient, store: Store) => {
  let count = 0
  return (delivery: Delivery.Delivery<ReturnType<typeof Storm.worked>>) =>
    Effect.gen(function*() {
      const { attempt, event: { kind }, lease, position, streamId, streamVersion } = delivery
      const begun: Storm.Begun = {
        token: randomUUID(),
        streamId,
        version: streamVersion,
        position,
        kind,
        attempt,
        lease,
        number: ++count
      }
      yield* Storm.begin(notes, begun)
      if (kind === "poison") {
        process.kill(process.pid, "SIGKILL")
        return yield* Effect.never
      }
      if (kind === "fail") return yield* new Failing({ message: "it always fails" })
      if (kind === "park") return yield* new Delivery.Park({ reason: "set aside by its handler" })
      if (kind === "flaky" && attempt === 1) return yield* new Failing({ message: "it fails once" })
      if (kind === "effect" || kind === "freeze") {
        const transaction = delivery.transaction(Effect.gen(function*() {
          yield* Storm.affect(sql, begun)
          if (kind === "freeze" && attempt === 1) {
            say("frozen")
            process.kill(process.pid, "SIGSTOP")
          }
          yield* Effect.sleep(below(50))
          yield* store.append(Storm.Outcome.stream(streamId.slice("work-".length)), [Storm.effected(streamVersion)])
        }))
        // the storage alone keeps it from being stored when it goes on
        return yield* kind === "freeze" ? Effect.uninterruptible(transaction) : transaction
      }
      yield* Effect.sleep(kind === "slow" ? Storm.lease * 1.5 : below(10))
      yield* Storm.end(notes, begun)
    })
}

/** Consumers need not be alike: some gather acknowledgements, some claim far ahead. */
const variants = [
  { concurrency: 4, buffer: 16 },
  { concurrency: 4, buffer: 32, checkpoint: { every: 10, within: "200 millis" } },
  { concurrency: 8, buffer: 0 },
  { concurrency: 2, buffer: 64, timeout: "30 seconds" }
] as const

const program = Effect.gen(function*() {
  const notes = yield* Storm.notes(url)
  const { sql, store } = yield* openStore(url)
  say("started")
  return yield* PersistentSubscription.run(Storm.subscription, {
    from: Storm.Work,
    lease: Storm.lease,
    attempts: Storm.attempts,
    capacity: 200,
    retry: Schedule.spaced("100 millis"),
    ...variants[Number(number) % variants.length]!,
    handle: handle(notes, sql, store)
  }).pipe(Effect.provideService(EventStore, store))
})

await Effect.runPromise(
  Storm.patiently(Effect.scoped(program)).pipe(
    Effect.provideService(References.MinimumLogLevel, "Warn"),
    Effect.provideService(References.CurrentLoggers, new Set([logger])),
    Effect.catchCause((cause) => Effect.sync(() => say(`ended ${cause}`)))
  )
)
process.exit(1)
