/** Lists of streams on a server whose planner has statistics: an order that nobody asked for is not one. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { Category, EventStore, PgEventStore } from "effect-eventstore"
import * as TestPostgres from "../support/TestPostgres.ts"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { n: Schema.Int }) {}
const Box = Category.make("box", { id: Schema.String, events: [Opened] })
const count = 2500

layer(PgEventStore.layer().pipe(Layer.provideMerge(TestPostgres.layer)), { excludeTestServices: true })((it) => {
  it.effect(
    "names every stream once and in order, however few or many have a state of their own",
    () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        const sql = yield* PgClient.PgClient
        const names = Array.from({ length: count }, (_, i) => String(i).padStart(5, "0"))
        for (let i = 0; i < count; i += 500) {
          yield* store.appendAll(
            names.slice(i, i + 500).map((name) => EventStore.entry(Box.stream(name), [new Opened({ n: 1 })]))
          )
        }
        let noted = 0
        for (const states of [0, 20, 200, 1000]) {
          for (; noted < states; noted++) yield* store.setMetadata(Box.stream(names[(noted * 7) % count]!), { noted })
          yield* sql`ANALYZE eventstore.events`
          yield* sql`ANALYZE eventstore.stream_states`
          const listed = yield* Stream.runCollect(store.streams({ category: Box }))
          assert.deepStrictEqual(listed.map(({ streamId }) => streamId as string), names.map((name) => `box-${name}`))
        }
      }),
    60_000
  )
})
