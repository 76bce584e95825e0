import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Schedule, Schema } from "effect"
import { Category, EventStore, PgEventStore, PgliteEventStore, Projection, Rehearsal } from "effect-eventstore"
import * as Verification from "effect-eventstore/Cli/Verification"
import { SqlClient } from "effect/sql"
import { inStore } from "../../src/Testing/internal/consuming.ts"
import { processed } from "../../src/Testing/internal/projecting.ts"
import type { Opened } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"
import { damage, linesOf } from "./verifyLog.ts"

class Paid extends Schema.TaggedClass<Paid>()("Paid", { by: Schema.String, cents: Schema.Int }) {}
const Bill = Category.make("bill", { id: Schema.String, events: [Paid] })

/** A handler that fails for as long as this says so. */
let isPoisoned = true

const refusing = (by: string) => {
  if (by === "poison" && isPoisoned) throw new Error("poison")
}

const sums = (mode: "async" | "inline", version = 1) =>
  Projection.documents(`${mode}-sums`, {
    version,
    mode,
    from: Bill,
    key: ({ event }) => event.by,
    state: Schema.Int,
    initial: () => 0,
    evolve: {
      Paid: (sum, { event }) => {
        if (mode === "async") refusing(event.by)
        return sum + event.cents
      }
    }
  })

const bills = Projection.make("bills", {
  from: Bill,
  setup: ({ sql, table }) => sql`CREATE TABLE ${table("bills")} (bill text PRIMARY KEY, cents int NOT NULL)`,
  handle: {
    Paid: ({ event: { by, cents }, streamId }, { sql, table }) =>
      Effect.andThen(
        Effect.sync(() => refusing(by)),
        sql`
          INSERT INTO ${table("bills")} AS b VALUES (${streamId}, ${cents}::int4)
          ON CONFLICT (bill) DO UPDATE SET cents = b.cents + excluded.cents`
      )
  }
})

const byCents = Projection.links("by-cents", { from: Bill, key: ({ event }) => String(event.cents) })

const emitted = Projection.derive("emitted", { from: Bill, emit: () => [] })

const all = [sums("async"), sums("inline"), bills, byCents]

const pay = (store: Opened["store"], id: string, by: string, cents: number) =>
  store.append(Bill.stream(id), [new Paid({ by, cents })])

const running = ({ sql, store }: Opened, effect: Effect.Effect<unknown, unknown>) =>
  Effect.scoped(Effect.gen(function*() {
    const options = { onError: { giveUp: "park", retry: Schedule.recurs(0) } } as const
    yield* Layer.build(Layer.mergeAll(
      Projection.layer(all[0]!, options),
      Projection.layer(all[1]!),
      Projection.layer(bills, options),
      Projection.layer(byCents)
    )).pipe(Effect.provideService(EventStore, store), Effect.provideService(SqlClient.SqlClient, sql))
    yield* inStore(store)(Projection.awaitReady("inline-sums"))
    yield* effect
    for (const { definition: { isInline, name } } of all) if (!isInline) yield* processed(store, name)
  }))

const verify = ({ sql, store }: Opened, projections: ReadonlyArray<Projection.Any> = all) =>
  inStore(store)(Verification.report({
    tables: { sql, schema: "eventstore", log: 1 },
    checks: ["projections"],
    categories: [Bill],
    projections
  })).pipe(Effect.provideService(SqlClient.SqlClient, sql))

const skippedOf = ({ checks }: Verification.Report) =>
  checks.find(({ check }) => check === "projections")!.skipped.map(({ count, reason }) => `${count} ${reason}`)

const stores = {
  postgres: Layer.provideMerge(PgEventStore.layer(), TestPostgres.layer),
  pglite: PgliteEventStore.layer()
}

for (const [name, store] of Object.entries(stores)) {
  describe(`projections on ${name}`, () => {
    layer(store, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      it.effect("are compared with fresh ones, and each that differs is named", () =>
        Effect.gen(function*() {
          const log = { sql: yield* PgClient.PgClient, store: yield* EventStore }
          const { store } = log
          isPoisoned = true
          yield* running(
            log,
            Effect.gen(function*() {
              for (let i = 0; i < 6; i++) yield* pay(store, String(i % 3), i % 2 === 0 ? "anna" : "bert", i) // 1 to 6
              yield* pay(store, "p", "poison", 7) // 7
              yield* pay(store, "h", "hans", 8) // 8
              yield* pay(store, "i", "ines", 9) // 9
            })
          )
          // what was handled before is in no rebuild any more
          yield* store.truncateBefore(Bill.stream("h"), 2)
          yield* store.tombstone(Bill.stream("i"))
          assert.deepStrictEqual(linesOf(yield* verify(log)), [])
          assert.deepStrictEqual(yield* inStore(store)(Rehearsal.list), [])

          // a handler that was mended makes something of what is parked
          isPoisoned = false
          const mended = yield* verify(log)
          assert.deepStrictEqual(linesOf(mended), [
            "projections ProjectionDiffers projection=bills projectionVersion=1 object=bills"
          ])
          assert.include(mended.findings[0]!.message, "1 event parked, under bill-p")
          assert.include(skippedOf(mended), "1 documents of async-sums whose key is parked: poison")
          isPoisoned = true

          yield* damage(log, [
            `UPDATE es.events SET data = '{"by":"bert","cents":50}' WHERE position = 2`,
            `UPDATE es.documents SET state = '1000' WHERE document_key = 'anna'`,
            "DELETE FROM es.links WHERE link_key = '3'",
            "INSERT INTO bills_v1.bills VALUES ('bill-x', 1)"
          ])
          assert.deepStrictEqual(linesOf(yield* verify(log)), [
            // 50 instead of 1, which is what the links and the table of bill-1 know as well
            "projections ProjectionDiffers projection=async-sums projectionVersion=1 key=anna",
            "projections ProjectionDiffers projection=async-sums projectionVersion=1 key=bert",
            "projections ProjectionDiffers projection=bills projectionVersion=1 object=bills",
            "projections ProjectionDiffers projection=bills projectionVersion=1 object=bills",
            "projections ProjectionDiffers projection=bills projectionVersion=1 object=bills",
            "projections ProjectionDiffers projection=by-cents projectionVersion=1 key=1 position=2",
            "projections ProjectionDiffers projection=by-cents projectionVersion=1 key=3 position=4",
            "projections ProjectionDiffers projection=by-cents projectionVersion=1 key=50 position=2",
            "projections ProjectionDiffers projection=inline-sums projectionVersion=1 key=anna",
            "projections ProjectionDiffers projection=inline-sums projectionVersion=1 key=bert"
          ])

          // what a hidden event has a part in nobody can tell any more; and where one stands who is ahead, there is nothing
          yield* damage(log, [
            `UPDATE es.documents SET state = '1000' WHERE document_key = 'hans'`,
            "UPDATE es.projection_partitions SET position = 1000 WHERE version_id = (SELECT live_id FROM es.projections WHERE name = 'by-cents')"
          ])
          const report = yield* verify(log, [sums("inline"), byCents])
          assert.deepStrictEqual(linesOf(report), [
            "projections ProjectionDiffers projection=inline-sums projectionVersion=1 key=anna",
            "projections ProjectionDiffers projection=inline-sums projectionVersion=1 key=bert"
          ])
          assert.deepStrictEqual(skippedOf(report), [
            "2 differences of inline-sums that are made of events that are hidden by now",
            "1 projection by-cents cannot be compared: to is 1000, but the log ends at position 9"
          ])

          assert.deepStrictEqual(
            skippedOf(yield* verify(log, [sums("async", 2), Projection.byType(), emitted])),
            [
              "1 version 1 of projection async-sums is live, and version 2 was given",
              "1 projection by-type was never run",
              "1 projection emitted appends events, which cannot be done once more for a look"
            ]
          )
        }))
    })
  })
}
