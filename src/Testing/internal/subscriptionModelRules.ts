import { assert } from "@effect/vitest"
import { Arbitrary, Duration, Effect, Option, Schema } from "effect"
import type { Held, Settlement } from "../../Store/SubscriptionStorage.ts"
import { begin, claimOf, done, makeQueue, park, type Queue, release, retry, storageOf } from "./queue.ts"
import { equal, has, type Rules, type Store } from "./rule.ts"
import { SubscriptionModel } from "./SubscriptionModel.ts"

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))
const from1 = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most }))
const few = <S extends Schema.Constraint>(item: S) => Schema.Array(item).check(Schema.isMaxLength(3))

/** Which one of the deliveries that were ever handed out, counted from the last. */
const Which = upTo(5)

const claims = Schema.TaggedStruct("Claim", {
  offer: Schema.Null,
  limit: Schema.Literals([1, 3, 9]),
  lease: Schema.Literals([2, 8, 30]),
  attempts: Schema.Literals([3, 9, 9]),
  idle: Schema.Boolean
})
const offers = Schema.TaggedStruct("Claim", {
  offer: Schema.Struct({
    from: Schema.Literals(["position", "position", "position", "before"]),
    /** `""` is a piece of the log in which nothing matches. */
    keys: few(Schema.Literals(["a", "a", "a", "b", "none", ""]))
  }),
  limit: Schema.Literals([0, 1, 9]),
  lease: Schema.Literals([2, 8, 30]),
  attempts: from1(6),
  idle: Schema.Boolean
})
const waits = Schema.TaggedStruct("Wait", { millis: upTo(12) })
const answers = Schema.TaggedStruct("Settle", {
  answers: few(Schema.Struct({
    which: Which,
    outcome: Schema.Literals(["done", "retry", "retry", "park", "release"]),
    after: upTo(20)
  }))
})

/** What happens often stands here often. */
const Command = Schema.Union([
  claims,
  claims,
  claims,
  offers,
  offers,
  waits,
  waits,
  answers,
  answers,
  Schema.TaggedStruct("Extend", { held: few(Which), lease: from1(20) }),
  Schema.TaggedStruct("FinishWith", { which: Which }),
  Schema.TaggedStruct("Replay", { which: few(Which) }),
  Schema.TaggedStruct("Discard", { which: few(Which) }),
  Schema.TaggedStruct("Skip", { which: few(Which) }),
  Schema.TaggedStruct("Update", {
    parkedBlocks: Schema.Boolean,
    capacity: from1(9),
    /** Moves it back by so many; mostly it stays. */
    back: Schema.NullOr(Schema.Literals([0, 2, 9]))
  })
])
type Command = typeof Command.Type

/** One program on a subscription of its own, step by step on both sides. */
class Run {
  readonly store: Store
  readonly queue: Queue
  readonly model: SubscriptionModel
  now = begin
  /** What was handed out, newest first: under its lease, and what the model calls that. */
  private readonly handed: Array<{ readonly held: Held; readonly claim: number }> = []

  constructor(store: Store, queue: Queue, model: SubscriptionModel) {
    this.store = store
    this.queue = queue
    this.model = model
  }

  /** Each position once: which of two answers for one delivery counts is left to the storage. */
  private which(indexes: ReadonlyArray<number>) {
    const chosen = new Map<number, { readonly index: number; readonly held: Held; readonly asModel: Held }>()
    for (const [index, which] of indexes.entries()) {
      const one = this.handed[which]
      if (one === undefined || chosen.has(one.held.position)) continue
      chosen.set(one.held.position, { index, held: one.held, asModel: { ...one.held, lease: one.claim } })
    }
    return [...chosen.values()].sort((a, b) => a.held.position - b.held.position)
  }

  step = Effect.fnUntraced({ self: this }, function*(command: Command) {
    const { model, now, queue } = this
    const subscriptions = storageOf(this.store)
    switch (command._tag) {
      case "Claim": {
        const { lease, offer: wanted, ...options } = command
        const from = wanted?.from === "before" ? model.position - 1 : model.position
        const events = (wanted?.keys ?? [])
          .map((key, i) => ({ position: from + i + 1, key: key === "none" ? null : key }))
          .filter(({ key }) => key !== "")
        const offer = wanted === null ? undefined : { from, to: from + wanted.keys.length, eventId: null, events }
        const claim = claimOf(queue.id, now, { ...options, lease: Duration.millis(lease), offer })
        const { isAlone, revision: _, ...claimed } = (yield* subscriptions.claim(claim))!
        if (isAlone) equal(claimed.deliveries.length, 1)
        const deliveries = claimed.deliveries.map(({ attempt, key, position }) => ({ position, key, attempt }))
        equal({ ...claimed, deliveries }, model.claim(claim, now))
        for (const held of claimed.deliveries) this.handed.unshift({ held, claim: model.lastClaim() })
        return
      }
      case "Wait":
        this.now += command.millis
        return
      case "Settle": {
        const chosen = this.which(command.answers.map(({ which }) => which))
        const answers = chosen.map(({ asModel, held, index }) => {
          const { after, outcome } = command.answers[index]!
          const settlement = (held: Held): Settlement =>
            outcome === "done"
              ? done(held)
              : outcome === "release"
              ? release(held)
              : outcome === "retry"
              ? retry(held, after, `error ${after}`)
              : park(held, `reason ${after}`)
          return [settlement(held), settlement(asModel)] as const
        })
        equal(
          yield* queue.settle(now, ...answers.map(([settlement]) => settlement)),
          model.settle(answers.map(([, settlement]) => settlement), now)
        )
        return
      }
      case "Extend": {
        const chosen = this.which(command.held)
        const lease = Duration.millis(command.lease)
        equal(
          yield* queue.extend(now, lease, ...chosen.map(({ held }) => held)),
          model.extend(chosen.map(({ asModel }) => asModel), lease, now)
        )
        return
      }
      case "FinishWith": {
        const [chosen] = this.which([command.which])
        if (chosen === undefined) return
        const answer = yield* subscriptions.finishWith(queue.id, chosen.held, Effect.succeed("answer"))
        // no lease of this program has run out by the clock of the storage
        const isHeld = model.isHeld(chosen.asModel, 0)
        equal(answer, isHeld ? Option.some("answer") : Option.none())
        model.settle([done(chosen.asModel)], 0)
        return
      }
      case "Update": {
        const { back, capacity, parkedBlocks } = command
        const position = Math.max(0, model.position - (back ?? 0))
        const start = back === null ? undefined : { position, eventId: null }
        equal(yield* subscriptions.update(queue.name, { capacity, parkedBlocks, start }), true)
        model.capacity = capacity
        model.parkedBlocks = parkedBlocks
        if (back !== null) model.move(position)
        return
      }
      case "Replay": {
        const positions = this.which(command.which).map(({ held }) => held.position)
        return equal(yield* queue.replay(...positions), model.replay(positions))
      }
      case "Discard": {
        const positions = this.which(command.which).map(({ held }) => held.position)
        return equal(yield* queue.discard(...positions), model.discard(positions))
      }
      case "Skip": {
        const positions = this.which(command.which).map(({ held }) => held.position)
        return equal(yield* queue.skip(...positions), model.skip(positions))
      }
    }
  })

  /** Everything that can be seen of the subscription, compared. */
  compare = Effect.fnUntraced({ self: this }, function*() {
    const [state, parked] = yield* Effect.all([this.queue.state(this.now), this.queue.parked()], { concurrency: 2 })
    has(state, this.model.state(this.now))
    equal(parked, this.model.parked())
  })
}

const programs = Arbitrary.array(Arbitrary.schema(Command), { minLength: 20, maxLength: 60 })

/** Runs random programs on both sides. Another seed, or that of a failure: `Arbitrary.configureGlobal`. */
export const checkModel = (store: Store, runs: number): Effect.Effect<void> =>
  Effect.map(
    Arbitrary.checkEffect(programs, (commands) =>
      Effect.gen(function*() {
        const queue = yield* makeQueue(store, { capacity: 5 })
        const run = new Run(store, queue, new SubscriptionModel(5, false))
        for (const command of commands) {
          yield* run.step(command)
          yield* run.compare()
        }
        yield* storageOf(store).remove(queue.name)
        return true
      }).pipe(Effect.sandbox), { runs, size: 60, maxShrinks: 300 }),
    (result) => {
      const failure = Arbitrary.formatCheckFailure(result)
      if (failure !== undefined) assert.fail(failure)
    }
  )

export const subscriptionModelRules: Rules = (rule) => {
  rule("keeps deliveries as a naive model of a subscription does, whatever the program", function*(store) {
    yield* checkModel(store, 60)
  })
}
