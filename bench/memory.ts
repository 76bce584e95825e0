/**
 * How fast is the memory layer? Beside the least that such a store could do: encode the event with its schema, make a
 * UUID and a record, and put it into an array, a map of streams and a map of ids.
 *
 * To see where the time goes: `node --conditions=source --cpu-prof --cpu-prof-dir=temp bench/memory.ts --quick`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { EventId, EventStore } from "effect-eventstore"
import { cpus } from "node:os"
import type { Store } from "./support/arena.ts"
import { compare, contest, report, type Row, type Sample, settings, thousands } from "./support/contest.ts"
import { timed } from "./support/load.ts"
import { Cart, event, events } from "./support/shop.ts"

const rows: Array<Row> = []
const count = settings.quick ? 100_000 : 300_000

/** A fresh store for every turn, so that none has more to hold than another. */
const withStore = (work: (store: Store) => Effect.Effect<unknown, unknown>): Effect.Effect<Sample, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const store = Context.get(yield* Layer.build(Layer.fresh(EventStore.layerMemory)), EventStore)
    return yield* timed(Effect.as(work(store), count))
  }))

const times = (limit: number, body: (i: number) => Effect.Effect<unknown, unknown>) =>
  Effect.suspend(() => {
    let i = 0
    return Effect.whileLoop({ while: () => i < limit, body: () => body(i++), step: () => {} })
  })

const random = { nextDoubleUnsafe: Math.random, nextIntUnsafe: () => 0 }

/** The least that has to be done, as plain JavaScript. */
const least = timed(Effect.sync(() => {
  const codecs = new Map(
    [...new Set(events(0, 10).map((event) => event.constructor))].map((type) =>
      [type, Schema.encodeUnknownSync(Schema.toCodecJson(type as never as Schema.Codec<unknown>))] as const
    )
  )
  const log: Array<object> = []
  const streams = new Map<string, Array<object>>()
  const ids = new Map<string, object>()
  for (let i = 0; i < count; i++) {
    const streamId = `cart-${Math.floor(i / 10)}`
    const next = event(i)
    const eventId = EventId.makeUnsafe(Date.now(), random)
    const stream = streams.get(streamId) ?? []
    const record = {
      position: log.length + 1,
      streamId,
      streamVersion: stream.length + 1,
      eventId,
      type: next._tag,
      data: JSON.stringify(codecs.get(next.constructor)!(next)),
      recordedAt: Date.now()
    }
    log.push(record)
    stream.push(record)
    streams.set(streamId, stream)
    ids.set(eventId, record)
  }
  return log.length
}))

const main = Effect.gen(function*() {
  const stream = Cart.stream("hot")
  const results = yield* contest("memory layer", {
    append: withStore((store) =>
      times(count, (i) => store.append(Cart.stream(String(Math.floor(i / 10))), [event(i)]))
    ),
    hot: withStore((store) => times(count, (i) => store.append(stream, [event(i)]))),
    callers: withStore((store) =>
      Effect.all(
        Array.from({ length: 64 }, (_, caller) =>
          times(count / 64, (i) =>
            store.append(Cart.stream(`${caller}-${Math.floor(i / 10)}`), [event(i)]))),
        { concurrency: "unbounded", discard: true }
      )
    ),
    ten: withStore((store) => times(count / 10, (i) => store.append(Cart.stream(String(i)), events(i * 10, 10)))),
    least
  })
  const goal = (name: "append" | "hot" | "callers" | "ten"): Row => ({
    work: `memory layer, ${
      {
        append: "1 caller",
        hot: "1 caller, one stream",
        callers: "64 callers",
        ten: "10 events an append, events"
      }[name]
    }`,
    beside: "300,000 a second",
    ratios: results[name].map(({ rate }) => rate / 300_000),
    budget: name === "ten" ? undefined : { atLeast: 1 },
    note: ""
  })
  rows.push(
    goal("append"),
    goal("hot"),
    goal("callers"),
    goal("ten"),
    compare(results, "append", "least", { work: "memory layer, 1 caller", beside: "the least: encode, number, keep" })
  )

  const filled = Context.get(yield* Layer.build(EventStore.layerMemory), EventStore)
  yield* times(count / 10, (i) => filled.append(Cart.stream(String(i)), events(i * 10, 10)))
  const reads = yield* contest("memory layer, reads", {
    plain: timed(Effect.as(Stream.runForEachArray(filled.readAll(), () => Effect.void), count)),
    typed: timed(Effect.as(Stream.runForEachArray(filled.readCategory(Cart), () => Effect.void), count))
  })
  rows.push(
    compare(reads, "typed", "plain", {
      work: `memory layer, read ${thousands(count)} typed events`,
      beside: "plain objects"
    })
  )
  console.log(report("memory", `${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.versions.node}.`, rows))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
