/**
 * What a full read of a log holds in memory: it runs in a process of its own, whose memory knows nothing else. Run as a
 * program, this file is that process.
 */
import { Effect, Stream } from "effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { openPlace } from "./arena.ts"
import type { Row } from "./contest.ts"
import { Cart } from "./shop.ts"

type Kind = "plain" | "typed"

/** Memory after a part of the read: bytes of the process, and of live objects after a collection. */
interface Reading {
  readonly rss: number
  readonly heap: number
}

const parts = [0.1, 0.5, 1]
const variables = { url: "EVENTSTORE_BENCH_URL", kind: "EVENTSTORE_BENCH_KIND", total: "EVENTSTORE_BENCH_TOTAL" }

/** Live memory at the end of a full read over that after a tenth of it: 1 is flat. */
export const memoryOfRead = (url: string, kind: Kind, total: number): Effect.Effect<Row> =>
  Effect.promise(async () => {
    const child = fork(import.meta.filename, [], {
      serialization: "advanced",
      env: { ...process.env, [variables.url]: url, [variables.kind]: kind, [variables.total]: String(total) }
    })
    const [readings] = await Promise.race([
      once(child, "message") as Promise<[Array<Reading>]>,
      once(child, "exit").then(([code]): never => {
        throw new Error(`the reading process ended with ${code}`)
      })
    ])
    const megabytes = (of: (reading: Reading) => number) =>
      readings.map((reading) => (of(reading) / 2 ** 20).toFixed(0)).join(", ")
    return {
      work: `memory of a full read, ${kind}: live heap at its end`,
      beside: "after a tenth of it",
      ratios: [readings[2]!.heap / readings[0]!.heap],
      budget: { atMost: 1.1 },
      note: `at 10, 50, 100 %: heap ${megabytes(({ heap }) => heap)} MiB, process ${megabytes(({ rss }) => rss)} MiB`
    }
  })

const serve = Effect.gen(function*() {
  const { store } = yield* openPlace(process.env[variables.url]!)
  const total = Number(process.env[variables.total])
  const readings: Array<Reading> = []
  let count = 0
  const stream: Stream.Stream<unknown, unknown> = process.env[variables.kind] === "typed"
    ? store.readCategory(Cart)
    : store.readAll()
  yield* Stream.runForEachArray(stream, (events) =>
    Effect.sync(() => {
      count += events.length
      while (readings.length < parts.length && count >= total * parts[readings.length]!) {
        const { rss } = process.memoryUsage()
        globalThis.gc!()
        readings.push({ rss, heap: process.memoryUsage().heapUsed })
      }
    }))
  process.send!(readings)
}).pipe(Effect.scoped)

if (import.meta.main) {
  await Effect.runPromise(serve)
  process.disconnect()
}
