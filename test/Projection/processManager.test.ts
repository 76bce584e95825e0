import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Fiber, Random, Schedule, Stream } from "effect"
import { EventStore, ProcessManager } from "effect-eventstore"
import * as Child from "../support/child.ts"
import { arrived, began, Guide, Journey, stops } from "../support/Journeys.ts"
import { open, type Store } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

/** Programs that run the process manager of journeys: killed at random, and started again, until they are told to stop. */
const crew = (url: string, count: number) =>
  Effect.gen(function*() {
    let [kills, isOver] = [0, false]
    const live = Effect.gen(function*() {
      while (!isOver) {
        const worker = yield* Child.start("processWorker.ts", url)
        yield* Effect.promise(() => worker.hasWritten(1))
        yield* Effect.sleep(yield* Random.nextIntBetween(20, 600))
        kills++
        yield* Effect.promise(() => worker.kill())
      }
    })
    const lives = yield* Effect.forkScoped(
      Effect.all(Array.from({ length: count }, () => live), { concurrency: "unbounded", discard: true })
    )
    return {
      kills: () => kills,
      stop: Effect.suspend(() => {
        isOver = true
        return Fiber.join(lives)
      })
    }
  })

/** Travels all journeys, at a random pace. */
const travel = (store: Store, ids: ReadonlyArray<string>) =>
  Effect.forEach(ids, (id) =>
    Effect.gen(function*() {
      yield* store.append(Journey.stream(id), [began])
      for (let stop = 1; stop <= stops; stop++) {
        yield* Effect.sleep(yield* Random.nextIntBetween(50, 600))
        yield* store.append(Journey.stream(id), [arrived(stop)])
      }
    }), { concurrency: "unbounded", discard: true })

describe("a process manager", () => {
  it.live(
    "moves once for each event and timer, and carries out each command, though the programs that run it are killed",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const { sql, store } = yield* open(url)
        const inStore = Effect.provideService(EventStore, store)
        yield* sql`CREATE TABLE cards (place int8 GENERATED ALWAYS AS IDENTITY, key uuid, journey text, text text)`
        const ids: Array<string> = []
        const { kills, stop } = yield* crew(url, 2)
        while (kills() < 8) {
          const next = Array.from({ length: 5 }, (_, i) => `${ids.length + i}`)
          ids.push(...next)
          yield* travel(store, next)
        }
        yield* stop
        // whatever is left
        yield* Child.start("processWorker.ts", url)

        const journey = (id: string) =>
          Effect.gen(function*() {
            const history = yield* inStore(Stream.runCollect(ProcessManager.history(Guide, id)))
            const sent = yield* Stream.runCollect(store.read(Guide.categories.commands.stream(id)))
            const performed = yield* sql<{ key: string }>`
              SELECT key::text AS key FROM cards WHERE journey = ${id} ORDER BY place`
            return { history, sent, performed: performed.map(({ key }) => key) }
          })
        for (const id of ids) {
          const { history, performed, sent } = yield* Effect.repeat(journey(id), {
            schedule: Schedule.spaced("20 millis"),
            until: ({ history, performed, sent }) =>
              history.length > 0 && Object.keys(history.at(-1)!.process.timers).length === 0 &&
              new Set(performed).size === sent.length
          }).pipe(Effect.timeout("60 seconds"))

          const causes = history.map(({ cause }) => cause.eventId)
          assert.strictEqual(new Set(causes).size, causes.length, "an event moved a process twice")
          const events = yield* Stream.runCollect(store.read(Journey.stream(id)))
          assert.deepStrictEqual(
            history.filter(({ cause }) => cause.type !== "TimerFired").map(({ cause }) => cause.eventId),
            events.map(({ eventId }) => eventId)
          )

          const fired = yield* Stream.runCollect(store.read(Guide.categories.timers.stream(id)))
          const names = fired.map(({ event }) => event.name)
          assert.deepStrictEqual(names.filter((name) => name !== "pushed").sort(), ["later", "soon"])
          const byId = new Map(fired.map(({ event, eventId }) => [eventId, event]))
          for (const [i, { cause }] of history.entries()) {
            const timer = byId.get(cause.eventId)
            if (timer === undefined) continue
            // it is the one that the process waited for
            const waiting = history[i - 1]!.process.timers[timer.name as "pushed"]
            assert.strictEqual(waiting && DateTime.formatIso(waiting), DateTime.formatIso(timer.at))
          }

          const { written } = history.at(-1)!.process.state
          assert.deepStrictEqual(
            written.filter((text) => text.startsWith("stop")),
            Array.from({ length: stops }, (_, i) => `stop ${i + 1}`)
          )
          assert.deepStrictEqual(written.filter((text) => text === "soon" || text === "later"), ["soon", "later"])
          assert.deepStrictEqual(sent.map(({ event }) => event.text), [...written])
          assert.deepStrictEqual(
            history.flatMap(({ sent }) => sent.map(({ eventId }) => eventId)),
            sent.map(({ eventId }) => eventId)
          )
          // each at least once, and in order
          assert.deepStrictEqual([...new Set(performed)], sent.map(({ eventId }) => eventId as string))
        }
        assert.deepStrictEqual(yield* inStore(ProcessManager.timers(Guide)), [])
        assert.deepStrictEqual(yield* inStore(Stream.runCollect(ProcessManager.parked(Guide))), [])
      }),
    120_000
  )
})
