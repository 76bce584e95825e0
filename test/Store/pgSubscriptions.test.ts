/** The seam below persistent subscriptions, in Postgres: what it shares with the one in memory, and what only it can do. */
import { assert, describe, it, layer as sharedLayer } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Queue } from "effect"
import { EventStore, PgEventStore, PgliteEventStore, PgMigrations, type StoreError } from "effect-eventstore"
import {
  begin,
  claimOf,
  done,
  heldOf,
  makeQueue,
  park,
  positionsOf,
  release,
  retry
} from "../../src/Testing/internal/queue.ts"
import { ruleOf } from "../../src/Testing/internal/rule.ts"
import { subscriptionStorageRules } from "../../src/Testing/internal/subscriptionStorageRules.ts"
import { has, note, Notes, open, openStore, type Store, texts } from "../support/Notes.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const rules = <E>(name: string, layer: Layer.Layer<EventStore, E>, transactions: "concurrent" | "exclusive") =>
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(name, (it) => {
    describe("persistent subscriptions", () => subscriptionStorageRules(ruleOf(it), { transactions }))
  })

rules("postgres", Layer.provide(PgEventStore.layer(), TestPostgres.layer), "concurrent")
rules("postgres 15", Layer.provide(PgEventStore.layer(), TestPostgres.layer15), "concurrent")
rules("pglite", PgliteEventStore.layer(), "exclusive")

const opened = Effect.flatMap(TestPostgres.url, (url) => open(url))

/** Each operation of the seam once. */
const everything = Effect.fnUntraced(function*(store: Store) {
  const { subscriptions } = store.storage
  const queue = yield* makeQueue(store, { parkedBlocks: true })
  yield* store.append(Notes.stream("a"), ["1", "2", "3"].map(note))
  const head = yield* store.head()
  const events = [1, 2, 3, 4].map((position) => ({ position, key: position === 4 ? null : "a" }))
  const { deliveries } = yield* queue.claim(undefined, { offer: { from: 0, to: head, eventId: null, events } })
  assert.deepStrictEqual(deliveries.map(({ event }) => event?.data), [
    "{\"text\":\"1\"}",
    "{\"text\":\"2\"}",
    "{\"text\":\"3\"}",
    undefined
  ])
  assert.deepStrictEqual(
    yield* subscriptions.extend(queue.id, deliveries.map(heldOf), Duration.minutes(1), undefined),
    []
  )
  const [first, second, third, fourth] = deliveries
  const finished = yield* subscriptions.finishWith(
    queue.id,
    first!,
    Effect.as(store.append(Notes.stream("b"), [note("done")]), "finished")
  )
  assert.deepStrictEqual(finished, Option.some("finished"))
  assert.deepStrictEqual(yield* texts(store, "b"), ["done"])
  assert.deepStrictEqual(yield* subscriptions.finishWith(queue.id, first!, Effect.void), Option.none())
  const settlements = [park(second!, "on purpose", "why"), release(third!), retry(fourth!, 60_000)]
  assert.deepStrictEqual(yield* subscriptions.settle(queue.id, settlements, undefined), [])
  assert.deepStrictEqual(yield* queue.positions(undefined), [])
  has(Option.getOrThrow(yield* subscriptions.state(queue.name, undefined)), { waiting: 2, inFlight: 0, parked: 1 })
  const parked = yield* subscriptions.parked(queue.id, { after: 0, limit: 9 })
  assert.deepStrictEqual(parked.map(({ error, event, position, reason }) => [position, reason, error, event?.data]), [
    [2, "on purpose", "why", "{\"text\":\"2\"}"]
  ])
  assert.strictEqual(yield* queue.replay(2), 1)
  const again = yield* queue.take(undefined)
  assert.deepStrictEqual(positionsOf(again), [2, 3])
  yield* subscriptions.settle(queue.id, again.map((delivery) => park(delivery)), undefined)
  assert.strictEqual(yield* queue.discard(2), 1)
  assert.strictEqual(yield* queue.skip(2, 3), 1)
  yield* subscriptions.update(queue.name, { capacity: 7, start: { position: 0, eventId: null } })
  assert.isAbove((yield* subscriptions.list(undefined)).length, 0)
  assert.isTrue(yield* subscriptions.remove(queue.name))
  assert.isUndefined(yield* subscriptions.claim(claimOf(queue.id, undefined)))
})

describe("persistent subscriptions in Postgres", () => {
  it.live("need of a role what is granted, and nothing else", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const owner = yield* open(url)
      const role = `app_${new URL(url).pathname.slice(-12)}`
      yield* Effect.acquireRelease(
        owner.sql.unsafe(`CREATE ROLE ${role} LOGIN`),
        () =>
          Effect.ignore(
            Effect.andThen(owner.sql.unsafe(`DROP OWNED BY ${role}`), owner.sql.unsafe(`DROP ROLE ${role}`))
          )
      )
      for (const statement of PgMigrations.grants({ role }).split(";\n")) {
        if (statement.trim() !== "") yield* owner.sql.unsafe(statement)
      }
      const asRole = new URL(url)
      asRole.username = role
      const { sql, store } = yield* openStore(asRole.href)
      yield* everything(store)
      for (
        const statement of [
          "UPDATE eventstore.subscriptions SET leases = 0",
          "DELETE FROM eventstore.deliveries",
          "INSERT INTO eventstore.parked_deliveries SELECT * FROM eventstore.parked_deliveries",
          "SELECT eventstore.lock_subscription(1, 'x')"
        ]
      ) {
        assert.strictEqual((yield* Effect.flip(sql.unsafe(statement))).reason._tag, "AuthorizationError", statement)
      }
    }))

  it.live("work where transactions are serializable by default", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const admin = yield* open(url)
      const database = new URL(url).pathname.slice(1)
      yield* admin.sql.unsafe(`ALTER DATABASE ${database} SET default_transaction_isolation TO serializable`)
      const { sql, store } = yield* open(url)
      yield* everything(store)
      // by hand, a claim is refused: it would hand out what its snapshot shows
      const claim =
        "SELECT FROM eventstore.claim_deliveries(1, NULL, 1, '1 s', 1, true, NULL, NULL, NULL, NULL, NULL, NULL)"
      const error = yield* Effect.flip(sql.unsafe(claim))
      assert.strictEqual((error.reason.cause as { readonly code: string }).code, "ES001")
    }))

  it.live("say which subscription changed to those who may go on, and only to them", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* opened
      const { subscriptions } = store.storage
      const queue = yield* makeQueue(store)
      const heard = yield* sql.listen("eventstore_1")
      /** What is heard of an effect; the append behind it says when all of that has come. */
      const news = Effect.fnUntraced(function*(effect: Effect.Effect<unknown, unknown>) {
        yield* effect
        yield* store.append(Notes.stream("a"), [note("next")])
        const payloads: Array<string> = []
        for (;;) {
          const { payload } = yield* Queue.take(heard)
          if (payload === "") return payloads
          payloads.push(payload)
        }
      })
      const settle = (...settlements: Parameters<typeof queue.settle> extends [number, ...infer S] ? S : never) =>
        news(queue.settle(begin, ...settlements))
      // more than whoever offered it takes
      assert.deepStrictEqual(
        yield* news(queue.offer(["a", "a", "a", "b", "b", null, null, "c", "c", "d"])),
        [queue.name]
      )
      const [a1, a2, , b] = yield* queue.take(begin, { limit: 4 })
      const [none] = yield* queue.take(begin, { limit: 1 })
      const [, c] = yield* queue.take(begin, { limit: 2 })
      // what waits behind is in the same hands
      assert.deepStrictEqual(yield* settle(done(a1!)), [])
      assert.deepStrictEqual(yield* settle(done(none!)), [])
      // the second "b" waits
      assert.deepStrictEqual(yield* settle(done(b!)), [queue.name])
      assert.deepStrictEqual(yield* settle(park(c!)), [queue.name])
      const [d] = (yield* queue.take(begin)).slice(-1)
      assert.deepStrictEqual(yield* settle(retry(d!, 1000)), [])
      assert.deepStrictEqual(yield* settle(release(a2!)), [queue.name])
      assert.deepStrictEqual(yield* settle(done(a2!)), [], "a refused one changes nothing")
      assert.deepStrictEqual(yield* news(queue.replay(8)), [queue.name])
      assert.deepStrictEqual(yield* news(queue.replay(8)), [])
      assert.deepStrictEqual(yield* news(subscriptions.update(queue.name, { capacity: 1 })), [queue.name])
      assert.deepStrictEqual(yield* news(subscriptions.remove(queue.name)), [queue.name])
      assert.deepStrictEqual(yield* news(subscriptions.remove(queue.name)), [])
    }))

  it.live("may be asked again where an answer is lost", () =>
    Effect.gen(function*() {
      const proxy = yield* TcpProxy.make(yield* TestPostgres.url)
      const { store } = yield* open(proxy.url)
      const queue = yield* makeQueue(store)
      yield* queue.offer(["a", "b"])
      const lost = Effect.fnUntraced(
        function*(marker: string, effect: Effect.Effect<unknown, StoreError.StoreError>, isRetryable: boolean) {
          proxy.loseAnswers(marker, 1)
          has(yield* Effect.flip(effect), {
            _tag: "StoreError",
            outcome: "unknown",
            isRetryable
          })
        }
      )
      yield* lost("claim_deliveries", queue.take(begin), true)
      assert.deepStrictEqual(yield* queue.take(begin), [])
      const deliveries = yield* queue.take(begin + 1000)
      assert.deepStrictEqual(deliveries.map(({ attempt, position }) => [position, attempt]), [[1, 2], [2, 2]])
      yield* lost("extend_deliveries", queue.extend(begin + 1000, Duration.seconds(9), deliveries[0]!), true)
      assert.deepStrictEqual(yield* queue.extend(begin + 1000, Duration.seconds(9), deliveries[0]!), [])
      yield* lost("settle_deliveries", queue.settle(begin + 1000, done(deliveries[0]!)), true)
      assert.deepStrictEqual(yield* queue.settle(begin + 1000, ...deliveries.map(done)), [1])
      // a second one would not answer what the first one did
      yield* lost("remove_subscription", store.storage.subscriptions.remove(queue.name), false)
      assert.isFalse(yield* store.storage.subscriptions.remove(queue.name))
    }))

  it.live("keep what an error says, and keys, also where they hold what Postgres cannot", () =>
    Effect.gen(function*() {
      const { store } = yield* opened
      const queue = yield* makeQueue(store)
      const longest = "\u{1F600}".repeat(256)
      yield* queue.offer(["\0", longest, "\uD800"])
      const deliveries = yield* queue.take(begin)
      assert.deepStrictEqual(deliveries.map(({ key }) => key), ["\uFFFD", longest, "\uFFFD"])
      yield* queue.settle(
        begin,
        park(deliveries[0]!, "a\0b", "c\uDFFF\0"),
        ...deliveries.slice(1).map((one) => park(one))
      )
      const [first] = yield* queue.parked()
      has(first!, { reason: "a\uFFFDb", error: "c\uFFFD\uFFFD" })
      assert.strictEqual(yield* queue.replay(1, 2, 3), 3)
    }))

  it.live("are changed beside the transaction that is open", () =>
    Effect.gen(function*() {
      const { store } = yield* opened
      const queue = yield* makeQueue(store)
      yield* Effect.flip(store.transaction(Effect.gen(function*() {
        yield* queue.offer(["a", "b"])
        yield* queue.settle(begin, done((yield* queue.take(begin))[0]!))
        return yield* Effect.fail("rolled back")
      })))
      assert.deepStrictEqual(yield* queue.counts(), { waiting: 0, inFlight: 1, parked: 0 })
    }))

  it.live("refuse on PGlite what would wait for the transaction that waits for it", () =>
    Effect.gen(function*() {
      const store = yield* EventStore
      const queue = yield* makeQueue(store)
      const error = yield* Effect.flip(store.transaction(queue.take(begin)))
      has(error, { _tag: "StoreError", outcome: "not-stored", isRetryable: false })
      // others wait until it ends
      const offer = yield* Effect.forkChild(queue.offer(["a"]))
      yield* store.transaction(Effect.sleep("50 millis"))
      yield* Fiber.join(offer)
      assert.deepStrictEqual(yield* queue.positions(begin), [1])
    }).pipe(Effect.provide(PgliteEventStore.layer())))

  it.live("do not outlive the store", () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const store = yield* Effect.scoped(Effect.map(open(url), ({ store }) => store))
      has(yield* Effect.flip(store.storage.subscriptions.claim(claimOf(1, undefined))), {
        _tag: "StoreError",
        outcome: "not-stored"
      })
    }))

  it.live("find what is offered below what was replayed, after a move back", () =>
    Effect.gen(function*() {
      const { store } = yield* opened
      const queue = yield* makeQueue(store)
      yield* queue.offer(["a", "b", "c"])
      yield* queue.settle(begin, park((yield* queue.take(begin))[2]!))
      yield* store.storage.subscriptions.update(queue.name, { start: { position: 0, eventId: null } })
      assert.strictEqual(yield* queue.replay(3), 1)
      assert.deepStrictEqual(yield* queue.positions(begin), [3])
      const events = [1, 2, 3].map((position) => ({ position, key: null }))
      assert.deepStrictEqual(yield* queue.positions(begin, { offer: { from: 0, to: 3, eventId: null, events } }), [
        1,
        2
      ])
      assert.strictEqual((yield* queue.state()).checkpoint, 0)
    }))
})
