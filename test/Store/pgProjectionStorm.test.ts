/**
 * Runners in three pools that claim, work, stand still, lose their leases and fail, while operators do everything they can. In
 * the end each version has each position exactly once.
 */
import type { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Option, Random } from "effect"
import * as SqlError from "effect/sql/SqlError"
import type { OwnedPartition, PartitionsClaimed } from "../../src/Store/ProjectionStorage.ts"
import { definitionOf, storageOf } from "../../src/Testing/internal/projectionStorageVersion.ts"
import { open, type Opened } from "../support/Notes.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const name = "storm"
const schemaOf = (version: number) => `storm_v${version}`

/** What has to happen for this to say anything. */
const expected = ["advance Some", "advance None", "failure", "set up true"]

/** Positions that there are to handle by now, and what was met on the way. */
class Storm {
  private readonly begunAt = Date.now()
  head = 0
  isCalm = false
  readonly met: Record<string, number> = {}

  /** For some seconds, and until everything has happened that has to, unless that takes too long. */
  get goesOn(): boolean {
    const millis = Date.now() - this.begunAt
    return millis < 4000 || millis < 45_000 && expected.some((what) => (this.met[what] ?? 0) < 3)
  }

  meet(what: string): void {
    this.met[what] = (this.met[what] ?? 0) + 1
  }
}

/** Trouble that the storm makes: a transaction that stood still was ended, or somebody was in the way. */
const isTrouble = (error: any): boolean =>
  error.isRetryable === true || error.reason?.isRetryable === true ||
  ["ConnectionError", "UnknownError"].includes(error.reason?._tag) &&
    /close|idle-in|57P01|25P0/i.test(String(error.reason.cause))

/** A position was there already. */
const isDoubled = (error: unknown): boolean => SqlError.isSqlError(error) && error.reason._tag === "UniqueViolation"

const register = ({ store }: Opened, version: number) =>
  storageOf(store).register(
    definitionOf(name, { version, kind: "tables", schema: schemaOf(version) }),
    2,
    { position: 0, eventId: null }
  )

const setUp = ({ sql, store }: Opened, id: number, version: number) =>
  storageOf(store).setUpWith(
    id,
    sql`CREATE TABLE ${sql(schemaOf(version))}.seen (position int8 PRIMARY KEY, by text NOT NULL)`
  )

/** Handles what is next of a partition. A position that is there already breaks its primary key. */
const work = Effect.fnUntraced(function*(
  storm: Storm,
  { sql, store }: Opened,
  { id, version }: { readonly id: number; readonly version: number },
  runner: string,
  owned: OwnedPartition,
  claimed: PartitionsClaimed,
  lease: Duration.Duration
) {
  const { advanceWith, documents, report } = storageOf(store)
  const dice = storm.isCalm ? 9 : yield* Random.nextIntBetween(0, 30)
  if (dice === 0) {
    storm.meet("failure")
    return yield* report({ id, partition: owned.partition, epoch: owned.epoch }, {
      error: "no",
      position: 1,
      isFatal: false
    })
  }
  const from = owned.position
  const last = Math.min(claimed.stopAt ?? Infinity, storm.head)
  const to = Math.min(last, from + (yield* Random.nextIntBetween(0, 20)))
  const advance = {
    id,
    partition: owned.partition,
    epoch: owned.epoch,
    from,
    to,
    eventId: null,
    handled: to - from,
    rate: 0,
    isCaughtUp: to === storm.head,
    lease,
    now: undefined,
    isBulk: dice % 2 === 0
  }
  const positions = Array.from({ length: to - from }, (_, i) => from + i + 1)
    .filter((position) => position % owned.of === owned.partition)
  const effect = Effect.gen(function*() {
    yield* sql`INSERT INTO ${sql(schemaOf(version))}.seen (position, by)
      SELECT n::int8, ${runner}::text FROM unnest(${positions.map(String)}::text[]) AS n`
    yield* documents.save(id, positions.map((position) => ({ key: `k${position % 7}`, state: `${position}` })))
    // some stand still for longer than they may
    if (dice < 4) yield* Effect.sleep(Duration.toMillis(lease) * dice * 0.6)
  })
  const answer = yield* Effect.catchIf(
    advanceWith(advance, positions.length === 0 && dice % 2 === 0 ? undefined : effect),
    isDoubled,
    // somebody else was given the partition, and was faster: so this one must not go on
    () =>
      Effect.tap(
        advanceWith<void, never, never>(advance, undefined),
        (late) => Effect.sync(() => assert.isTrue(Option.isNone(late)))
      )
  )
  storm.meet(`advance ${answer._tag}`)
})

const runner = Effect.fnUntraced(function*(storm: Storm, stores: Opened, index: number) {
  const { claim, completeWith, release, states } = storageOf(stores.store)
  for (let round = 0; storm.goesOn; round++) {
    storm.head += 2
    const name_ = `${index}.${Math.floor(round / 40)}`
    const all = yield* states(name, undefined)
    const state = all[yield* Random.nextIntBetween(0, all.length - 1)]
    if (state === undefined) continue
    const lease = Duration.millis(yield* Random.nextIntBetween(20, 400))
    const step = Effect.gen(function*() {
      const claimed = yield* claim({ id: state.id, runner: name_, lease, now: undefined })
      if (claimed === undefined) return storm.meet("dropped")
      if (!claimed.isSetUp) {
        storm.meet(`set up ${yield* setUp(stores, state.id, state.version)}`)
        return
      }
      for (const owned of claimed.partitions) yield* work(storm, stores, state, name_, owned, claimed, lease)
      if (claimed.surplus > 0) {
        storm.meet("surplus")
        yield* release(state.id, name_, claimed.partitions.slice(0, claimed.surplus).map(({ partition }) => partition))
      }
      if (round % 5 === 0) {
        const isSwitching = yield* Random.nextBoolean
        storm.meet(`complete ${yield* completeWith(state.id, { isSwitching }, () => Effect.sleep("1 millis"))}`)
      }
      if (round % 13 === 0) yield* release(state.id, name_)
    })
    yield* Effect.catchIf(step, isTrouble, () => Effect.sync(() => storm.meet("trouble")))
  }
})

const operator = Effect.fnUntraced(function*(storm: Storm, stores: Opened) {
  const { drop, pause, repartition, reset, resume, rollBack, states, switchTo } = storageOf(stores.store)
  while (storm.goesOn) {
    const all = yield* states(name, undefined)
    const { id } = all[yield* Random.nextIntBetween(0, all.length - 1)]!
    const dice = yield* Random.nextIntBetween(0, 20)
    const operation: Effect.Effect<unknown, any> = dice < 3
      ? Effect.andThen(pause(id), Effect.andThen(Effect.sleep("5 millis"), resume(id)))
      : dice < 7
      ? repartition(id, dice - 2)
      : dice < 10
      ? switchTo(id)
      : dice < 12
      ? rollBack(name)
      : dice < 13
      ? reset(id)
      : dice < 14
      ? Effect.tap(drop(id), (answer) => answer === "dropped" ? register(stores, all.at(-1)!.version + 1) : Effect.void)
      : Effect.sleep("20 millis")
    storm.meet(`operator ${dice}`)
    yield* Effect.catchIf(operation, isTrouble, () => Effect.sync(() => storm.meet("operator in trouble")))
  }
})

const deadlocks = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ n: number }>`SELECT deadlocks::int4 AS n FROM pg_stat_database WHERE datname = current_database()`,
    ([row]) => row!.n
  )

it.live(
  "projections in Postgres have each position once, whatever runners and operators do",
  () =>
    Effect.gen(function*() {
      const url = yield* TestPostgres.url
      const pools = yield* Effect.forEach([1, 2, 3], () => open(url))
      const stores = pools[0]!
      const { claim, completeWith, documents, resume, states } = storageOf(stores.store)
      yield* register(stores, 1)
      yield* register(stores, 2)
      const storm = new Storm()
      yield* Effect.all([
        ...Array.from({ length: 6 }, (_, i) => runner(storm, pools[i % 3]!, i)),
        operator(storm, pools[1]!)
      ], { concurrency: "unbounded", discard: true })

      // what is left is done by one
      storm.isCalm = true
      for (const { id, version } of yield* states(name, undefined)) {
        yield* resume(id)
        for (let isDone = false; !isDone;) {
          const lease = Duration.seconds(10)
          const claimed = (yield* claim({ id, runner: "last", lease, now: undefined }))!
          if (!claimed.isSetUp) yield* setUp(stores, id, version)
          for (const owned of claimed.partitions) {
            yield* work(storm, stores, { id, version }, "last", owned, claimed, lease)
          }
          const state = (yield* states(name, undefined)).find((state) => state.id === id)!
          isDone = state.repartitionTo === null && state.partitions.every(({ position }) => position === storm.head)
        }
        const seen = yield* stores.sql<{ count: number; last: number }>`
        SELECT count(*)::int4 AS count, max(position)::int4 AS last FROM ${stores.sql(schemaOf(version))}.seen`
        assert.deepStrictEqual(seen, [{ count: storm.head, last: storm.head }], JSON.stringify(storm.met))
        const page = yield* documents.page(id, { prefix: "k", after: "", limit: 100 })
        assert.deepStrictEqual(
          page.map(({ key }) => key),
          ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]
        )
        for (const { state } of page) assert.isAbove(Number(state), storm.head - 60)
        assert.isTrue(yield* completeWith(id, { isSwitching: false }, () => Effect.void))
      }
      for (const what of expected) {
        assert.isAbove(storm.met[what] ?? 0, 0, `${what}: ${JSON.stringify(storm.met)}`)
      }
      assert.strictEqual((yield* states(name, undefined)).filter(({ isLive }) => isLive).length, 1)
      assert.strictEqual(yield* deadlocks(stores.sql), 0)
    }),
  120_000
)
