/**
 * Events and tables of your own in one transaction: both are stored, or neither.
 *
 * `store.transaction` is the transaction of the store's `SqlClient`. Its appends are staged and get their positions at
 * COMMIT, so the log stays open to others however long the transaction takes.
 */
import { Console, Effect, Schema } from "effect"
import { Category, EventStore, PgliteEventStore } from "effect-eventstore"
import { SqlClient } from "effect/sql"

class Shipped extends Schema.TaggedClass<Shipped>()("Shipped", { to: Schema.String }) {}
const Parcel = Category.make("parcel", { id: Schema.String, events: [Shipped] })

class NoAddress extends Schema.TaggedError<NoAddress>()("NoAddress", { parcel: Schema.String }) {}

const ship = Effect.fn("ship")(function*(id: string, to: string) {
  const store = yield* EventStore
  const sql = yield* SqlClient.SqlClient
  return yield* store.transaction(Effect.gen(function*() {
    const { version } = yield* store.append(Parcel.stream(id), [new Shipped({ to })], { expected: "no-stream" })
    yield* sql`INSERT INTO labels (parcel, address) VALUES (${id}, ${to})`
    if (to === "") return yield* new NoAddress({ parcel: id })
    return version
  }))
})

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE labels (parcel text PRIMARY KEY, address text NOT NULL)`

  yield* Console.log(`shipped at version ${yield* ship("1", "Main Street 1")}`)
  const failed = yield* Effect.flip(ship("2", ""))
  yield* Console.log(`without an address: ${failed._tag}`)
  const conflict = yield* Effect.flip(ship("1", "Main Street 2"))
  yield* Console.log(`once more: ${conflict._tag}`)

  const labels = yield* sql`SELECT parcel, address FROM labels ORDER BY parcel`
  yield* Console.log(`labels: ${JSON.stringify(labels)}`)
  yield* Console.log(`events in the log: ${yield* store.head()}`)
})

// an embedded Postgres in memory; with `dataDir` on disk, with `PgEventStore.layer()` on a server
await Effect.runPromise(program.pipe(Effect.provide(PgliteEventStore.layer())))
