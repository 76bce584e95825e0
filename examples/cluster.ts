/**
 * A ticket sale that everybody wants to have a part in at the same moment: one writer for each concert, whatever process an
 * order comes from. The decider is one like others; `DeciderEntity` makes it an entity of `effect/cluster`.
 *
 * Here the cluster is one process and the store is in memory. For several processes on one Postgres, each of them runs
 *
 * ```ts
 * import { NodeClusterSocket, NodeRuntime } from "@effect/platform-node"
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer, Option } from "effect"
 * import { PgEventStore } from "effect-eventstore"
 * import { RunnerAddress } from "effect/cluster"
 *
 * const Cluster = NodeClusterSocket.layer({
 *   shardingConfig: { runnerAddress: Option.some(RunnerAddress.make("10.0.0.7", 34431)) }
 * })
 * const Node = SaleEntity.toLayer().pipe(
 *   Layer.provide([Cluster, PgEventStore.layer()]),
 *   Layer.provide(PgClient.layer({ url }))
 * )
 * Layer.launch(Node).pipe(NodeRuntime.runMain)
 * ```
 *
 * and who only orders takes `NodeClusterSocket.layer({ clientOnly: true })` and no `toLayer`.
 */
import { Console, Effect, Layer, Schema } from "effect"
import { Category, Decider, EventStore } from "effect-eventstore"
import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
import { TestRunner } from "effect/cluster"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { tickets: Schema.Int }) {}
class Sold extends Schema.TaggedClass<Sold>()("Sold", { customer: Schema.String, ticket: Schema.Int }) {}
const Sale = Category.make("sale", { id: Schema.String, events: [Opened, Sold] })

class Open extends Schema.TaggedClass<Open>()("Open", { tickets: Schema.Int }) {}
class Order extends Schema.TaggedClass<Order>()("Order", { customer: Schema.String }) {}
class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { tickets: Schema.Int }) {}

const Sales = Decider.make(Sale, {
  // what is sent to other processes has a schema: the state, the commands, the errors
  state: Schema.Struct({ tickets: Schema.Int, sold: Schema.Int }),
  commands: [Open, Order],
  initial: { tickets: 0, sold: 0 },
  evolve: {
    Opened: (state, { tickets }) => ({ ...state, tickets }),
    Sold: (state) => ({ ...state, sold: state.sold + 1 })
  },
  decide: {
    Open: ({ tickets }) => Effect.succeed([new Opened({ tickets })]),
    Order: ({ customer }, { sold, tickets }) =>
      sold === tickets
        ? Effect.fail(new SoldOut({ tickets }))
        : Effect.succeed([new Sold({ customer, ticket: sold + 1 })])
  }
})

const SaleEntity = DeciderEntity.make(Sales, { error: SoldOut })

const order = (customer: string) =>
  SaleEntity.run("concert", new Order({ customer }), { commandId: `order-of-${customer}` }).pipe(
    Effect.map(({ events, isRepeated }) => ({ ticket: events[0]?.event, isRepeated })),
    Effect.catchTag("SoldOut", () => Effect.succeed(undefined))
  )

const program = Effect.gen(function*() {
  yield* SaleEntity.run("concert", new Open({ tickets: 100 }))
  const customers = Array.from({ length: 500 }, (_, i) => `customer-${i}`)
  const orders = yield* Effect.forEach(customers, order, { concurrency: "unbounded" })
  const sold = orders.flatMap((order) => order?.ticket?._tag === "Sold" ? [order.ticket.ticket] : [])
  yield* Console.log(`orders: ${orders.length}, sold: ${sold.length}, different tickets: ${new Set(sold).size}`)

  const again = yield* order("customer-6")
  yield* Console.log(
    `ordered twice: ${again?.ticket?._tag === "Sold" ? again.ticket.ticket : "nothing"}, repeated: ${again?.isRepeated}`
  )

  // whoever does not go through the entity is no danger to it: the versions of the stream tell
  yield* Sales.run("concert", new Open({ tickets: 101 }))
  yield* Console.log(`one more: ${(yield* order("late")) === undefined ? "sold out" : "sold"}`)

  const { state, version } = yield* Sales.query("concert")
  yield* Console.log(`sold: ${state.sold} of ${state.tickets}, version ${version}`)
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(SaleEntity.toLayer().pipe(Layer.provideMerge(Layer.merge(TestRunner.layer, EventStore.layerMemory))))
  )
)
