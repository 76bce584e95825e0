import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted, type Schema, Scope } from "effect"
import { Category, EventId, EventStore, RawEvent } from "effect-eventstore"
import { has, note, noteAs, Notes, open, recorded, texts } from "../support/Notes.ts"
import * as PostgresServer from "../support/PostgresServer.ts"
import * as TcpProxy from "../support/TcpProxy.ts"

/** A server of our own: these tests stop and kill it. They run one after another. */
class Server extends Context.Service<Server, PostgresServer.PostgresServer>()("test/Server") {
  static readonly layer = Layer.effect(Server, PostgresServer.make())
}

const database = Effect.gen(function*() {
  const server = yield* Server
  return { server, url: yield* server.createDatabase }
})

const count = (sql: PgClient.PgClient, condition: string) =>
  Effect.map(
    sql.unsafe<{ n: number }>(
      `SELECT count(*)::int4 AS n FROM pg_stat_activity WHERE datname = current_database() AND ${condition}`
    ),
    ([row]) => row!.n
  )

/** Appends that wait for the log's lock. */
const waiting = (sql: PgClient.PgClient) => count(sql, "wait_event = 'advisory'")

const until = <E, R>(effect: Effect.Effect<number, E, R>, expected: number) =>
  Effect.repeat(effect, { until: (value) => value === expected })

/** Runs `body` while a session of somebody else holds the lock of log 1; `release` lets go before its end. */
const whileLocked = <A, E, R>(url: string, body: (release: Effect.Effect<void>) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const release = Scope.close(scope, Exit.void)
    const sql = Context.get(
      yield* Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })).pipe(Scope.provide(scope)),
      PgClient.PgClient
    )
    const connection = yield* Scope.provide(sql.reserve, scope)
    yield* connection.executeRaw("SELECT pg_advisory_lock(hashtext('eventstore'), 1)", [])
    return yield* Effect.ensuring(body(release), release)
  })

const noLocks = (sql: PgClient.PgClient) =>
  until(
    Effect.map(
      sql`SELECT pid FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      (rows) => rows.length
    ),
    0
  )

layer(Server.layer, { excludeTestServices: true, timeout: "1 minute" })("a database that goes away", (it) => {
  for (const way of ["restarts", "is killed and started"] as const) {
    it.effect(
      `stores every append exactly once, and answers it, where the server ${way}`,
      () =>
        Effect.gen(function*() {
          const { server, url } = yield* database
          const { store } = yield* open(url)
          const acknowledged: Array<{ id: string; text: string; position: number; version: number }> = []
          let stop = false
          const writer = (n: number) =>
            Effect.gen(function*() {
              let version = 0
              for (let i = 0; !stop; i++) {
                const text = `${n}.${i}`
                // in turn: own stream with an expectation, two events, the shared stream, two streams at once
                if (i % 3 === 0) {
                  const own = yield* store.append(Notes.stream(`own${n}`), [note(`${text}a`), note(`${text}b`)], {
                    expected: version
                  })
                  acknowledged.push({
                    id: `own${n}`,
                    text: `${text}a`,
                    position: own.firstPosition,
                    version: version + 1
                  })
                  acknowledged.push({ id: `own${n}`, text: `${text}b`, position: own.position, version: version += 2 })
                } else if (i % 3 === 1) {
                  const shared = yield* store.append(Notes.stream("shared"), [note(text)])
                  acknowledged.push({ id: "shared", text, position: shared.position, version: shared.version })
                } else {
                  const ids = [`own${n}`, "shared"]
                  const answers = yield* store.appendAll(
                    ids.map((id) => EventStore.entry(Notes.stream(id), [note(`${text}${id}`)]))
                  )
                  for (const [k, { position, version }] of answers.entries()) {
                    acknowledged.push({ id: ids[k]!, text: `${text}${ids[k]}`, position, version })
                  }
                  version++
                }
              }
            })
          const writers = yield* Effect.forkChild(
            Effect.forEach(Array.from({ length: 16 }, (_, i) => i), writer, { concurrency: "unbounded" })
          )
          const moreThan = (n: number) =>
            Effect.suspend(() =>
              writers.pollUnsafe() === undefined && acknowledged.length <= n ?
                Effect.as(Effect.sleep(5), 0) :
                Effect.succeed(1)
            )
          yield* until(moreThan(500), 1)
          for (let round = 0; round < 3; round++) {
            if (way === "restarts") yield* server.restart
            else yield* Effect.andThen(server.kill9, server.start)
            yield* until(moreThan(acknowledged.length + 500), 1)
          }
          stop = true
          // no append answered a failure
          yield* Fiber.join(writers)

          const events = yield* recorded(store)
          assert.deepStrictEqual(events.map(({ position }) => position as number), events.map((_, i) => i + 1))
          assert.deepStrictEqual(
            acknowledged.sort((a, b) => a.position - b.position),
            events.map(({ event, position, streamId, streamVersion }) => ({
              id: streamId.slice("notes-".length),
              text: (event.data as { text: string }).text,
              position,
              version: streamVersion
            }))
          )
          for (const id of ["shared", "own0", "own15"]) {
            const versions = events.filter(({ streamId }) => streamId === `notes-${id}`).map((event) =>
              event.streamVersion
            )
            assert.deepStrictEqual(versions, versions.map((_, i) => i + 1))
          }
        }),
      60_000
    )
  }

  it.effect("answers that nothing is stored where the server was away before the append was sent", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const { store } = yield* open(url, { reconnectFor: "200 millis" })
      yield* store.append(Notes.stream("a"), [note("1")])
      yield* server.stop
      for (const answer of [store.append(Notes.stream("a"), [note("no")]), store.delete(Notes.stream("a"))]) {
        has(yield* Effect.flip(answer), { _tag: "StoreError", outcome: "not-stored", isRetryable: true })
      }
      has(yield* Effect.flip(texts(store, "a")), { _tag: "StoreError", isRetryable: true })
      has(yield* Effect.flip(store.transaction(store.append(Notes.stream("a"), [note("no")]))), {
        _tag: "StoreError",
        outcome: "not-stored",
        isRetryable: true
      })
      yield* server.start
      yield* store.append(Notes.stream("a"), [note("2")])
      assert.deepStrictEqual(yield* texts(store, "a"), ["1", "2"])
    }))

  it.effect("answers that the outcome is unknown where the server went away under the append", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const { sql, store } = yield* open(url, { reconnectFor: "200 millis" })
      yield* store.append(Notes.stream("b"), [note("1")])
      yield* whileLocked(url, () =>
        Effect.gen(function*() {
          const append = yield* Effect.forkChild(Effect.flip(store.append(Notes.stream("a"), [note("perhaps")])))
          const change = yield* Effect.forkChild(Effect.flip(store.truncateBefore(Notes.stream("b"), 1)))
          yield* until(waiting(sql), 2)
          yield* server.kill9
          for (const error of [yield* Fiber.join(append), yield* Fiber.join(change)]) {
            has(error, { _tag: "StoreError", outcome: "unknown", isRetryable: false })
          }
        }))
      yield* server.start
      assert.strictEqual((yield* store.append(Notes.stream("a"), [note("1")])).version, 1)
    }))

  it.effect("stores an append once whose answer is lost after COMMIT, and answers its place", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      const { sql, store } = yield* open(proxy.url)
      yield* store.append(Notes.stream("a"), [note("before")])
      const stream = Notes.stream("a")
      const places = [
        store.append(stream, [note("cut 1")], { expected: 1 }),
        store.append(stream, [note("cut 2"), note("3")]),
        Effect.map(
          store.appendAll([
            EventStore.entry(Notes.stream("b"), [note("cut 4")], { expected: "no-stream" }),
            EventStore.entry(Notes.stream("c"), [], { expected: "no-stream" })
          ]),
          ([first]) => first!
        ),
        // its own event breaks the condition from then on
        Effect.map(
          store.appendIf({ items: [{ types: ["Noted"] }], after: 5 }, [EventStore.entry(stream, [note("cut 5")])]),
          ([first]) => first!
        ),
        store.append(stream, [noteAs(yield* EventId.make, "cut 6")])
      ]
      const positions: Array<number> = []
      for (const [i, append] of places.entries()) {
        proxy.loseAnswers("cut ", i === 1 ? 3 : 1)
        positions.push((yield* append).position)
      }
      assert.strictEqual(proxy.lost(), 7)
      assert.deepStrictEqual(positions, [2, 4, 5, 6, 7])
      assert.deepStrictEqual(yield* texts(store, "a"), ["before", "cut 1", "cut 2", "3", "cut 5", "cut 6"])
      assert.deepStrictEqual(yield* texts(store, "b"), ["cut 4"])
      // a batch: the lost answer was that of all its commands
      proxy.loseAnswers("cut ", 2)
      const batch = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => i),
        (i) => store.append(Notes.stream(`batch${i % 5}`), [note(i === 25 ? "cut 7" : String(i))]),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(proxy.lost(), 9)
      assert.deepStrictEqual(
        batch.map(({ position }) => position as number).sort((a, b) => a - b),
        Array.from({ length: 50 }, (_, i) => i + 8)
      )
      assert.strictEqual(yield* store.head(), 57)
      yield* noLocks(sql)
    }))

  it.effect("stores an append once though the statement that was cut off still waits in the server", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      const admin = yield* open(url)
      const { store } = yield* open(proxy.url)
      yield* admin.store.append(Notes.stream("a"), [note("1")])
      const answers = yield* whileLocked(url, (release) =>
        Effect.gen(function*() {
          const lone = yield* Effect.forkChild(store.append(Notes.stream("a"), [note("2")], { expected: 1 }))
          yield* until(waiting(admin.sql), 1)
          const batch = yield* Effect.forkChild(Effect.forEach(
            Array.from({ length: 10 }, (_, i) => i),
            (i) => store.append(Notes.stream(`b${i}`), [note("1"), note("2")], { expected: "no-stream" }),
            { concurrency: "unbounded" }
          ))
          yield* until(waiting(admin.sql), 2)
          proxy.cut()
          // what was cut off, and its repetition
          yield* until(waiting(admin.sql), 4)
          yield* release
          return [yield* Fiber.join(lone), ...yield* Fiber.join(batch)]
        }))
      const events = yield* recorded(admin.store)
      assert.strictEqual(events.length, 22)
      for (const { position, streamId, version } of answers) {
        const last = events[position - 1]!
        assert.deepStrictEqual([last.streamId, last.streamVersion, version], [streamId, 2 as never, 2 as never])
      }
      yield* noLocks(admin.sql)
      assert.strictEqual((yield* recorded(admin.store)).length, 22)
    }))

  it.effect("does not say that nothing is stored where the answer was lost and the repetition is refused", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const admin = yield* open(url)
      const proxy = yield* TcpProxy.make(url)
      const { store } = yield* open(proxy.url)
      yield* store.append(Notes.stream("a"), [note("1")])
      const break_ = admin.sql.unsafe("ALTER FUNCTION eventstore.append_events RENAME TO elsewhere")
      proxy.loseAnswers("cut ", 1, () => Effect.runPromise(break_))
      has(yield* Effect.flip(store.append(Notes.stream("a"), [note("cut 2")])), {
        _tag: "StoreError",
        outcome: "unknown",
        isRetryable: false
      })
      assert.deepStrictEqual(yield* texts(admin.store, "a"), ["1", "cut 2"])
    }))

  it.effect("disturbs no neighbour where an append is interrupted, waiting or on the wire", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const { sql, store } = yield* open(url)
      yield* store.append(Notes.stream("a"), [note("before")])
      const append = (text: string) => Effect.forkChild(store.append(Notes.stream("a"), [note(text)]))
      const answers = yield* whileLocked(url, (release) =>
        Effect.gen(function*() {
          // both lanes are taken, each with a batch of two; two more wait
          const first = [yield* append("1"), yield* append("1 interrupted")]
          yield* until(waiting(sql), 1)
          const second = [yield* append("2 interrupted"), yield* append("2")]
          yield* until(waiting(sql), 2)
          const third = [yield* append("3 interrupted"), yield* append("3")]
          yield* Effect.yieldNow
          yield* Effect.forEach([first[1]!, second[0]!, third[0]!], Fiber.interrupt)
          yield* release
          return yield* Effect.forEach([first[0]!, second[1]!, third[1]!], Fiber.join)
        }))
      const stored = yield* texts(store, "a")
      // what was on the wire is stored, what waited was withdrawn
      assert.sameMembers([...stored], ["before", "1", "1 interrupted", "2", "2 interrupted", "3"])
      for (const [i, { version }] of answers.entries()) assert.strictEqual(stored[version - 1], String(i + 1))
      yield* noLocks(sql)
      yield* until(count(sql, "state <> 'idle' AND pid <> pg_backend_pid()"), 0)
    }))

  it.effect("releases everything where all appends are interrupted at once", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const { sql, store } = yield* open(url)
      for (let round = 0; round < 20; round++) {
        const fiber = yield* Effect.forkChild(Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          (i) => Effect.andThen(store.append(Notes.stream(String(i % 7)), [note("x")]), store.head()),
          { concurrency: 32 }
        ))
        const head = yield* store.head()
        yield* until(Effect.map(store.head(), (now) => now > head ? 1 : 0), 1)
        yield* Fiber.interrupt(fiber)
      }
      const { position } = yield* store.append(Notes.stream("end"), [note("end")])
      const events = yield* recorded(store)
      assert.deepStrictEqual(events.map((event) => event.position as number), events.map((_, i) => i + 1))
      // what was on the other connection when its callers left may come behind
      assert.isAtLeast(events.length, position)
      yield* noLocks(sql)
      yield* until(count(sql, "state <> 'idle' AND pid <> pg_backend_pid()"), 0)
    }))

  it.effect("answers the appends that are under way when the layer closes, and leaves no connection", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const admin = yield* open(url)
      yield* admin.store.append(Notes.stream("a"), [note("before")])
      const scope = yield* Scope.make()
      const { store } = yield* Scope.provide(open(url, { client: { applicationName: "closing" } }), scope)
      const exits = yield* whileLocked(url, (release) =>
        Effect.gen(function*() {
          const appends = yield* Effect.forEach(
            Array.from({ length: 100 }, (_, i) => String(i)),
            (text) => Effect.forkChild(Effect.exit(store.append(Notes.stream("a"), [note(text)])))
          )
          yield* until(waiting(admin.sql), 1)
          const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
          yield* Effect.yieldNow
          yield* release
          yield* Fiber.join(closing)
          return yield* Effect.forEach(appends, Fiber.join)
        }))
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 100)
      assert.strictEqual(yield* admin.store.head(), 101)
      // and who comes too late is told so
      for (const late of [store.append(Notes.stream("a"), [note("late")]), store.delete(Notes.stream("a"))]) {
        has(yield* Effect.flip(late), { _tag: "StoreError", outcome: "not-stored" })
      }
      yield* until(count(admin.sql, "application_name = 'closing'"), 0)
      yield* noLocks(admin.sql)
    }))

  it.effect("closes while the server is away", () =>
    Effect.gen(function*() {
      const { server, url } = yield* database
      const scope = yield* Scope.make()
      const { sql, store } = yield* Scope.provide(open(url), scope)
      yield* store.append(Notes.stream("a"), [note("before")])
      yield* server.stop
      const append = yield* Effect.forkChild(Effect.flip(store.append(Notes.stream("a"), [note("1")])))
      yield* Effect.ignore(sql`SELECT 1`)
      yield* Scope.close(scope, Exit.void)
      has(yield* Fiber.join(append), { _tag: "StoreError", outcome: "not-stored" })
      yield* server.start
    }))

  it.effect("closes while somebody holds the log, and says that the outcome is unknown", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const admin = yield* open(url)
      const scope = yield* Scope.make()
      const { store } = yield* Scope.provide(open(url, { client: { applicationName: "closing" } }), scope)
      const failures = yield* whileLocked(url, () =>
        Effect.gen(function*() {
          const append = (text: string) => Effect.forkChild(Effect.flip(store.append(Notes.stream("a"), [note(text)])))
          const sent = yield* append("sent")
          yield* until(waiting(admin.sql), 1)
          const alsoSent = yield* append("also sent")
          yield* until(waiting(admin.sql), 2)
          const queued = yield* append("queued")
          const change = yield* Effect.forkChild(Effect.flip(store.delete(Notes.stream("a"))))
          yield* Effect.yieldNow
          yield* Scope.close(scope, Exit.void)
          return [
            yield* Fiber.join(sent),
            yield* Fiber.join(alsoSent),
            yield* Fiber.join(queued),
            yield* Fiber.join(change)
          ]
        }))
      assert.deepStrictEqual(
        failures.map((failure) => failure._tag === "StoreError" && failure.outcome),
        ["unknown", "unknown", "not-stored", "unknown"]
      )
      yield* until(count(admin.sql, "application_name = 'closing'"), 0)
      assert.deepStrictEqual(yield* texts(admin.store, "a"), [])
    }))

  it.effect("stores the neighbours of an append that the database refuses", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const { sql, store } = yield* open(url)
      yield* sql.unsafe(`
        ALTER TABLE eventstore.events ADD CONSTRAINT refuse_poison CHECK (data->>'text' NOT LIKE 'poison%')`)
      const texts_ = Array.from({ length: 64 }, (_, i) => i === 20 || i === 40 ? `poison ${i}` : String(i))
      const exits = yield* Effect.forEach(
        texts_,
        (text, i) => Effect.exit(store.append(Notes.stream(String(i % 8)), [note(text)])),
        { concurrency: "unbounded" }
      )
      for (const [i, exit] of exits.entries()) {
        assert.strictEqual(Exit.isSuccess(exit), !texts_[i]!.startsWith("poison"), String(exit))
        if (Exit.isFailure(exit)) {
          has(Effect.runSync(Effect.flip(exit)), { _tag: "StoreError", outcome: "not-stored", isRetryable: false })
        }
      }
      const events = yield* recorded(store)
      assert.deepStrictEqual(
        events.map((event) => event.position as number),
        Array.from({ length: 62 }, (_, i) => i + 1)
      )
      yield* noLocks(sql)
    }))

  it.effect("names what the database cannot take, and stores its neighbours", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const admin = yield* open(url)
      // JSON nested deeper than the server's stack
      yield* admin.sql.unsafe(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET max_stack_depth TO '100kB'`)
      const { store } = yield* open(url)
      const stream = Category.rawStream("deep-1")
      const deep = Array.from({ length: 3000 }).reduce<Schema.Json>((inner) => [inner], null)
      const exits = yield* Effect.forEach(
        [0, 1, 2, deep, 4],
        (data) => Effect.exit(store.append(stream, [RawEvent.make({ type: "T", schemaVersion: 1, data })])),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, true, false, true])
      has(Effect.runSync(Effect.flip(exits[3]!)), { _tag: "InvalidInput", field: "events" })
      assert.strictEqual(yield* store.head(), 4)
    }))

  it.effect("appends though slow queries of the application hold all of its connections", () =>
    Effect.gen(function*() {
      const { url } = yield* database
      const { sql, store } = yield* open(url, { client: { maxConnections: 1 } })
      const slow = yield* Effect.forkChild(sql`SELECT pg_sleep(60)`)
      yield* store.append(Notes.stream("a"), [note("1")])
      yield* store.setMetadata(Notes.stream("a"), "noted")
      yield* Fiber.interrupt(slow)
      assert.deepStrictEqual(yield* texts(store, "a"), ["1"])
    }))
})
