/**
 * A read model changes its shape, and nobody waits: version 2 is built beside version 1 while readers go on asking, and is
 * switched to when it has caught up. The way back is one call, for as long as version 1 is there.
 *
 * In a deployment the two layers are two programs: the one that is out, and the one that is rolled out.
 */
import { Console, Effect, Fiber, References, Schema } from "effect"
import { Category, EventStore, PgliteEventStore, Projection } from "effect-eventstore"

class Placed extends Schema.TaggedClass<Placed>()("Placed", { customer: Schema.String, cents: Schema.Int }) {}
const Order = Category.make("order", { id: Schema.String, events: [Placed] })

/** How many orders a customer has. */
const Customers1 = Projection.make("customers", {
  version: 1,
  from: Order,
  setup: ({ sql, table }) => sql`CREATE TABLE ${table("customers")} (name text PRIMARY KEY, orders int NOT NULL)`,
  handle: {
    Placed: ({ event }, { sql, table }) =>
      sql`
        INSERT INTO ${table("customers")} AS c (name, orders) VALUES (${event.customer}, 1)
        ON CONFLICT (name) DO UPDATE SET orders = c.orders + 1`
  }
})

/** And what they spent. Written for batches: one statement for many events, which is what a rebuild needs. */
const Customers2 = Projection.make("customers", {
  version: 2,
  from: Order,
  setup: ({ sql, table }) =>
    sql`CREATE TABLE ${
      table("customers")
    } (name text NOT NULL, orders int NOT NULL, cents bigint NOT NULL, PRIMARY KEY (name))`,
  batch: (events, { sql, table }) =>
    sql`
      INSERT INTO ${table("customers")} AS c (name, orders, cents)
      SELECT customer, count(*), sum(cents)
      FROM unnest(${events.map(({ event }) => event.customer)}::text[], ${
      events.map(({ event }) => event.cents)
    }::int[])
        AS e (customer, cents)
      GROUP BY customer
      ON CONFLICT (name) DO UPDATE SET orders = c.orders + excluded.orders, cents = c.cents + excluded.cents`,
  indexes: ({ sql, table }) => sql`CREATE INDEX customers_cents ON ${table("customers")} (cents)`
})

/** What is read, by a program that knows both shapes, and is told by `version` which of them it has in hand. */
const best = Projection.read(
  Customers2,
  Effect.fn(function*({ sql, table, version }) {
    const rows = version === 1
      ? yield* sql<Row>`SELECT name, orders, NULL AS cents FROM ${table("customers")} ORDER BY orders DESC, name`
      : yield* sql<Row>`SELECT name, orders, cents::float8 AS cents FROM ${
        table("customers")
      } ORDER BY cents DESC, name`
    return { version, rows }
  })
)

interface Row {
  readonly name: string
  readonly orders: number
  readonly cents: number | null
}

const show = Effect.flatMap(best, ({ rows, version }) =>
  Console.log(
    `version ${version}: ${
      rows.map(({ cents, name, orders }) =>
        cents === null ? `${name} ${orders}` : `${name} ${orders} for ${cents / 100}`
      )
        .join(", ")
    }`
  ))

const place = Effect.fn("place")(function*(from: number, to: number) {
  const store = yield* EventStore
  const customers = [["anna", 1000], ["anna", 1500], ["ben", 9000]] as const
  const { position } = (yield* store.appendAll(Array.from({ length: to - from }, (_, i) => {
    const [customer, cents] = customers[(from + i) % customers.length]!
    return EventStore.entry(Order.stream(`${from + i}`), [new Placed({ customer, cents })])
  }))).at(-1)!
  return position
})

/** The new version is rolled out beside the old one; readers ask all the while. */
const rollOut = Effect.gen(function*() {
  const seen = new Set<string>()
  const asking = yield* Effect.forkChild(
    best.pipe(
      // an answer is of one version, whole: no order is missing, in whichever shape
      Effect.tap(({ rows, version }) =>
        Effect.sync(() => seen.add(`${rows.reduce((sum, { orders }) => sum + orders, 0)} orders by version ${version}`))
      ),
      Effect.repeat({ until: ({ version }) => version === 2 })
    )
  )
  // a progress bar would ask `Projection.status(Customers2)` meanwhile, and draw `position` of `head`, with `rate`
  yield* Projection.awaitReady(Customers2, { timeout: "1 minute" })
  yield* Fiber.join(asking)
  yield* Console.log(`seen meanwhile: ${[...seen].join(", ")}`)
  yield* show

  yield* Projection.awaitProcessed("customers", yield* place(900, 1000))
  // a script may be started twice: from version 1 it goes nowhere
  yield* Projection.rollBack("customers", { from: 2 })
  yield* Console.log("rolled back")
  yield* Projection.awaitProcessed("customers", 1000)
  yield* show
  // where it is a few events behind the live one, this waits for it
  yield* Projection.switchTo("customers", 2)
  yield* Console.log("and forward again")
  yield* show
}).pipe(Effect.provide(Projection.layer(Customers2)))

const program = Effect.gen(function*() {
  yield* Effect.gen(function*() {
    yield* Projection.awaitProcessed("customers", yield* place(0, 900))
    yield* show
    yield* rollOut
  }).pipe(Effect.provide(Projection.layer(Customers1)))

  // nobody runs version 1 any more
  yield* Projection.drop("customers", 1)
  const versions = yield* Projection.statuses("customers")
  yield* Console.log(
    `left: ${versions.map(({ handled, version }) => `version ${version}, ${handled} events`).join(", ")}`
  )
})

await Effect.runPromise(program.pipe(
  Effect.provide(PgliteEventStore.layer()),
  // runners tell what they do
  Effect.provideService(References.MinimumLogLevel, "Warn")
))
