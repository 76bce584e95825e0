/**
 * Events for browsers: `GET /events/cart` streams a category as server-sent events (see `sse/events.ts`).
 *
 * Here a client reads it, is cut off, and comes back with the id it saw last: nothing is lost, nothing comes twice. With
 * `--serve` it stays up for a client of your own, such as `new EventSource(url)` or `curl -N`.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Random, Schedule, Schema, Stream } from "effect"
import { Category, EventStore } from "effect-eventstore"
import { Sse } from "effect/encoding"
import { FetchHttpClient, HttpClient, HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { events } from "./sse/events.ts"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Opened, Paid] })

const Live = HttpRouter.serve(events(Cart, Schema.Union([Opened, Paid])), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, {
    host: "127.0.0.1",
    port: 0,
    // who closes the server waits so long for those who are still connected; subscribers never leave by themselves
    gracefulShutdownTimeout: "1 second"
  })),
  Layer.provideMerge(EventStore.layerMemory)
)

const url = Effect.map(HttpServer.HttpServer, ({ address }) => `${HttpServer.formatAddress(address)}/events/cart`)

/** What a browser does: the messages behind an id. */
const messages = (lastEventId?: string) =>
  Stream.unwrap(Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId }
    const response = yield* client.get(yield* url, { headers })
    return response.status === 200
      ? response.stream.pipe(Stream.decodeText(), Stream.pipeThroughChannel(Sse.decode()))
      : Stream.fromEffectDrain(
        Effect.flatMap(response.text, (text) => Console.log(`${response.status} ${text.trim()}`))
      )
  }))

const print = ({ data, event, id }: Sse.Event) => Console.log(`${id} ${event} ${data}`)

const show = Effect.gen(function*() {
  const store = yield* EventStore
  yield* store.append(Cart.stream("1"), [new Opened({ customer: "anna" }), new Paid({ cents: 500 })])

  // leaves in the middle: the third event comes while it listens, the fourth when it is gone
  yield* messages().pipe(
    Stream.tap(print),
    Stream.tap(({ id }) =>
      id === "2" ? store.append(Cart.stream("2"), [new Opened({ customer: "ben" })]) : Effect.void
    ),
    Stream.take(3),
    Stream.runDrain
  )
  yield* Console.log("the client leaves")
  yield* Effect.sleep("10 millis").pipe(Effect.repeat({ until: () => store.tail.position() === 0 }))
  yield* Console.log("nobody reads the log any more")
  yield* store.append(Cart.stream("2"), [new Paid({ cents: 700 })])

  yield* Console.log("it comes back with Last-Event-ID: 3")
  yield* messages("3").pipe(Stream.take(1), Stream.runForEach(print))
  yield* Stream.runDrain(messages("three"))
  yield* Stream.runDrain(messages("99"))
})

const serve = Effect.gen(function*() {
  const store = yield* EventStore
  yield* Console.log(`curl -N ${yield* url}`)
  yield* Effect.gen(function*() {
    const cart = Cart.stream(String(yield* Random.nextIntBetween(1, 100)))
    yield* store.append(cart, [new Paid({ cents: yield* Random.nextIntBetween(1, 10_000) })])
  }).pipe(Effect.repeat(Schedule.spaced("1 second")))
})

NodeRuntime.runMain(
  (process.argv.includes("--serve") ? serve : show).pipe(Effect.provide([Live, FetchHttpClient.layer]))
)
