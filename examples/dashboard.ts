/**
 * A dashboard: orders by day and status, and the customers who spend most, in SQL tables that a projection keeps.
 *
 * A command appends and waits until the dashboard has its event: whoever asks next reads what was just written. The checkpoint
 * moves in the transaction of the handlers, so that they can count without ever counting twice.
 */
import { Console, Effect, Layer, References, Schema } from "effect"
import { Category, EventStore, PgliteEventStore, Projection } from "effect-eventstore"

class Placed extends Schema.TaggedClass<Placed>()("Placed", {
  customer: Schema.String,
  cents: Schema.Int,
  day: Schema.String
}) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", {}) {}
class Shipped extends Schema.TaggedClass<Shipped>()("Shipped", {}) {}
class Cancelled extends Schema.TaggedClass<Cancelled>()("Cancelled", { reason: Schema.String }) {}

const Order = Category.make("order", { id: Schema.String, events: [Placed, Paid, Shipped, Cancelled] })

const Dashboard = Projection.make("dashboard", {
  from: Order,
  setup: Effect.fn(function*({ sql, table }) {
    yield* sql`
      CREATE TABLE ${table("orders")} (
        id text PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL, day date NOT NULL, status text NOT NULL)`
    yield* sql`CREATE TABLE ${table("customers")} (name text PRIMARY KEY, orders int NOT NULL, cents bigint NOT NULL)`
  }),
  handle: {
    Placed: ({ event, streamId }, { sql, table }) =>
      sql`
        INSERT INTO ${table("orders")} (id, customer, cents, day, status)
        VALUES (${streamId}, ${event.customer}, ${event.cents}, ${event.day}, 'placed')`,
    Paid: Effect.fn(function*({ streamId }, { sql, table }) {
      yield* sql`UPDATE ${table("orders")} SET status = 'paid' WHERE id = ${streamId}`
      yield* sql`
        INSERT INTO ${table("customers")} AS c (name, orders, cents)
        SELECT customer, 1, cents FROM ${table("orders")} WHERE id = ${streamId}
        ON CONFLICT (name) DO UPDATE SET orders = c.orders + 1, cents = c.cents + excluded.cents`
    }),
    Shipped: ({ streamId }, { sql, table }) =>
      sql`UPDATE ${table("orders")} SET status = 'shipped' WHERE id = ${streamId}`,
    Cancelled: ({ streamId }, { sql, table }) =>
      sql`UPDATE ${table("orders")} SET status = 'cancelled' WHERE id = ${streamId}`
  },
  // made when it has caught up for the first time: a table is filled faster without them
  indexes: ({ sql, table }) => sql`CREATE INDEX orders_day ON ${table("orders")} (day, status)`
})

/** Both tables as of one moment: `read` is one transaction. */
const dashboard = Projection.read(
  Dashboard,
  Effect.fn(function*({ sql, table }) {
    const days = yield* sql<{ day: string; status: string; orders: number }>`
      SELECT day::text AS day, status, count(*)::int AS orders
      FROM ${table("orders")}
      GROUP BY day, status
      ORDER BY day, status`
    const best = yield* sql<{ name: string; orders: number; cents: number }>`
      SELECT name, orders, cents::float8 AS cents
      FROM ${table("customers")}
      ORDER BY cents DESC, name
      LIMIT 2`
    return { days, best }
  })
)

const show = Effect.gen(function*() {
  const { best, days } = yield* dashboard
  for (const { day, orders, status } of days) yield* Console.log(`${day}  ${status.padEnd(9)}  ${orders}`)
  yield* Console.log(`best: ${best.map(({ cents, name, orders }) => `${name} ${cents / 100} (${orders})`).join(", ")}`)
})

/** A command that answers when the dashboard shows what it did. */
const order = Effect.fn("order")(function*(id: string, ...events: ReadonlyArray<Placed | Paid | Shipped | Cancelled>) {
  const store = yield* EventStore
  const { position } = yield* store.append(Order.stream(id), events)
  yield* Projection.awaitProcessed(Dashboard, position, { timeout: "10 seconds" })
})

const placed = (customer: string, cents: number, day: string) => new Placed({ customer, cents, day })

const program = Effect.gen(function*() {
  yield* order("1", placed("anna", 12_000, "2026-03-01"), new Paid({}), new Shipped({}))
  yield* order("2", placed("ben", 4_000, "2026-03-01"), new Cancelled({ reason: "too late" }))
  yield* order("3", placed("carl", 9_000, "2026-03-02"), new Paid({}))
  yield* order("4", placed("ben", 20_000, "2026-03-02"))
  yield* show

  yield* Console.log("ben pays")
  yield* order("4", new Paid({}))
  yield* show
})

const Live = Projection.layer(Dashboard).pipe(Layer.provideMerge(PgliteEventStore.layer()))

await Effect.runPromise(program.pipe(
  Effect.provide(Live),
  // runners tell what they do
  Effect.provideService(References.MinimumLogLevel, "Warn")
))
