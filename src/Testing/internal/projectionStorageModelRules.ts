import { assert } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Option, Schema } from "effect"
import type { PartitionsClaimed, ProjectionState } from "../../Store/ProjectionStorage.ts"
import { makeVersion, type Owned, storageOf, type Version } from "./projectionStorageVersion.ts"
import { begin } from "./queue.ts"
import { equal, type Rules, type Store } from "./rule.ts"

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))
const from1 = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most }))

const Runner = Schema.Literals(["a", "b", "c"])

const claims = Schema.TaggedStruct("Claim", { runner: Runner, lease: Schema.Literals([3, 10, 30]) })
const advances = Schema.TaggedStruct("Advance", {
  /** Which of the partitions that were ever handed out, counted from the last. */
  which: upTo(7),
  by: upTo(4),
  /** Whether it goes on from where it knows the partition to be. */
  isKnown: Schema.Literals([true, true, true, false]),
  isCaughtUp: Schema.Boolean,
  parks: Schema.Literals([false, false, true])
})
const waits = Schema.TaggedStruct("Wait", { millis: upTo(12) })

/** What happens often stands here often. */
const Command = Schema.Union([
  claims,
  claims,
  claims,
  claims,
  advances,
  advances,
  advances,
  advances,
  waits,
  waits,
  Schema.TaggedStruct("Release", { runner: Runner, partitions: Schema.NullOr(Schema.Array(upTo(3))) }),
  Schema.TaggedStruct("Report", { which: upTo(7), isFatal: Schema.Literals([false, false, true]) }),
  Schema.TaggedStruct("Operate", {
    how: Schema.Literals(["pause", "resume", "resume", "resume", "reset", "replay", "discard"])
  }),
  Schema.TaggedStruct("Repartition", { to: from1(4) })
])
type Command = typeof Command.Type

/** A place that a runner believes its partition to be at. */
interface Held {
  owned: Owned
  readonly runner: string
}

/** What was seen of one version, and what has to hold for whatever comes next. */
class Run {
  readonly store: Store
  readonly version: Version
  now = begin
  /** What was handed out, newest first. */
  private readonly held: Array<Held> = []
  /** Who was handed a partition under an epoch. */
  private readonly owners = new Map<string, string>()
  /** The newest epoch of each partition that was ever seen. */
  private readonly epochs = new Map<number, number>()
  /** Leases that have to hold. What an operator does may end them, or not. */
  private leases = new Map<number, { readonly runner: string; readonly until: number }>()
  private positions: ReadonlyArray<number> = []
  private stopAt: number | null = null
  private repartitionTo: number | null = null
  private status = "running"
  /** What every successful advance left, since the last reset. */
  private effects = 0
  private error: string | null = null
  private readonly parked = new Map<string, ReadonlyArray<number>>()
  private readonly replays = new Set<string>()

  constructor(store: Store, version: Version) {
    this.store = store
    this.version = version
  }

  step = Effect.fnUntraced({ self: this }, function*(command: Command) {
    const { version } = this
    const projections = storageOf(this.store)
    const before: ProjectionState = yield* version.state(this.now)
    switch (command._tag) {
      case "Wait":
        this.now += command.millis
        return
      case "Claim": {
        const claimed = yield* version.claim(command.runner, this.now, Duration.millis(command.lease))
        return this.claimed(command.runner, command.lease, before, claimed)
      }
      case "Release": {
        yield* projections.release(version.id, command.runner, command.partitions ?? undefined)
        for (const [partition, { runner }] of this.leases) {
          const isNamed = command.partitions?.includes(partition) ?? true
          if (runner === command.runner && isNamed) this.leases.delete(partition)
        }
        return
      }
      case "Advance": {
        const held = this.held[command.which]
        if (held === undefined) return
        const { owned, runner } = held
        const known = before.partitions[owned.partition]
        const from = command.isKnown ? owned.position : owned.position + 1
        const to = from + command.by
        const key = `${owned.partition}`
        const isAllowed = known !== undefined && known.epoch === owned.epoch && known.position === from &&
          this.status === "running" && (this.stopAt === null || to <= this.stopAt)
        const effect = projections.documents.save(version.id, [{ key: `${this.effects}`, state: "1" }])
        const park = command.parks && command.by > 0 ? [{ key, position: to, attempts: 1, error: "no" }] : []
        const moved = yield* version.moveWith({ ...owned, position: from }, to, effect, {
          handled: command.by,
          isCaughtUp: command.isCaughtUp,
          lease: Duration.millis(10),
          now: this.now,
          park
        })
        equal(Option.isSome(moved), isAllowed)
        if (!isAllowed) return
        this.effects++
        held.owned = { ...owned, position: to }
        if (command.by > 0) this.error = null
        for (const { key, position } of park) this.parked.set(key, [...this.parked.get(key) ?? [], position])
        const after = (yield* version.state(this.now)).partitions[owned.partition]!
        equal([after.position, after.handled], [to, known.handled + command.by])
        equal([after.isCaughtUp, after.owner], [command.isCaughtUp, runner])
        this.leases.set(owned.partition, { runner, until: this.now + 10 })
        return
      }
      case "Report": {
        const held = this.held[command.which]
        if (held === undefined) return
        const { epoch, partition } = held.owned
        const isHeard = before.partitions[partition]?.epoch === epoch
        const failure = { error: `error ${command.which}`, position: null, isFatal: command.isFatal }
        yield* projections.report({ id: version.id, partition, epoch }, failure)
        if (!isHeard) return
        this.error = failure.error
        if (!command.isFatal) return
        this.status = "failed"
        this.leases.clear()
        return
      }
      case "Operate":
        return yield* this.operate(command.how)
      case "Repartition": {
        equal(yield* projections.repartition(version.id, command.to), true)
        const isChange = command.to !== before.partitions.length
        this.repartitionTo = isChange ? command.to : null
        this.stopAt = isChange ? Math.max(...before.partitions.map(({ position }) => position)) : null
        this.leases.clear()
        return
      }
    }
  })

  private operate = Effect.fnUntraced({ self: this }, function*(how: string) {
    const projections = storageOf(this.store)
    const { id } = this.version
    const events = [...this.parked.values()].flat().length
    switch (how) {
      case "pause":
        equal(yield* projections.pause(id), true)
        this.status = "paused"
        break
      case "resume":
        equal(yield* projections.resume(id), true)
        if (this.status !== "running") this.error = null
        this.status = "running"
        break
      case "reset":
        equal(yield* projections.reset(id), true)
        if (this.status === "failed") this.status = "running"
        this.error = null
        this.effects = 0
        this.positions = this.positions.map(() => 0)
        if (this.stopAt !== null) this.stopAt = 0
        this.parked.clear()
        this.replays.clear()
        break
      case "replay":
        equal(yield* projections.replay(id, undefined), events)
        for (const key of this.parked.keys()) this.replays.add(key)
        return
      case "discard":
        equal(yield* projections.discard(id, undefined), events)
        this.parked.clear()
        this.replays.clear()
        return
    }
    this.leases.clear()
  })

  private claimed(runner: string, lease: number, before: ProjectionState, claimed: PartitionsClaimed): void {
    const { partitions } = claimed
    equal([claimed.status, claimed.stage, claimed.isApplied], [this.status, "building", false])
    const isDue = this.repartitionTo !== null && this.positions.every((position) => position === this.stopAt)
    if (isDue) {
      this.positions = Array.from({ length: this.repartitionTo! }, () => this.stopAt!)
      this.repartitionTo = this.stopAt = null
      this.leases.clear()
    }
    equal(claimed.stopAt, this.stopAt)
    equal([...claimed.parkedKeys].sort(), [...this.parked.keys()].sort())
    equal([...claimed.replays].sort(), [...this.replays].sort())
    if (this.status !== "running") equal(partitions, [])

    for (const { epoch, of, partition, position } of partitions) {
      equal([of, position], [this.positions.length, this.positions[partition]])
      const lease = this.leases.get(partition)
      assert.isFalse(
        lease !== undefined && lease.runner !== runner && lease.until > this.now,
        `${runner} was handed partition ${partition}, which ${lease?.runner} has until ${lease?.until}, at ${this.now}`
      )
      const name = `${partition} ${epoch}`
      equal(this.owners.get(name) ?? runner, runner)
      assert.isAtLeast(epoch, this.epochs.get(partition) ?? 0, `an epoch of partition ${partition} is used again`)
      this.owners.set(name, runner)
      this.epochs.set(partition, epoch)
      const known = this.held.find(({ owned }) => owned.partition === partition && owned.epoch === epoch)
      if (known === undefined) this.held.unshift({ runner, owned: { partition, epoch, position } })
    }
    for (const [partition, lease] of this.leases) {
      if (lease.runner !== runner || lease.until <= this.now || this.status !== "running") continue
      assert.isTrue(partitions.some((owned) => owned.partition === partition), `${runner} lost partition ${partition}`)
    }
    for (const { partition } of partitions) this.leases.set(partition, { runner, until: this.now + lease })

    // of three runners at most, none goes without its share while there is something that nobody has
    const others = before.partitions.filter(({ owner }) => owner !== null && owner !== runner).length
    if (this.status !== "running" || isDue) return
    assert.isAtLeast(partitions.length, Math.min(Math.floor(this.positions.length / 3), this.positions.length - others))
    if (claimed.surplus > 0) assert.isAbove(partitions.length, claimed.surplus)
  }

  /** Everything that can be seen of the version, after each step. */
  compare = Effect.fnUntraced({ self: this }, function*() {
    const { partitions, ...state }: ProjectionState = yield* this.version.state(this.now)
    equal([state.status, state.error, state.repartitionTo], [this.status, this.error, this.repartitionTo])
    equal([state.parkedKeys, state.parkedEvents], [this.parked.size, [...this.parked.values()].flat().length])
    if (this.positions.length === 0) this.positions = partitions.map(({ position }) => position)
    equal(partitions.length, this.positions.length)
    for (const { epoch, owner, partition, position } of partitions) {
      assert.isAtLeast(position, this.positions[partition]!, `checkpoint of partition ${partition} moved back`)
      assert.isAtLeast(epoch, this.epochs.get(partition) ?? 0, `epoch of partition ${partition} went back`)
      this.epochs.set(partition, epoch)
      const lease = this.leases.get(partition)
      if (lease !== undefined) equal(owner, lease.until > this.now ? lease.runner : null)
    }
    this.positions = partitions.map(({ position }) => position)
    equal(Object.keys(yield* this.version.documents).length, this.effects)
  })
}

const programs = Arbitrary.array(Arbitrary.schema(Command), { minLength: 20, maxLength: 60 })

/** Runs random programs of several runners. Another seed, or that of a failure: `Arbitrary.configureGlobal`. */
export const checkRunners = (store: Store, runs: number): Effect.Effect<void> =>
  Effect.map(
    Arbitrary.checkEffect(programs, (commands) =>
      Effect.gen(function*() {
        // of a name that lives on, so that it can be dropped
        const live = yield* makeVersion(store)
        const version = yield* makeVersion(store, { name: live.name, version: 2, partitions: 3 })
        const run = new Run(store, version)
        yield* run.compare()
        for (const command of commands) {
          yield* run.step(command)
          yield* run.compare()
        }
        equal(yield* storageOf(store).drop(version.id), "dropped")
        return true
      }).pipe(Effect.sandbox), { runs, size: 60, maxShrinks: 300 }),
    (result) => {
      const failure = Arbitrary.formatCheckFailure(result)
      if (failure !== undefined) assert.fail(failure)
    }
  )

export const projectionStorageModelRules: Rules = (rule) => {
  rule(
    "never moves a checkpoint back or lets two own a partition, whatever runners and operators do",
    function*(store) {
      yield* checkRunners(store, 15)
    }
  )
}
