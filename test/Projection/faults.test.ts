import type { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Schedule, type Scope } from "effect"
import { Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { inStore, until } from "../../src/Testing/internal/consuming.ts"
import {
  ownersOf,
  processed,
  project,
  type RunOptions,
  stateOf,
  untilState
} from "../../src/Testing/internal/projecting.ts"
import type * as Child from "../support/child.ts"
import { Accounts, faultsOf, journal, type Kind, linesOf, moved } from "../support/journal.ts"
import { open, type Opened, type Store } from "../support/Notes.ts"
import { mend, noteTables, startProjector } from "../support/projectors.ts"
import { chance, patiently } from "../support/storm.ts"
import * as TcpProxy from "../support/TcpProxy.ts"
import * as TestServer from "../support/TestServer.ts"

const database = Effect.gen(function*() {
  const { server, url } = yield* TestServer.database
  const { sql, store } = yield* open(url)
  for (const table of noteTables) yield* sql.unsafe(table)
  return { server, url, sql, store }
})

/** Short enough to wait for, and long enough for a machine with other things to do. */
const lease = 1500

const append = (store: Store, account: string, ...kinds: ReadonlyArray<Kind>) =>
  patiently(store.append(Accounts.stream(account), kinds.map((kind, i) => moved(i + 1, kind))))

/** Appends to some accounts all the time, until it is stopped. */
const write = (store: Store, pause = 40): Effect.Effect<Effect.Effect<void, any>, never, Scope.Scope> =>
  Effect.gen(function*() {
    let isOver = false
    const fiber = yield* Effect.forkScoped(Effect.forEach([0, 1, 2], (writer) =>
      Effect.gen(function*() {
        for (let i = 0; !isOver; i++) {
          yield* append(store, `${writer}.${i % 4}`, ...Array.from({ length: 1 + i % 3 }, () => "plain" as const))
          yield* Effect.sleep(pause)
        }
      }), { concurrency: "unbounded", discard: true }))
    return Effect.suspend(() => {
      isOver = true
      return Fiber.join(fiber)
    })
  })

/** Checks of every state that is seen that no checkpoint is lower than it was. */
const watch = (store: Store): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const seen = new Map<string, number>()
    const look = Effect.map(store.storage.projections.states(undefined, undefined), (states) => {
      for (const { name, partitions, version } of states) {
        for (const { partition, position } of partitions) {
          const of = `${name} ${version}, ${partition} of ${partitions.length}`
          if (position < (seen.get(of) ?? 0)) throw new Error(`the checkpoint of ${of} moved back to ${position}`)
          seen.set(of, position)
        }
      }
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.ignore(look), Effect.sleep(20))))
  })

/** Waits until everything is handled, and nothing is wrong with the journal. */
const assertWhole = (store: Store, sql: PgClient.PgClient, children: ReadonlyArray<Child.Child> = [], version = 1) =>
  Effect.gen(function*() {
    yield* processed(store, "journal", version)
    assert.deepStrictEqual(yield* faultsOf(sql, store, { version }), [])
    const state = yield* stateOf(store, "journal", version)
    const handled = state.partitions.reduce((sum, { handled }) => sum + handled, 0)
    assert.strictEqual(handled, (yield* linesOf(sql, "journal", version)).length)
    for (const child of children) {
      assert.deepStrictEqual(child.lines.filter((line) => line.startsWith("ended")), [])
      assert.strictEqual(child.errors(), "")
    }
    return state
  })

/** A runner on the store of a program that may lose its connections. */
const projectHere = ({ sql, store }: Opened, options: RunOptions = {}, projection = journal()) =>
  project(store, projection, {
    lease,
    // a failure that is taken for one of the handler is found at once
    onError: { retry: Schedule.recurs(0), giveUp: "park" },
    context: Context.make(SqlClient.SqlClient, sql),
    ...options
  })

layer(TestServer.Server.layer, { excludeTestServices: true, timeout: "1 minute" })("a projection into tables", (it) => {
  it.effect(
    "has each event once and in order, though its processes are killed at random",
    () =>
      Effect.gen(function*() {
        const { sql, store, url } = yield* database
        const { below } = chance(11)
        const options = { partitions: 3, lease, batch: 10 }
        const start = startProjector(url, options)
        const children = [yield* start, yield* start, yield* start]
        yield* until(
          "a start",
          () =>
            Effect.map(store.storage.projections.states("journal", undefined), (states) => states[0]?.isSetUp === true)
        )
        yield* watch(store)
        const stop = yield* write(store)
        const workers = Effect.map(linesOf(sql), (lines) => new Set(lines.map(({ process }) => process)).size)
        for (let i = 0; i < 12 || (yield* workers) < 4; i++) {
          yield* Effect.sleep(100 + below(500))
          const victim = below(3)
          children[victim]!.signal("SIGKILL")
          children[victim] = yield* start
        }
        yield* stop
        yield* assertWhole(store, sql, children)
      }),
    60_000
  )

  it.effect("goes on where its owner stands still in the middle of a batch, and takes nothing from it afterwards", () =>
    Effect.gen(function*() {
      const { sql, store, url } = yield* database
      const children = yield* Effect.all([
        startProjector(url, { partitions: 2, lease }),
        startProjector(url, { partitions: 2, lease })
      ])
      yield* watch(store)
      for (let round = 0; round < 2; round++) {
        yield* append(store, `${round}`, "plain", "plain", "freeze", "plain")
        yield* until("somebody who stands still", () => children.some(({ lines }) => lines.at(-1) === "frozen"))
        const frozen = children.find(({ lines }) => lines.at(-1) === "frozen")!
        const begun = performance.now()
        // it has written to the rows of this account, and its transaction is open
        yield* append(store, `${round}`, "plain")
        yield* processed(store, "journal")
        assert.isBelow(performance.now() - begun, 4 * lease)
        yield* append(store, `${round}`, "plain")
        frozen.signal("SIGCONT")
        yield* append(store, `${round}`, "plain", "plain")
        yield* processed(store, "journal")
        // it finds out, and works again
        yield* untilState(store, "journal", (state) => new Set(ownersOf(state)).size === 2)
        yield* append(store, `${round}`, "plain")
        yield* assertWhole(store, sql)
        ;(frozen.lines as Array<string>).push("thawed")
      }
      for (const { lines } of children) assert.deepStrictEqual(lines.filter((line) => line.startsWith("ended")), [])
    }))

  for (const way of ["restarts", "is killed"] as const) {
    it.effect(`has each event once and in order where the server ${way}, and sets nothing aside`, () =>
      Effect.gen(function*() {
        const { server, sql, store, url } = yield* database
        const child = yield* startProjector(url, { partitions: 2, lease, batch: 10 })
        yield* projectHere(yield* open(url), { partitions: 2, batch: 10 })
        yield* untilState(store, "journal", ({ stage }) => stage === "ready")
        const stop = yield* write(store)
        for (let round = 0; round < 2; round++) {
          yield* Effect.sleep(500)
          if (way === "restarts") yield* server.restart
          else yield* Effect.andThen(server.kill9, Effect.andThen(Effect.sleep(700), server.start))
        }
        yield* Effect.sleep(300)
        yield* stop
        const state = yield* assertWhole(store, sql, [child])
        assert.deepInclude(state, { status: "running", parkedEvents: 0, error: null })
      }))
  }

  it.effect("has each event once and in order where the server is killed while it is built without waiting for the disk", () =>
    Effect.gen(function*() {
      const { server, sql, store, url } = yield* database
      for (let i = 0; i < 40; i++) {
        yield* append(store, `${i % 5}`, ...Array.from({ length: 100 }, () => "plain" as const))
      }
      yield* startProjector(url, { partitions: 2, lease, batch: 50 })
      for (let round = 1; round <= 3; round++) {
        yield* untilState(
          store,
          "journal",
          ({ partitions }) => partitions.reduce((sum, { handled }) => sum + handled, 0) > 600 * round
        )
        // its processes have to notice before another server may have the directory
        yield* Effect.andThen(server.kill9, Effect.andThen(Effect.sleep(700), server.start))
      }
      yield* patiently(processed(store, "journal"))
      yield* assertWhole(store, sql)
    }))

  it.effect("has each event once and in order where connections are cut, and sets nothing aside", () =>
    Effect.gen(function*() {
      const { sql, store, url } = yield* database
      const proxy = yield* TcpProxy.make(url)
      const runner = yield* projectHere(yield* open(proxy.url), { batch: 5 })
      yield* untilState(store, "journal", ({ stage }) => stage === "ready")
      const stop = yield* write(store)
      for (let i = 0; i < 8; i++) {
        // it has to find its way back in between
        yield* Effect.sleep(600)
        if (i % 2 === 0) proxy.cut()
        // the answer to a COMMIT gets lost
        else proxy.loseAnswers("COMMIT", 2)
      }
      yield* stop
      proxy.loseAnswers("", 0)
      const state = yield* assertWhole(store, sql)
      assert.deepInclude(state, { status: "running", parkedEvents: 0 })
      assert.isAbove(proxy.lost(), 0)
      assert.isTrue(runner.isRunning())
    }))

  it.effect("goes on from what was restored after a failover that lost events, or says that the log is another one", () =>
    Effect.gen(function*() {
      const { server, sql, store, url } = yield* database
      const here = yield* open(url)
      yield* append(store, "a", "plain", "plain")
      const first = yield* projectHere(here)
      yield* processed(store, "journal")
      yield* untilState(store, "journal", ({ stage }) => stage === "ready")
      yield* server.stop
      const copy = yield* server.copy
      yield* server.start
      yield* append(store, "a", "plain", "plain")
      yield* processed(store, "journal")
      yield* server.stop
      yield* server.restore(copy)
      yield* server.start
      yield* append(store, "a", "plain", "plain", "plain")
      // whether its tail notices first, or its claim
      const end = yield* Effect.raceFirst(
        Effect.as(processed(store, "journal"), undefined),
        first.end
      )
      if (end !== undefined) {
        assert.isTrue(Exit.isFailure(end) && String(end.cause).includes("LogRewound"), String(end))
        yield* projectHere(here)
      }
      yield* assertWhole(store, sql)
    }))

  it.effect("takes a transaction that its handler broke and went on with for a failure", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* database
      yield* append(store, "a", "plain", "plain")
      const swallowing = journal({
        meanwhile: ({ position }) => position === 2 ? Effect.ignore(sql`SELECT 1 / 0`) : Effect.void
      })
      yield* projectHere({ sql, store }, { onError: { retry: Schedule.recurs(0) } }, swallowing)
      yield* untilState(store, "journal", ({ status }) => status === "failed")
      assert.deepInclude(yield* stateOf(store, "journal"), { errorPosition: 2 })
      assert.deepStrictEqual((yield* linesOf(sql)).map(({ position }) => position), [1])
    }))

  it.effect("is not held up by processes that are frozen and killed in turn, nor by events that fail", () =>
    Effect.gen(function*() {
      const { sql, store, url } = yield* database
      const children = yield* Effect.all([
        startProjector(url, { partitions: 3, lease, batch: 10 }),
        startProjector(url, { partitions: 3, lease, batch: 10 })
      ])
      yield* until("a start", () => children.every(({ lines }) => lines.length > 0))
      yield* append(store, "good", "plain", "flaky", "plain")
      yield* append(store, "bad", "plain", "fail", "plain")
      yield* append(store, "good", "plain", "plain")
      yield* processed(store, "journal")
      assert.deepInclude(yield* stateOf(store, "journal"), { parkedKeys: 1, parkedEvents: 2 })
      yield* mend(sql)
      yield* inStore(store)(Projection.replay("journal"))
      yield* untilState(store, "journal", ({ parkedEvents }) => parkedEvents === 0)
      yield* assertWhole(store, sql, children)
    }))
})
