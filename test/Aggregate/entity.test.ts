import { NodeCrypto } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import {
  Arbitrary,
  Cause,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Redacted,
  Schedule,
  Schema,
  Stream
} from "effect"
import { Category, Decider, EventStore, type Limits, PgEventStore, Snapshot, SnapshotStore } from "effect-eventstore"
import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
import { type Sharding, SingleRunner, TestRunner } from "effect/cluster"
import { TestClock } from "effect/testing"
import { type AddressInfo, createServer } from "node:net"
import * as Child from "../support/child.ts"
import { cluster, Die, Enter, Entered, makeLedgers, Overdrawn, shared } from "../support/ledgers.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

let made = 0

/** Ledgers on a store and a cluster of this process. */
const open = (
  options: DeciderEntity.LayerOptions & {
    readonly decide?: Parameters<typeof makeLedgers>[1]
    readonly limits?: Partial<Limits.Limits>
  } = {}
) =>
  Effect.gen(function*() {
    const ledgers = makeLedgers(`ledger${++made}`, options.decide)
    const context = yield* Layer.build(
      ledgers.entity.toLayer(options).pipe(
        Layer.provideMerge(Layer.fresh(Layer.merge(TestRunner.layer, EventStore.layerMemoryWith(options.limits ?? {}))))
      )
    )
    const store = Context.get(context, EventStore)
    return {
      ...ledgers,
      store,
      here: Effect.provide(context as Context.Context<EventStore | Sharding.Sharding>),
      run: (...args: Parameters<typeof ledgers.entity.run>) => Effect.provide(ledgers.entity.run(...args), context),
      entries: (id: string) =>
        Effect.map(Stream.runCollect(store.read(ledgers.Ledger.stream(id))), (all) => all.map(({ event }) => event))
    }
  })

/** Each entry was decided on what those before it add up to. */
const assertInTurn = (entries: ReadonlyArray<Entered>) => {
  let sum = 0
  for (const { by, saw } of entries) {
    assert.strictEqual(saw, sum)
    sum += by
  }
  return sum
}

const count = Effect.fnUntraced(function*(name: string, decider: string) {
  const found = (yield* Metric.snapshot).find(({ attributes, id }) => id === name && attributes?.decider === decider)
  return found?.state as any
})

const many = <A, E, R>(n: number, f: (i: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: n }, (_, i) => i), f, { concurrency: "unbounded" })

describe("DeciderEntity", () => {
  it.live("decides what waits for one id together, each on what those before it led to, without a conflict", () =>
    Effect.gen(function*() {
      const { entries, Ledger, run } = yield* open()
      yield* many(64, () => Effect.forEach([1, 2, 3, 4, 5], (by) => run("hot", new Enter({ by })), { discard: true }))
      const stored = yield* entries("hot")
      assert.strictEqual(stored.length, 320)
      assert.strictEqual(assertInTurn(stored), 64 * 15)
      const batches = yield* count("eventstore.decider.entity.batch", Ledger.name)
      assert.strictEqual(batches.sum, 320)
      assert.isAbove(batches.max, 1)
      assert.isBelow(batches.count, 100)
      assert.strictEqual((yield* count("eventstore.decider.retries", Ledger.name))?.count ?? 0, 0)
    }))

  it.live("takes no more into a batch than it may", () =>
    Effect.gen(function*() {
      const { entries, Ledger, run } = yield* open({ batch: 3 })
      yield* many(40, () => run("a", new Enter({ by: 1 })))
      assert.strictEqual(assertInTurn(yield* entries("a")), 40)
      const batches = yield* count("eventstore.decider.entity.batch", Ledger.name)
      assert.strictEqual(batches.max, 3)
    }))

  it.live("keeps the order in which commands for one id are sent", () =>
    Effect.gen(function*() {
      const { entries, run } = yield* open({ batch: 7 })
      yield* many(50, (i) => run("a", new Enter({ by: i })))
      assert.deepStrictEqual((yield* entries("a")).map(({ by }) => by), Array.from({ length: 50 }, (_, i) => i))
    }))

  it.live.prop(
    "answers as the decider does, whatever the commands and their ids",
    [Arbitrary.array(Arbitrary.schema(Schema.Struct({
      by: Schema.Int.check(Schema.isBetween({ minimum: -3, maximum: 3 })),
      times: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
      id: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
      expected: Schema.UndefinedOr(Schema.Literals([3, "no-stream", "stream-exists"]))
    })))],
    ([commands]) =>
      Effect.gen(function*() {
        const { entity, here, ledgers } = yield* open()
        const each = <A, E, R>(run: (command: Enter, options: Decider.RunOptions) => Effect.Effect<A, E, R>) =>
          many(commands.length, (i) => {
            const { by, expected, id, times } = commands[i]!
            return Effect.exit(run(new Enter({ by, times }), { commandId: `c${id}`, expected }))
          })
        const told = (exits: ReadonlyArray<Exit.Exit<Decider.Ran<any, Entered>, any>>) =>
          exits.map((exit) =>
            Exit.isSuccess(exit)
              ? {
                state: exit.value.state,
                version: exit.value.version,
                isRepeated: exit.value.isRepeated,
                events: exit.value.events.map(({ event, streamVersion }) => [event.saw, event.by, streamVersion])
              }
              : (Cause.squash(exit.cause) as { readonly _tag: string })._tag
          )
        const together = yield* each((command, options) => entity.run("a", command, options)).pipe(here)
        const alone: Array<any> = []
        for (const { by, expected, id, times } of commands) {
          const options = { commandId: `c${id}`, expected }
          alone.push(yield* Effect.exit(here(ledgers.run("b", new Enter({ by, times }), options))))
        }
        assert.deepStrictEqual(told(together), told(alone))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 40 } }
  )

  it.live("gives the errors of the decider as what they are", () =>
    Effect.gen(function*() {
      const { run } = yield* open()
      const error = yield* Effect.flip(run("a", new Enter({ by: -1 })))
      assert.instanceOf(error, Overdrawn)
      assert.strictEqual(error.sum, 0)
      assert.strictEqual((yield* Effect.flip(run("a\n", new Enter({ by: 1 }))))._tag, "InvalidInput")
      assert.strictEqual((yield* Effect.flip(run("a", new Enter({ by: 1 }), { commandId: "" })))._tag, "InvalidInput")
      assert.strictEqual((yield* Effect.flip(run("a", { _tag: "Enter" } as never)))._tag, "InvalidInput")
    }))

  it.live("decodes what comes from outside", () =>
    Effect.gen(function*() {
      const { entity, here } = yield* open()
      const { state } = yield* here(entity.runUnknown("a", { _tag: "Enter", by: 3, note: "", times: 1 }))
      assert.strictEqual(state.sum, 3)
      const error = yield* Effect.flip(here(entity.runUnknown("a", { _tag: "Enter", by: "3", note: "", times: 1 })))
      assert.strictEqual(error._tag === "CommandDecodeFailed" ? error.field : error._tag, "by")
    }))

  it.live("gives the first answer to a command that was run by the decider", () =>
    Effect.gen(function*() {
      const { here, ledgers, run } = yield* open()
      yield* run("a", new Enter({ by: 1 }))
      const first = yield* here(ledgers.run("a", new Enter({ by: 5, times: 2 }), { commandId: "c" }))
      yield* run("a", new Enter({ by: 1 }))
      const again = yield* run("a", new Enter({ by: -99 }), { commandId: "c" })
      assert.deepStrictEqual(again, { ...first, isRepeated: true })
    }))

  it.live("decides a command once that comes twice at the same time, and all that wait with it together", () =>
    Effect.gen(function*() {
      const { entries, Ledger, run } = yield* open()
      yield* run("a", new Enter({ by: 0 }))
      const ran = yield* many(60, (i) => run("a", new Enter({ by: i % 30 }), { commandId: `c${i % 30}` }))
      assert.deepStrictEqual(ran.map(({ isRepeated }) => isRepeated), ran.map((_, i) => i >= 30))
      assert.deepStrictEqual(
        ran.slice(30).map(({ version }) => version),
        ran.slice(0, 30).map(({ version }) => version)
      )
      assert.strictEqual((yield* entries("a")).length, 31)
      assert.isBelow((yield* count("eventstore.decider.entity.batch", Ledger.name)).count, 6)
    }))

  it.live("decides anew where somebody writes past it, and answers nobody from a state that is over", () =>
    Effect.gen(function*() {
      const { entries, here, ledgers, run } = yield* open()
      yield* run("a", new Enter({ by: 1 }))
      yield* here(ledgers.run("a", new Enter({ by: 10 })))
      const { state } = yield* run("a", new Enter({ by: -11 }))
      assert.strictEqual(state.sum, 0)
      yield* Effect.all([
        many(100, () => run("a", new Enter({ by: 1 }))),
        Effect.forEach(
          Array.from({ length: 60 }),
          () => Effect.andThen(here(ledgers.run("a", new Enter({ by: 2 }))), Effect.yieldNow)
        ),
        many(40, () => run("a", new Enter({ by: 1 })))
      ], { concurrency: "unbounded" })
      assert.strictEqual(assertInTurn(yield* entries("a")), 260)
    }))

  it.live("begins anew where the stream was deleted, and fails where it was tombstoned", () =>
    Effect.gen(function*() {
      const { Ledger, run, store } = yield* open()
      yield* run("a", new Enter({ by: 7 }))
      yield* store.delete(Ledger.stream("a"))
      const { state, version } = yield* run("a", new Enter({ by: 1 }))
      assert.deepStrictEqual([state.sum, version], [1, 2])
      yield* store.tombstone(Ledger.stream("a"))
      assert.strictEqual((yield* Effect.flip(run("a", new Enter({ by: 1 }))))._tag, "StreamTombstoned")
    }))

  it.live("refuses a command that cannot be stored, and none of those that waited with it", () =>
    Effect.gen(function*() {
      const { entries, run } = yield* open({ limits: { eventBytes: 200, appendEvents: 10 } })
      const exits = yield* many(
        30,
        (i) =>
          Effect.exit(run("a", new Enter({ by: i, note: i === 11 ? "x".repeat(300) : "", times: i === 17 ? 11 : 1 })))
      )
      assert.deepStrictEqual(exits.flatMap((exit, i) => Exit.isFailure(exit) ? [i] : []), [11, 17])
      const stored = yield* entries("a")
      assertInTurn(stored)
      assert.deepStrictEqual(
        stored.map(({ by }) => by),
        Array.from({ length: 30 }, (_, i) => i).filter((i) => i !== 11 && i !== 17)
      )
    }))

  it.live("goes on after a decision that dies", () =>
    Effect.gen(function*() {
      const { entries, run } = yield* open()
      const exits = yield* many(5, (i) => Effect.exit(run("a", i === 2 ? new Die() : new Enter({ by: i }))))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, false, true, true])
      assert.isTrue(Exit.isFailure(exits[2]!) && Cause.hasDies(exits[2].cause))
      assert.strictEqual(assertInTurn(yield* entries("a")), 8)
    }))

  it.live("has a mailbox with an end, and does not decide for those who left it", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const began = yield* Deferred.make<void>()
      const { entries, run } = yield* open({
        mailboxCapacity: 3,
        decide: ({ by }, { sum }) =>
          Deferred.succeed(began, undefined).pipe(
            Effect.andThen(Deferred.await(gate)),
            Effect.as([new Entered({ by, saw: sum, note: "" })])
          )
      })
      const first = yield* Effect.forkChild(run("a", new Enter({ by: 1 })))
      yield* Deferred.await(began)
      const second = yield* Effect.forkChild(run("a", new Enter({ by: 2 })), { startImmediately: true })
      const third = yield* Effect.forkChild(run("a", new Enter({ by: 4 })), { startImmediately: true })
      yield* Effect.sleep("20 millis")
      assert.strictEqual((yield* Effect.flip(run("a", new Enter({ by: 8 }))))._tag, "MailboxFull")
      yield* Fiber.interrupt(second)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual((yield* Fiber.join(first)).state.sum, 1)
      assert.strictEqual((yield* Fiber.join(third)).state.sum, 5)
      assert.strictEqual(assertInTurn(yield* entries("a")), 5)
    }))

  it.effect("forgets a state that nobody asked for in a while", () =>
    Effect.gen(function*() {
      const Ledger = Category.make("idle", { id: Schema.FiniteFromString, events: [Entered] })
      const begun: Array<number> = []
      const entity = DeciderEntity.make(Decider.make(Ledger, {
        state: Schema.Struct({ sum: Schema.Int }),
        commands: [Enter],
        initial: (id) => {
          begun.push(id)
          return { sum: id }
        },
        evolve: { Entered: ({ sum }, { by }) => ({ sum: sum + by }) },
        decide: { Enter: ({ by }, { sum }) => [new Entered({ by, saw: sum, note: "" })] }
      }))
      const context = yield* Layer.build(
        entity.toLayer({ maxIdleTime: "1 minute" }).pipe(
          Layer.provideMerge(Layer.fresh(Layer.merge(TestRunner.layer, EventStore.layerMemory)))
        )
      )
      const run = Effect.fnUntraced(function*() {
        const fiber = yield* Effect.forkChild(Effect.provide(entity.run(7, new Enter({ by: 1 })), context))
        yield* TestClock.adjust("5 seconds")
        return (yield* Fiber.join(fiber)).state.sum
      })
      assert.deepStrictEqual([yield* run(), yield* run()], [8, 9])
      assert.deepStrictEqual(begun, [7])
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual(yield* run(), 10)
      assert.deepStrictEqual(begun, [7, 7])
    }))

  it.live("saves its state behind the answers, as the decider does", () =>
    Effect.gen(function*() {
      const Ledger = Category.make("saved", { id: Schema.String, events: [Entered] })
      const State = Schema.Struct({ sum: Schema.Int })
      const entity = DeciderEntity.make(Decider.make(Ledger, {
        // the schema of the state is that of the snapshot
        snapshot: Snapshot.make({ name: "sums", state: State, policy: Snapshot.every(10) }),
        commands: [Enter],
        initial: { sum: 0 },
        evolve: { Entered: ({ sum }, { by }) => ({ sum: sum + by }) },
        decide: { Enter: ({ by }, { sum }) => [new Entered({ by, saw: sum, note: "" })] }
      }))
      const store = yield* Layer.build(EventStore.layerMemory)
      // twice a cluster with nothing in memory
      for (const sum of [25, 50]) {
        yield* Effect.gen(function*() {
          yield* many(25, () => entity.run("a", new Enter({ by: 1 })))
          assert.strictEqual((yield* entity.run("a", new Enter({ by: 0 }))).state.sum, sum)
        }).pipe(
          Effect.provide(entity.toLayer().pipe(Layer.provideMerge(TestRunner.layer)), { local: true }),
          Effect.provide(store)
        )
      }
      // it is saved behind the answers
      yield* Stream.runCollect(SnapshotStore.list()).pipe(
        Effect.map((saved) => saved.some(({ holds, streamVersion }) => holds && streamVersion >= 40)),
        Effect.repeat({ until: (isSaved: boolean) => isSaved }),
        Effect.provide(store)
      )
    }))

  it("throws where what is sent has no schema", () => {
    const Ledger = Category.make("unsent", { id: Schema.String, events: [Entered] })
    const parts = {
      initial: 0,
      evolve: { Entered: (sum: number) => sum },
      decide: { Enter: ({ by }: Enter) => by === 0 ? [] : [new Entered({ by, saw: 0, note: "" })] }
    }
    assert.throws(
      () => DeciderEntity.make(Decider.make(Ledger, { ...parts, commands: [Enter] })),
      /schema of its state/
    )
    assert.throws(
      () => DeciderEntity.make(Decider.make(Ledger, { ...parts, state: Schema.Int })),
      /classes of its commands/
    )
    const { entity } = makeLedgers("batchless")
    assert.throws(() => entity.toLayer({ batch: 0 }), /not a whole number/)
  })

  it.live("keeps its tables beside those of the log", () =>
    Effect.gen(function*() {
      const { entity, Ledger } = makeLedgers("single")
      const url = yield* TestPostgres.url
      const cluster = SingleRunner.layer().pipe(
        Layer.provideMerge(PgEventStore.layer()),
        Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) })),
        Layer.provide(NodeCrypto.layerDigest)
      )
      yield* Effect.gen(function*() {
        const { sql, store } = { sql: yield* PgClient.PgClient, store: yield* EventStore }
        const ran = yield* many(200, (i) => entity.run("hot", new Enter({ by: i })))
        assert.strictEqual(new Set(ran.map(({ version }) => version)).size, 200)
        const stored = yield* Stream.runCollect(store.read(Ledger.stream("hot")))
        assert.strictEqual(assertInTurn(stored.map(({ event }) => event)), 19_900)
        const tables = yield* sql<{ readonly name: string }>`
          SELECT c.relname AS name FROM pg_class c
          WHERE c.relname LIKE 'cluster\\_%' AND c.relkind = 'r' ORDER BY 1`
        assert.deepStrictEqual(tables.map(({ name }) => name), [
          "cluster_locks",
          "cluster_messages",
          "cluster_migrations",
          "cluster_replies",
          "cluster_runner_migrations",
          "cluster_runners"
        ])
        const [messages] = yield* sql<{ readonly count: number }>`SELECT count(*)::int4 AS count FROM cluster_messages`
        assert.strictEqual(messages!.count, 0)
      }).pipe(Effect.provide(entity.toLayer().pipe(Layer.provideMerge(cluster)), { local: true }))
    }), 60_000)

  it.live(
    "loses nothing acknowledged and decides nothing twice when a node is killed, and another one leaves",
    () =>
      Effect.gen(function*() {
        const url = yield* TestPostgres.url
        const ports = yield* Effect.promise(() => Promise.all([freePort(), freePort(), freePort()]))
        yield* Effect.provide(
          EventStore,
          PgEventStore.layer().pipe(Layer.provide(PgClient.layer({ url: Redacted.make(url) }))),
          { local: true }
        )
        const nodes = yield* Effect.forEach(ports, (port) => Child.start("ledgerNode.ts", url, String(port)), {
          concurrency: "unbounded"
        })
        yield* Effect.promise(() => Promise.all(nodes.map((node) => node.hasWritten(1))))
        const ids = ["a", "b", "c", "d", "e", "f"]
        const acknowledged = new Map<string, { readonly id: string; readonly version: number; readonly by: number }>()
        yield* Effect.gen(function*() {
          const store = yield* EventStore
          let isOver = false
          const caller = (caller: number) =>
            Effect.gen(function*() {
              for (let i = 0; !isOver; i++) {
                const id = ids[(caller + i) % ids.length]!
                const commandId = `${caller}.${i}`
                const by = i % 7 === 0 ? -3 : 1 + i % 5
                // who loses patience asks again, under the same id
                const ran = yield* shared.entity.run(id, new Enter({ by, note: commandId }), { commandId }).pipe(
                  Effect.timeout("3 seconds"),
                  Effect.retry({ while: (error) => error._tag !== "Overdrawn" }),
                  Effect.catchTag("Overdrawn", () => Effect.succeed(undefined))
                )
                if (ran !== undefined) acknowledged.set(commandId, { id, version: ran.version, by })
              }
            })
          const callers = yield* Effect.forkChild(many(24, caller))
          const until = (enough: number) =>
            Effect.suspend(() => acknowledged.size < enough ? Effect.fail("not yet") : Effect.void).pipe(
              Effect.retry(Schedule.spaced("20 millis"))
            )
          yield* until(500)
          yield* Effect.promise(() => nodes[0].kill())
          // all ids are served again, those of the dead one, too
          yield* Effect.forEach(ids, (id) => shared.entity.run(id, new Enter({ by: 0 })), { concurrency: "unbounded" })
          yield* until(acknowledged.size + 500)
          // this one leaves in good order
          nodes[1]!.signal("SIGTERM")
          yield* Effect.promise(() => nodes[1]!.ended)
          yield* Effect.forEach(ids, (id) => shared.entity.run(id, new Enter({ by: 0 })), { concurrency: "unbounded" })
          yield* until(acknowledged.size + 500)
          isOver = true
          yield* Fiber.join(callers)

          const once = new Map<string, { readonly id: string; readonly version: number; readonly by: number }>()
          for (const id of ids) {
            const stored = yield* Stream.runCollect(store.read(shared.Ledger.stream(id)))
            assertInTurn(stored.map(({ event }) => event))
            for (const { event: { by, note }, streamVersion } of stored) {
              if (note === "") continue
              assert.isFalse(once.has(note), note)
              once.set(note, { id, version: streamVersion, by })
            }
          }
          assert.strictEqual(once.size, acknowledged.size)
          for (const [commandId, answer] of acknowledged) assert.deepStrictEqual(once.get(commandId), answer, commandId)
        }).pipe(Effect.provide(cluster(url), { local: true }))
      }),
    60_000
  )
})

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
