/** What an operator reads when something goes wrong: the words of the database, the event, and what is done about it. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger, References, Schedule, Schema, Stream } from "effect"
import { Category, EventStore, PersistentSubscription, PgliteEventStore, Projection } from "effect-eventstore"
import { SqlClient } from "effect/sql"
import { until } from "../../src/Testing/internal/consuming.ts"

class Divided extends Schema.TaggedClass<Divided>()("Divided", { by: Schema.Int }) {}

let names = 0

/** Tables of their own for each test, whose handler fails in the database on a division by zero. */
const makeShares = (version = 1) => {
  const name = `shares${version > 1 ? names : ++names}`
  const Sums = Category.make(name, { id: Schema.String, events: [Divided] })
  const Shares = Projection.make(name, {
    version,
    from: Sums,
    setup: ({ sql, table }) => sql`CREATE TABLE ${table("shares")} (share int NOT NULL)`,
    handle: {
      Divided: ({ event }, { sql, table }) => sql`INSERT INTO ${table("shares")} VALUES (100 / ${event.by}::int)`
    }
  })
  return { name, Shares, Sums }
}

const once = Schedule.recurs(1).pipe(Schedule.addDelay(() => Effect.succeed("1 millis")))

const words = "division by zero"

const running = <A, E, R>(
  projection: Projection.Tables<any>,
  options: Projection.RunOptions,
  body: Effect.Effect<A, E, R>
) => Effect.scoped(Effect.andThen(Layer.build(Projection.layer(projection, options)), body))

const append = (category: ReturnType<typeof makeShares>["Sums"], ...by: ReadonlyArray<number>) =>
  EventStore.use((store) => store.append(category.stream("1"), by.map((by) => new Divided({ by }))))

const said = (lines: Array<string>) =>
  Effect.provideService(
    References.CurrentLoggers,
    new Set([
      Logger.make(({ fiber, logLevel, message }) => {
        const { position, projection } = fiber.getRef(References.CurrentLogAnnotations)
        lines.push(`${logLevel} ${projection} ${position} ${[message].flat()[0]}`)
      })
    ])
  )

layer(PgliteEventStore.layer(), { excludeTestServices: true, timeout: "1 minute" })("what is said", (it) => {
  it.effect("is what the database says, where a handler fails in it", () =>
    Effect.gen(function*() {
      const { Shares, Sums, name } = makeShares()
      const { position } = yield* append(Sums, 2, 0)
      const failed = yield* running(
        Shares,
        { onError: { retry: once } },
        Effect.flip(Projection.awaitProcessed(Shares, position))
      )
      assert.strictEqual(
        failed.message,
        `Version 1 of the projection ${name} failed at position ${position}: ${words}`
      )
      assert.strictEqual((yield* Projection.status(name)).error, words)

      yield* Projection.resume(name)
      const parked = yield* running(
        Shares,
        { onError: { retry: once, giveUp: "park" } },
        Effect.andThen(
          Projection.awaitProcessed(Shares, position),
          Stream.runCollect(Projection.parked(name))
        )
      )
      assert.deepStrictEqual(parked.map(({ error }) => error), [words])
    }))

  it.effect("is what the database says, where a consumer fails in it", () =>
    Effect.gen(function*() {
      const { Sums, name } = makeShares()
      yield* append(Sums, 0)
      const Live = PersistentSubscription.layer(name, {
        from: Sums,
        attempts: 1,
        handle: ({ event }) => SqlClient.SqlClient.use((sql) => sql`SELECT 100 / ${event.by}::int`)
      })
      const parked = Effect.flatMap(
        Stream.runCollect(PersistentSubscription.parked(name)),
        (parked) => parked.length === 0 ? Effect.fail("not yet") : Effect.succeed(parked)
      )
      const [first] = yield* Effect.scoped(
        Effect.andThen(Layer.build(Live), Effect.retry(parked, Schedule.spaced("5 millis")))
      )
      assert.strictEqual(first!.error, words)
    }))

  it.effect("is what the database says, where reading fails, with a hint that reading cannot write", () =>
    Effect.gen(function*() {
      const { Shares, Sums } = makeShares()
      const { position } = yield* append(Sums, 2)
      const { nothing, wrote } = yield* running(
        Shares,
        {},
        Effect.gen(function*() {
          yield* Projection.awaitProcessed(Shares, position)
          return {
            nothing: yield* Effect.flip(
              Projection.read(Shares, ({ sql, table }) => sql`SELECT * FROM ${table("none")}`)
            ),
            wrote: yield* Effect.flip(Projection.read(Shares, ({ sql, table }) => sql`DELETE FROM ${table("shares")}`))
          }
        })
      )
      assert.strictEqual(nothing._tag, "SqlError")
      assert.match(nothing.message, /^relation "shares\d+_v1.none" does not exist$/)
      assert.strictEqual(wrote._tag, "SqlError")
      assert.strictEqual(
        wrote.message,
        "cannot execute DELETE in a read-only transaction (Projection.read is for reading: handlers write)"
      )
    }))

  it.effect("tells why nothing came in time: nobody runs it, it is paused, it fails", () =>
    Effect.gen(function*() {
      const { Shares, Sums, name } = makeShares()
      const awaited = (position: number) =>
        Effect.map(
          Effect.flip(Projection.awaitProcessed(Shares, position, { timeout: "1 second" })),
          (error) => error.message
        )
      const late = (position: number) =>
        `Version 1 of the projection ${name} has not come to position ${position} in time`
      const { position: before } = yield* append(Sums, 1)
      const position = before + 1
      yield* running(
        Shares,
        {},
        Effect.gen(function*() {
          yield* Projection.awaitProcessed(Shares, before)
          yield* append(Sums, 0)
          assert.strictEqual(
            yield* awaited(position),
            `${late(position)}: it is at position ${before}, where it fails and is tried again: ${words}`
          )
        })
      )
      assert.strictEqual(yield* awaited(position), `${late(position)}: it is at position ${before}, and nobody runs it`)
      yield* Projection.pause(name)
      assert.strictEqual(yield* awaited(position), `${late(position)}: it is at position ${before}, and paused`)
      yield* Projection.reset(name)
      const notReady = yield* Effect.flip(Projection.awaitReady(name, { timeout: "20 millis" }))
      assert.strictEqual(notReady.message, `${late(position)}: it is at position 0, and paused`)
    }))

  it.effect("tells why a version cannot be switched to, and that it will not be by itself", () =>
    Effect.gen(function*() {
      const { Shares, Sums, name } = makeShares()
      const { position } = yield* append(Sums, 1)
      yield* running(Shares, {}, Projection.awaitProcessed(Shares, position))
      yield* append(Sums, 0)
      const { Shares: Shares2 } = makeShares(2)
      yield* running(
        Shares2,
        { onError: { retry: once } },
        Effect.flip(Projection.awaitReady(Shares2, { version: 2 }))
      )
      const refused = Effect.flip(Projection.switchTo(name, 2))
      const failed = yield* refused
      assert(failed._tag === "VersionBehind")
      assert.deepStrictEqual([failed.version, failed.status, failed.error], [2, "failed", words])
      assert.strictEqual(
        failed.message,
        `Version 2 of the projection ${name} is behind the live one, and has failed: ${words}`
      )
      yield* Projection.pause(name, { version: 2 })
      assert.match((yield* refused).message, /is behind the live one, and paused$/)
      yield* Projection.resume(name, { version: 2 })
      assert.match(
        (yield* Effect.flip(Projection.switchTo(name, 2, { timeout: 0 }))).message,
        /is behind the live one$/
      )
    }))

  it.effect("leaves a version once, though it is asked twice", () =>
    Effect.gen(function*() {
      const { Shares, Sums, name } = makeShares()
      const { position } = yield* append(Sums, 1)
      const { Shares: Shares2 } = makeShares(2)
      yield* running(
        Shares,
        {},
        running(
          Shares2,
          {},
          Effect.gen(function*() {
            yield* Projection.awaitProcessed(Shares, position)
            yield* Projection.awaitReady(Shares2)
            yield* Projection.switchTo(name, 2)
            assert.strictEqual(yield* Projection.rollBack(name, { from: 2 }), 1)
            assert.strictEqual(yield* Projection.rollBack(name, { from: 2 }), 1)
            assert.strictEqual(yield* Projection.rollBack(name), 2)
          })
        )
      )
    }))

  it.effect("is a warning when a batch fails for the first time, and no more until it is given up", () =>
    Effect.gen(function*() {
      const { Shares, Sums, name } = makeShares()
      const { position: before } = yield* append(Sums, 1)
      const lines: Array<string> = []
      const position = before + 1
      yield* said(lines)(running(
        Shares,
        { onError: { retry: Schedule.recurs(3).pipe(Schedule.addDelay(() => Effect.succeed("1 millis"))) } },
        Effect.gen(function*() {
          yield* Projection.awaitProcessed(Shares, before)
          yield* append(Sums, 0)
          yield* Effect.flip(Projection.awaitProcessed(Shares, position))
        })
      ))
      assert.deepStrictEqual(lines.filter((line) => !line.startsWith("Debug")), [
        `Warn ${name} ${position} A batch failed: it is tried again as long as onError.retry says, then the projection stops`,
        `Error ${name} ${position} The projection stops at position ${position}, until it is resumed`
      ])
    }))

  it.effect("says how long a batch is tried by default, and what comes then", () =>
    Effect.gen(function*() {
      for (
        const [giveUp, then] of [
          ["stop", "for 2 minutes at most, then the projection stops"],
          ["park", "for 13 seconds at most, then the event is set aside"]
        ] as const
      ) {
        const { Shares, Sums } = makeShares()
        const lines: Array<string> = []
        yield* append(Sums, 1, 0)
        yield* said(lines)(running(
          Shares,
          { onError: { giveUp } },
          until("a warning", () => lines.some((line) => line.startsWith("Warn")))
        ))
        assert.deepStrictEqual(
          lines.filter((line) => !line.startsWith("Debug")).map((line) => line.split(": it is ")[1]),
          [
            `tried again ${then}`
          ]
        )
      }
    }))
})
