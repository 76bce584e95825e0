import type { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Metric, Option, Stream } from "effect"
import { EventStore, PersistentSubscription, Subscription } from "effect-eventstore"
import { note, Notes, open, type OpenOptions, recorded, type Store } from "../support/Notes.ts"
import * as PostgresServer from "../support/PostgresServer.ts"
import {
  assertWhole,
  goOn,
  subscribe,
  subscribeAll,
  subscribeElsewhere,
  subscribeToNotes,
  until,
  untilFailed,
  write
} from "../support/Subscribers.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import { database, Server } from "../support/TestServer.ts"

/** The sessions that listen. */
const listeners = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ pid: number }>`SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND query LIKE 'LISTEN %'`,
    (rows) => rows.map(({ pid }) => pid)
  )

const missed = Effect.map(
  Metric.snapshot,
  (metrics) =>
    metrics.reduce(
      (sum, metric) => metric.id === "eventstore.tail.missed_notifications" ? sum + (metric.state as any).count : sum,
      0
    )
)

/** Appends so many events at once. */
const append = (store: Store, count: number, text: string) =>
  store.append(Notes.stream(text), Array.from({ length: count }, (_, i) => note(`${text} ${i}`)))

layer(Server.layer, { excludeTestServices: true, timeout: "1 minute" })("catch-up subscriptions", (it) => {
  /** Subscribers of all kinds and two writers, one on the store of the subscribers; then the faults; then nothing is amiss. */
  const whileWriting = <E, R>(
    subscriberUrl: string,
    url: string,
    options: OpenOptions,
    faults: (
      around: {
        readonly goOn: Effect.Effect<void>
        readonly sql: PgClient.PgClient
      }
    ) => Effect.Effect<void, E, R>
  ) =>
    Effect.gen(function*() {
      const writer = yield* open(url)
      const { store } = yield* open(subscriberUrl, options)
      const subscribers = yield* subscribeAll(store, subscriberUrl, options)
      const writers = [yield* write(writer.store, "own"), yield* write(store, "same")]
      const more = goOn(subscribers)
      yield* more
      yield* faults({ goOn: more, sql: writer.sql })
      yield* more
      assert.isAbove(yield* assertWhole(store, subscribers, writers), 200)
    })

  for (const way of ["restarts", "is killed and started"] as const) {
    it.effect(`see everything once and in order where the server ${way}`, () =>
      Effect.gen(function*() {
        const { server, url } = yield* database
        yield* whileWriting(url, url, {}, ({ goOn }) =>
          Effect.gen(function*() {
            for (let round = 0; round < 2; round++) {
              if (way === "restarts") yield* server.restart
              else yield* Effect.andThen(server.kill9, server.start)
              yield* goOn
            }
          }))
      }))
  }

  it.effect("read what is far behind once and in order while the server comes and goes", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const { store } = yield* open(url)
      for (let i = 0; i < 20; i++) yield* append(store, 1000, String(i))
      const seen: Array<number> = []
      let pages = 0
      yield* Subscription.catchUp(Notes).pipe(
        Stream.take(20_000),
        Stream.runForEachArray((events) =>
          Effect.suspend(() => {
            for (const { position } of events) seen.push(position)
            pages++
            // the next page is being read
            return pages === 2 ? server.restart : pages === 5 ? Effect.andThen(server.kill9, server.start) : Effect.void
          })
        ),
        Effect.provideService(EventStore, store)
      )
      assert.isAbove(pages, 5)
      assert.deepStrictEqual(seen, Array.from({ length: 20_000 }, (_, i) => i + 1))
    }))

  it.effect("see everything once and in order where the sessions that listen are ended", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      yield* whileWriting(url, url, {}, ({ goOn, sql }) =>
        Effect.gen(function*() {
          for (let round = 0; round < 3; round++) {
            // that of this process and that of the other
            const pids = yield* Effect.repeat(listeners(sql), { until: (pids) => pids.length === 2 })
            yield* sql`SELECT pg_terminate_backend(pid) FROM unnest(${pids}::int4[]) AS pid`
            yield* goOn
          }
        }))
    }))

  it.effect("see everything once and in order where all connections are cut", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      yield* whileWriting(proxy.url, url, {}, ({ goOn }) =>
        Effect.gen(function*() {
          for (let round = 0; round < 5; round++) {
            proxy.cut()
            yield* goOn
          }
        }))
    }))

  it.effect("find by themselves what a connection that turned deaf does not tell, and say so", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      const warnings: Array<string> = []
      const before = yield* missed
      const writer = yield* open(url)
      const options = { poll: "200 millis" } as const
      const { store } = yield* open(proxy.url, { ...options, warnings })
      const subscribers = yield* subscribeAll(store, proxy.url, options)
      const writers = [yield* write(writer.store)]
      yield* goOn(subscribers)
      proxy.deafen(true)
      yield* goOn(subscribers, 500)
      yield* until(() => warnings.length > 0, subscribers)
      assert.isAbove(proxy.swallowed(), 0)
      assert.isAbove(yield* missed, before)
      proxy.deafen(false)
      yield* goOn(subscribers)
      assert.deepStrictEqual([...new Set(warnings)], [
        "A notification of the event store did not come: it is asked more often until one does"
      ])
      yield* assertWhole(store, subscribers, writers)
    }))

  it.effect("do not take for missed what was stored while there was no connection", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      const before = yield* missed
      const admin = yield* open(url)
      const { store } = yield* open(proxy.url, { poll: "1 second" })
      const subscriber = yield* subscribe(store)
      yield* append(admin.store, 1, "before")
      yield* until(() => subscriber.seen.length === 1, [subscriber])
      // it looks for itself, and has nothing to say of the last notification any more
      yield* Effect.sleep(2000)
      // nobody is there
      proxy.leadTo("postgres://127.0.0.1:1/")
      proxy.cut()
      yield* append(admin.store, 1, "meanwhile")
      proxy.leadTo(url)
      yield* until(() => subscriber.seen.length === 2, [subscriber])
      yield* Effect.sleep(2500)
      assert.strictEqual(yield* missed, before)
    }))

  it.effect("go on behind an event that is larger than what is read at a time", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const { store } = yield* open(url, { limits: { eventBytes: 4_000_000 } })
      const subscribers = [yield* subscribe(store), yield* subscribeToNotes(store)]
      for (let n = 1; n <= 3; n++) {
        yield* store.append(Notes.stream("a"), [note("x".repeat(3_000_000))])
        yield* until(() => subscribers.every(({ seen }) => seen.length === n), subscribers)
      }
      yield* assertWhole(store, subscribers, [])
    }))

  it.effect("do with looking where nobody can listen", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      yield* whileWriting(url, url, { listen: false, poll: "50 millis" }, ({ goOn, sql }) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* listeners(sql), [])
          yield* server.restart
          yield* goOn
          assert.deepStrictEqual(yield* listeners(sql), [])
        }))
    }))

  it.effect("start when the server does, if it is down", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const { store } = yield* open(url)
      yield* store.append(Notes.stream("a"), [note("before")])
      yield* server.stop
      const subscribers = [yield* subscribe(store), yield* subscribeToNotes(store), yield* subscribe(store, 1)]
      yield* Effect.sleep(500)
      assert.deepStrictEqual(subscribers.map(({ failure, seen }) => [seen.length, failure()]), [
        [0, undefined],
        [0, undefined],
        [0, undefined]
      ])
      yield* server.start
      const writers = [yield* write(store)]
      yield* goOn(subscribers)
      yield* assertWhole(store, subscribers.slice(0, 2), writers)
    }))

  it.effect("go on after the server was away for longer than they wait between two attempts", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      yield* whileWriting(url, url, {}, () =>
        Effect.gen(function*() {
          yield* server.stop
          yield* Effect.sleep(5000)
          yield* server.start
        }))
    }))

  it.effect("lose nothing while slow queries of the application hold all connections of its client", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const { sql, store } = yield* open(url, { client: { maxConnections: 2 } })
      const admin = yield* open(url)
      const subscribers = [yield* subscribe(store), yield* subscribeToNotes(store), yield* subscribeElsewhere(url)]
      const writer = yield* write(store)
      yield* goOn(subscribers)
      const slow = yield* Effect.forkChild(
        Effect.all([sql`SELECT pg_sleep(60)`, sql`SELECT pg_sleep(60)`], { concurrency: 2 })
      )
      yield* Effect.repeat(
        admin.sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
        { until: (rows) => rows.length === 2 }
      )
      // appends have connections of their own, and so has who subscribes elsewhere
      const before = writer.acknowledged.size
      yield* until(() => writer.acknowledged.size > before + 100)
      yield* goOn(subscribers.slice(2))
      yield* Fiber.interrupt(slow)
      yield* goOn(subscribers)
      yield* assertWhole(store, subscribers, [writer])
    }))

  /** A log with 20 events, a copy of it, 20 more events, and subscribers who saw them all. */
  const copied = (options?: OpenOptions) =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const writer = yield* open(url)
      yield* append(writer.store, 20, "kept")
      yield* server.stop
      const copy = yield* server.copy
      yield* server.start
      const proxy = yield* TcpProxy.make(url)
      const { store } = yield* open(proxy.url, options)
      const subscribers = yield* subscribeAll(store, proxy.url, options)
      yield* append(writer.store, 20, "lost")
      yield* until(() => subscribers.every(({ seen }) => seen.length === 40), subscribers)
      const events = yield* recorded(store)
      return { server, url, copy, proxy, store, subscribers, events }
    })

  it.effect("fail with LogRewound where a log that is shorter was restored", () =>
    Effect.gen(function*() {
      const { copy, events, server, store, subscribers } = yield* copied()
      yield* server.stop
      yield* server.restore(copy)
      yield* server.start
      assert.deepStrictEqual(yield* untilFailed(subscribers), ["LogRewound", "LogRewound", "LogRewound"])

      const late = [yield* subscribe(store, 40), yield* subscribe(store, events[39]), yield* subscribe(store, 21)]
      assert.deepStrictEqual(yield* untilFailed(late), ["LogRewound", "LogRewound", "LogRewound"])
      const good = [yield* subscribe(store, 20), yield* subscribe(store, events[19]), yield* subscribe(store)]
      yield* append(store, 30, "new")
      yield* until(() => good.every(({ seen }) => seen.at(-1)?.startsWith("50 ") === true), good)
      assert.deepStrictEqual(good.map(({ seen }) => seen.length), [30, 30, 50])
    }))

  it.effect("fail with LogRewound where a server takes over that lacks events and has others in their place", () =>
    Effect.gen(function*() {
      const { copy, events, proxy, store, subscribers, url } = yield* copied()
      const other = yield* PostgresServer.make({ copyOf: copy })
      const otherUrl = other.url(new URL(url).pathname.slice(1))
      const { store: otherStore } = yield* open(otherUrl)
      yield* append(otherStore, 40, "other")
      proxy.leadTo(otherUrl)
      proxy.cut()
      assert.deepStrictEqual(yield* untilFailed(subscribers), ["LogRewound", "LogRewound", "LogRewound"])
      assert.deepStrictEqual(subscribers.map(({ seen }) => seen.length), [40, 40, 40])

      const late = [yield* subscribe(store, events[39]), yield* subscribeToNotes(store, events[20])]
      assert.deepStrictEqual(yield* untilFailed(late), ["LogRewound", "LogRewound"])
      const good = [yield* subscribe(store, events[19]), yield* subscribeToNotes(store, events[9])]
      yield* until(() => good.every(({ seen }) => seen.at(-1)?.startsWith("60 ") === true), good)
      assert.deepStrictEqual(good.map(({ seen }) => seen.length), [40, 50])
    }))

  it.effect("fail with LogRewound though they still listen to the server that was replaced", () =>
    Effect.gen(function*() {
      const { copy, proxy, store, subscribers, url } = yield* copied({ poll: "1 second" })
      const other = yield* PostgresServer.make({ copyOf: copy })
      proxy.leadTo(other.url(new URL(url).pathname.slice(1)))
      proxy.cut({ listeners: false })
      // its end lies beyond the place where they are
      yield* append(store, 21, "other")
      yield* append(store, 1, "other")
      assert.deepStrictEqual(yield* untilFailed(subscribers), ["LogRewound", "LogRewound", "LogRewound"])
      assert.deepStrictEqual(subscribers.map(({ seen }) => seen.length), [40, 40, 40])
    }))

  it.effect("go on where a server takes over that has everything", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      const { store } = yield* open(proxy.url)
      const subscribers = yield* subscribeAll(store, proxy.url)
      const writer = yield* write(store)
      yield* goOn(subscribers)
      yield* server.stop
      const other = yield* PostgresServer.make({ copyOf: yield* server.copy })
      // before the old one is there again: what it were told would be lost
      proxy.leadTo(other.url(new URL(url).pathname.slice(1)))
      yield* server.start
      yield* goOn(subscribers)
      yield* assertWhole(store, subscribers, [writer])
    }))

  it.effect("that are persistent fail with LogRewound as well, and go on from what was restored with the log", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const { store } = yield* open(url)
      const handled: Array<number> = []
      const consume = PersistentSubscription.run("restored", {
        from: Notes,
        handle: ({ position }) => Effect.sync(() => handled.push(position))
      }).pipe(Effect.provideService(EventStore, store))
      const finished = (position: number) =>
        Effect.repeat(Effect.andThen(Effect.sleep(10), PersistentSubscription.info("restored")), {
          until: (info) => Option.isSome(info) && info.value.checkpoint === position
        }).pipe(Effect.provideService(EventStore, store))
      yield* append(store, 20, "kept")
      const first = yield* Effect.forkChild(Effect.flip(consume))
      yield* finished(20)
      yield* server.stop
      const copy = yield* server.copy
      yield* server.start
      yield* append(store, 20, "lost")
      yield* finished(40)
      yield* server.stop
      yield* server.restore(copy)
      yield* server.start
      assert.strictEqual((yield* Fiber.join(first))._tag, "LogRewound")

      yield* append(store, 5, "new")
      yield* Effect.forkScoped(consume)
      yield* finished(25)
      assert.deepStrictEqual(handled.slice(40), [21, 22, 23, 24, 25])
    }))
})
