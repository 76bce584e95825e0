import { assert } from "@effect/vitest"
import { Arbitrary, Effect, Schedule, Schema } from "effect"
import * as Projection from "../../Projection/Projection.ts"
import type { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import {
  type Documents,
  documentsOf,
  foldByHand,
  freshTexts,
  oldDebugged,
  oldPut,
  oldPutBoth,
  put,
  Removed,
  type Texts,
  textsOf
} from "./keyedTexts.ts"
import { freshProjection, otherStore, processed, project, type Runner, stateOf, untilState } from "./projecting.ts"
import { equal, type Rules, type Store } from "./rule.ts"

const Key = Schema.Literals(["a", "b", "c", "d"])

/** What is stored: as events of today, or as their older shapes. */
const Stored = Schema.Struct({
  kind: Schema.Literals(["put", "put", "put", "removed", "old", "both", "debugged", "bad"]),
  keys: Schema.Array(Key).check(Schema.isMinLength(1), Schema.isMaxLength(3))
})

const Which = Schema.Literals([0, 1])

const appends = Schema.TaggedStruct("Append", {
  stream: Schema.Literals(["1", "2", "3"]),
  events: Schema.Array(Stored).check(Schema.isMinLength(1), Schema.isMaxLength(6))
})

/** What happens often stands here often. */
const Command = Schema.Union([
  appends,
  appends,
  appends,
  Schema.TaggedStruct("Start", { which: Which, batch: Schema.Literals([1, 3, 50]) }),
  Schema.TaggedStruct("Start", { which: Which, batch: Schema.Literals([1, 3, 50]) }),
  Schema.TaggedStruct("Stop", { which: Which }),
  Schema.TaggedStruct("Repartition", { partitions: Schema.Literals([1, 2, 3]) }),
  Schema.TaggedStruct("Pause", {}),
  Schema.TaggedStruct("Replay", {}),
  Schema.TaggedStruct("Wait", {})
])
type Command = typeof Command.Type

/** One history: two runners of version 1 that come and go. */
class Run {
  readonly from: Texts = freshTexts()
  readonly name = freshProjection()
  private readonly broken = new Set<string>()
  private readonly stores: ReadonlyArray<Store>
  private readonly runners: Array<Runner | undefined> = [undefined, undefined]
  private texts = 0

  constructor(stores: ReadonlyArray<Store>) {
    this.stores = stores
  }

  private get store(): Store {
    return this.stores[0]!
  }

  /** Does nothing as long as nobody has run it. */
  private readonly run = (operation: Effect.Effect<unknown, Projection.OperationError, EventStore>) =>
    Effect.catchTag(inStore(this.store)(operation), "ProjectionNotFound", () => Effect.void)

  private readonly start = Effect.fnUntraced({ self: this }, function*(which: 0 | 1, batch: number) {
    if (this.runners[which] !== undefined) return
    this.runners[which] = yield* project(this.stores[which]!, textsOf(this.name, this.from, { broken: this.broken }), {
      batch,
      partitions: 2,
      lease: "2 seconds",
      onError: { retry: Schedule.recurs(0), giveUp: "park" }
    })
  })

  step = Effect.fnUntraced({ self: this }, function*(command: Command) {
    switch (command._tag) {
      case "Append": {
        const stream = this.from.stream(command.stream)
        for (const { keys, kind } of command.events) {
          const text = `${kind} ${++this.texts}`
          if (kind === "bad") this.broken.add(text)
          const raw = kind === "old"
            ? oldPut(text, keys[0]!)
            : kind === "both"
            ? oldPutBoth(text, ...keys)
            : kind === "debugged"
            ? oldDebugged
            : undefined
          yield* raw !== undefined
            ? this.store.append(Category.rawStream(stream.streamId), [raw])
            : this.store.append(stream, [kind === "removed" ? new Removed({ key: keys[0]! }) : put(text, ...keys)])
        }
        return
      }
      case "Start":
        return yield* this.start(command.which, command.batch)
      case "Stop":
        yield* this.runners[command.which]?.stop ?? Effect.void
        this.runners[command.which] = undefined
        return
      case "Repartition":
        return yield* this.run(Projection.repartition(this.name, command.partitions))
      case "Pause":
        yield* this.run(Projection.pause(this.name))
        return yield* this.run(Projection.resume(this.name))
      case "Replay":
        this.broken.clear()
        return yield* this.run(Projection.replay(this.name))
      case "Wait":
        return yield* Effect.sleep(2)
    }
  })

  /** What the live version ends with, what a version that is built anew says, and the same after a reset. */
  end = Effect.fnUntraced({ self: this }, function*() {
    const { name, store } = this
    yield* this.start(0, 20)
    yield* processed(store, name)
    this.broken.clear()
    yield* inStore(store)(Projection.replay(name))
    yield* untilState(store, name, ({ parkedEvents, repartitionTo }) => parkedEvents === 0 && repartitionTo === null)
    yield* processed(store, name)
    const live = yield* this.documents(1)
    yield* project(store, textsOf(name, this.from, { version: 2 }), { batch: 7, partitions: 3 })
    yield* untilState(store, name, ({ version }) => version === 2)
    yield* processed(store, name)
    const rebuilt = yield* this.documents(2)
    yield* inStore(store)(Projection.reset(name, { version: 1 }))
    yield* processed(store, name, 1)
    return { live, rebuilt, again: yield* this.documents(1) }
  })

  private documents(version: number): Effect.Effect<Documents, any> {
    return Effect.flatMap(stateOf(this.store, this.name, version), ({ id }) => documentsOf(this.store, id))
  }
}

const histories = Arbitrary.array(Arbitrary.schema(Command), { minLength: 3, maxLength: 25 })

/** Plays random histories. Another seed, or that of a failure: `Arbitrary.configureGlobal`. */
export const checkHistories = (store: Store, runs: number): Effect.Effect<void, never, any> =>
  Effect.gen(function*() {
    const stores = [store, yield* otherStore(store)]
    const result = yield* Arbitrary.checkEffect(histories, (commands) =>
      Effect.scoped(Effect.gen(function*() {
        const run = new Run(stores)
        for (const command of commands) yield* run.step(command)
        const { again, live, rebuilt } = yield* run.end()
        const expected = yield* foldByHand(store, run.from)
        equal(live, expected)
        equal(rebuilt, expected)
        equal(again, expected)
        return true
      })).pipe(Effect.sandbox), { runs, size: 25, maxShrinks: 60 })
    const failure = Arbitrary.formatCheckFailure(result)
    if (failure !== undefined) assert.fail(failure)
  })

export const projectionHistoryRules: Rules = (rule) => {
  rule("is the fold of its events, live or built anew, whatever happened to it", function*(store) {
    yield* checkHistories(store, store.storage.system === "memory" ? 40 : 10)
  })
}
