import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Duration, Effect, Exit, Layer, References, Schema, Scope } from "effect"
import { Category, Event, EventStore, type LogStorage, RawEvent } from "effect-eventstore"
import { HttpRouter, HttpServer } from "effect/http"
import * as Http from "node:http"
import { events } from "../../examples/sse/events.ts"
import { browse, type Client, connect, makeBrittleWire } from "./sseClients.ts"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String, at: Schema.DateTimeUtc }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
class Closed extends Schema.TaggedClass<Closed>()("Closed", {}) {}
/** What one event said once, two say now. */
const PaidAndClosed = Event
  .oldest(Schema.Struct({ cents: Schema.Int }))
  .retired("PaidAndClosed", ({ cents }) => [new Paid({ cents }), new Closed()])

const Cart = Category.make("cart", { id: Schema.String, events: [Opened, Paid, Closed, PaidAndClosed] })

const paid = (cents: number) => new Paid({ cents })
const elsewhere = RawEvent.make({ type: "Elsewhere", schemaVersion: 1, data: {} })

/** A store in memory whose reads are counted, and of which the end can get lost. */
const makeStore = Effect.gen(function*() {
  const { storage } = Context.get(yield* Layer.build(Layer.fresh(EventStore.layerMemory)), EventStore)
  const log = { reads: 0, head: Infinity }
  const watched: LogStorage.LogStorage = {
    ...storage,
    pollMillis: 10,
    logPage: (filter, range) => Effect.andThen(Effect.sync(() => log.reads++), storage.logPage(filter, range)),
    identity: (position) =>
      Effect.map(storage.identity(position), (found) => {
        log.reads++
        return { ...found, head: Math.min(found.head, log.head) }
      })
  }
  return { log, store: yield* EventStore.make(watched) }
})

/** The route of the example on a server of its own. */
const start = Effect.fn(function*(options?: Parameters<typeof events>[2]) {
  const { log, store } = yield* makeStore
  const lastEventIds: Array<string | undefined> = []
  const server = Http.createServer()
  server.on("request", ({ headers }) => lastEventIds.push(headers["last-event-id"] as string | undefined))
  const scope = yield* Scope.fork(yield* Effect.scope)
  const { address } = yield* HttpRouter.serve(events(Cart, Schema.Union([Opened, Paid, Closed]), options), {
    disableListenLog: true,
    disableLogger: true
  }).pipe(
    Layer.provideMerge(
      NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "200 millis" })
    ),
    Layer.provide(Layer.succeed(EventStore, store)),
    Layer.buildWithScope(scope),
    // the log is lost on purpose
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.map((context) => Context.get(context, HttpServer.HttpServer))
  )
  const origin = HttpServer.formatAddress(address)
  return {
    store,
    log,
    origin,
    url: `${origin}/events/cart`,
    lastEventIds,
    isFollowed: () => store.tail.position() > 0,
    isClosed: () => !server.listening,
    close: Scope.close(scope, Exit.void)
  }
})

const until = (holds: () => boolean) =>
  Effect.sleep("2 millis").pipe(
    Effect.repeat({ until: () => holds() }),
    Effect.timeoutOrElse({ duration: "10 seconds", orElse: () => Effect.die(`never: ${holds}`) })
  )

const ids = ({ messages }: Pick<Client, "messages">) => messages.map(({ id }) => id)
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i))

describe("examples/sse", () => {
  it.live("tells what is stored and then what comes, as positions, tags and JSON", () =>
    Effect.gen(function*() {
      const { store, url } = yield* start()
      const at = DateTime.makeUnsafe("2030-01-01T00:00:00Z")
      yield* store.append(Cart.stream("1"), [new Opened({ customer: "Zoë\n\u2028", at }), paid(5)])
      const client = yield* connect(url)
      assert.strictEqual(client.status, 200)
      assert.strictEqual(client.headers.get("content-type"), "text/event-stream")
      assert.strictEqual(client.headers.get("cache-control"), "no-cache")
      yield* until(() => client.text().includes(": 2"))
      yield* store.append(Category.rawStream("other-1"), [elsewhere])
      yield* store.append(Cart.stream("2"), [new Closed()])
      yield* until(() => client.messages.length === 3)
      assert.strictEqual(
        client.text(),
        `id: 1\nevent: Opened\ndata: {"_tag":"Opened","customer":"Zoë\\n\u2028","at":"2030-01-01T00:00:00.000Z"}\n\n` +
          `id: 2\nevent: Paid\ndata: {"_tag":"Paid","cents":5}\n\n` +
          `: 2\nid: 2\n\n` +
          `id: 4\nevent: Closed\ndata: {"_tag":"Closed"}\n\n`
      )
    }))

  it.live("goes on behind the id a client saw last, whatever its URL says, or from where the URL says", () =>
    Effect.gen(function*() {
      const { store, url } = yield* start()
      yield* store.append(Cart.stream("1"), [1, 2, 3, 4].map(paid))
      const asked = yield* Effect.all([
        connect(url, { "last-event-id": "2" }),
        connect(`${url}?after=1`, { "last-event-id": "2" }),
        connect(`${url}?after=end`, { "last-event-id": "2" }),
        connect(`${url}?after=2`),
        connect(`${url}?after=0`),
        connect(`${url}?after=end`)
      ])
      yield* store.append(Cart.stream("1"), [paid(5)])
      yield* until(() => asked.every(({ messages }) => messages.at(-1)?.id === "5"))
      const rest = ["3", "4", "5"]
      assert.deepStrictEqual(asked.map(ids), [rest, rest, rest, rest, ["1", "2", ...rest], ["5"]])
    }))

  it.live("keeps a quiet connection alive, and lets its client come back to where the log was looked through", () =>
    Effect.gen(function*() {
      const { lastEventIds, origin, store, url } = yield* start({ heartbeat: "10 millis" })
      const client = yield* connect(url)
      const wire = yield* makeBrittleWire(origin, () => 700)
      yield* browse(`${wire.origin}/events/cart`, ["Paid"])
      yield* store.append(Category.rawStream("other-1"), [elsewhere, elsewhere, elsewhere])
      yield* until(() => client.text().includes(": 3\nid: 3\n\n: 3\nid: 3\n\n"))
      assert.deepStrictEqual(client.messages, [])
      yield* until(() => lastEventIds.includes("3"))
    }))

  it.live("loses nothing and repeats nothing for a browser whose connections break anywhere", () =>
    Effect.gen(function*() {
      const { lastEventIds, origin, store } = yield* start()
      yield* store.append(Cart.stream("1"), Array.from({ length: 100 }, (_, i) => paid(i)))
      let cut = 0
      // from a handful of bytes behind the headers on, every number of them
      const wire = yield* makeBrittleWire(origin, () => 250 + 37 * cut++)
      const browser = yield* browse(`${wire.origin}/events/cart`, ["Paid"])
      for (let i = 100; i < 400; i++) {
        yield* store.append(Cart.stream("1"), [paid(i)])
        if (i % 10 === 0) yield* Effect.sleep("1 millis")
      }
      yield* until(() => browser.messages.at(-1)?.id === "400")
      assert.deepStrictEqual(ids(browser), numbers(1, 400))
      assert.deepStrictEqual(browser.messages.map(({ data }) => JSON.parse(data).cents), numbers(0, 399).map(Number))
      assert.isAbove(wire.cuts(), 10)
      assert.isAbove(new Set(lastEventIds).size, 10)
    }))

  it.live("gives its id only to the last of several messages that stand for one stored event", () =>
    Effect.gen(function*() {
      const { store, url } = yield* start()
      yield* store.append(Cart.stream("1"), [paid(1)])
      yield* store.append(Category.rawStream("cart-1"), [
        RawEvent.make({ type: "PaidAndClosed", schemaVersion: 1, data: { cents: 2 } })
      ])
      const client = yield* connect(url)
      yield* until(() => client.text().includes(": 2"))
      // the second message leaves the id of a client as it is
      assert.deepStrictEqual(client.messages.map(({ event, id }) => `${id} ${event}`), ["1 Paid", "1 Paid", "2 Closed"])
    }))

  it.live("serves 50 clients with one reader of the log, and nobody reads it when the last one has left", () =>
    Effect.gen(function*() {
      const { isFollowed, log, store, url } = yield* start()
      yield* store.append(Cart.stream("1"), [paid(0)])
      const clients = yield* Effect.all(Array.from({ length: 50 }, () => connect(url)), { concurrency: 50 })
      yield* until(() => clients.every((client) => client.text().includes(": 1")))
      const before = log.reads
      for (let i = 1; i < 100; i++) yield* store.append(Cart.stream("1"), [paid(i)])
      yield* until(() => clients.every(({ messages }) => messages.length === 100))
      for (const client of clients) assert.deepStrictEqual(ids(client), numbers(1, 100))
      assert.isBelow(log.reads - before, 200)

      for (const { leave } of clients.slice(1)) yield* leave
      yield* Effect.sleep("30 millis")
      assert.isTrue(isFollowed())
      yield* clients[0]!.leave
      yield* until(() => !isFollowed())
      const after = log.reads
      yield* store.append(Cart.stream("1"), [paid(100)])
      yield* Effect.sleep("50 millis")
      assert.strictEqual(log.reads, after)
    }))

  it.live("closes at once without clients, and cuts those off that are left", () =>
    Effect.gen(function*() {
      const quiet = yield* start()
      const gone = yield* connect(quiet.url)
      yield* gone.leave
      yield* until(() => !quiet.isFollowed())
      const [took] = yield* Effect.timed(quiet.close)
      assert.isBelow(Duration.toMillis(took), 100)

      const busy = yield* start()
      const client = yield* connect(busy.url)
      yield* busy.close
      yield* until(() => client.ended() !== undefined)
      assert.strictEqual(client.ended(), "cut")
      assert.isTrue(busy.isClosed())
      assert.isFalse(busy.isFollowed())
    }))

  it.live("refuses what is no position, with a sentence", () =>
    Effect.gen(function*() {
      const { isFollowed, origin, url } = yield* start()
      const refused = Effect.fn(function*(url: string, headers: Record<string, string> = {}) {
        const client = yield* connect(url, headers)
        yield* until(() => client.ended() !== undefined)
        return `${client.status} ${client.text()}`
      })
      const rest = "which is not a position of the log: a whole number from 0\n"
      for (const text of ["x", "-1", "1.5", "1e3", "0x1", "9007199254740993", "end", "1, 2"]) {
        assert.strictEqual(
          yield* refused(url, { "last-event-id": text }),
          `400 Last-Event-ID is ${JSON.stringify(text)}, ${rest}`
        )
      }
      for (const [query, text] of [["x", "x"], ["", ""], ["%00", "\0"], ["%D9%A1", "١"], ["1&after=2", "1,2"]]) {
        assert.strictEqual(yield* refused(`${url}?after=${query}`), `400 after is ${JSON.stringify(text)}, ${rest}`)
      }
      assert.strictEqual((yield* connect(`${origin}/events/other`)).status, 404)
      assert.isFalse(isFollowed())
    }))

  it.live("refuses a position that the log does not reach, and ends streams when the log is lost", () =>
    Effect.gen(function*() {
      const { isFollowed, log, origin, store, url } = yield* start()
      yield* store.append(Cart.stream("1"), [1, 2, 3].map(paid))
      const beyond = yield* connect(url, { "last-event-id": "4" })
      yield* until(() => beyond.ended() !== undefined)
      assert.strictEqual(beyond.status, 409)
      assert.strictEqual(
        beyond.text(),
        "The log was read up to position 4, but ends at position 3: it was restored, or it is another log\n"
      )

      const client = yield* connect(url)
      const browser = yield* browse(`${origin}/events/cart`, ["Paid"])
      yield* until(() => client.messages.length === 3 && browser.messages.length === 3)
      log.head = 2
      yield* until(() => client.ended() === "cut")
      // it comes back by itself, and is told
      yield* until(() => browser.hasGivenUp())
      assert.isFalse(isFollowed())
    }))
})
