/** Random programs against a store and against a pure model of one, compared after every step. */
import { assert, layer as sharedLayer } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Layer, Option, Schema, Stream } from "effect"
import {
  Category,
  EventData,
  EventId,
  EventStore,
  type ExpectedVersion,
  PgEventStore,
  PgliteEventStore,
  RawEvent
} from "effect-eventstore"
import { LogModel, type ModelEntry, type Verdict } from "../support/LogModel.ts"
import * as TestPostgres from "../support/TestPostgres.ts"

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))

/** What a writer expects, before it is known where the stream stands. */
const Expected = Schema.Literals(["any", "any", "no-stream", "stream-exists", "current", "current", "stale", "ahead"])
const stream = upTo(2)
const Part = Schema.Struct({ stream, count: upTo(3), expected: Expected, tag: upTo(2) })

const Operation = Schema.Union([
  Schema.TaggedStruct("Append", Part.fields),
  Schema.TaggedStruct("AppendAll", { first: Part, second: Part }),
  Schema.TaggedStruct("AppendIf", { part: Part, asked: upTo(2), back: upTo(6) }),
  Schema.TaggedStruct("Retry", {
    which: upTo(20),
    how: Schema.Literals(["same", "same", "other text", "first only", "reversed", "one more"])
  }),
  Schema.TaggedStruct("Transaction", { parts: Schema.Array(Part).check(Schema.isMaxLength(3)), fails: Schema.Boolean }),
  Schema.TaggedStruct("TruncateBefore", { stream, version: upTo(8), expected: Expected }),
  Schema.TaggedStruct("Delete", { stream, expected: Expected }),
  Schema.TaggedStruct("Tombstone", { stream, dice: upTo(9) }),
  Schema.TaggedStruct("Read", {
    stream,
    direction: Schema.Literals(["forward", "backward"]),
    from: upTo(9),
    to: upTo(9),
    limit: upTo(5)
  }),
  Schema.TaggedStruct("Streams", { deleted: Schema.Boolean, after: Schema.NullOr(stream), limit: upTo(4) })
])

type Operation = typeof Operation.Type
type Part = typeof Part.Type

/** One program on names of its own, step by step on both sides. */
class Run {
  readonly store: EventStore["Service"]
  readonly model: LogModel
  readonly name: string
  readonly appends: Array<{ readonly entries: ReadonlyArray<ModelEntry>; readonly condition: Condition | undefined }> =
    []
  private texts = 0

  constructor(store: EventStore["Service"], base: number, name: string) {
    this.store = store
    this.model = new LogModel(base)
    this.name = name
  }

  streamOf = (index: number) => `${this.name}-${index}`
  ref = (stream: string) => Category.rawStream(stream)

  /** What was expected of the stream as it stands on a model. */
  expected(model: LogModel, stream: string, expected: typeof Expected.Type): ExpectedVersion.ExpectedVersion {
    const version = model.version(stream)
    if (expected === "current") return version
    if (expected === "stale") return Math.max(0, version - 1)
    return expected === "ahead" ? version + 1 : expected
  }

  entry = Effect.fnUntraced({ self: this }, function*(model: LogModel, part: Part) {
    const stream = this.streamOf(part.stream)
    const events = []
    for (let i = 0; i < part.count; i++) {
      const text = String(++this.texts)
      const tags = part.tag === 0 ? [] : [`${this.name}:${part.tag}`]
      events.push({ id: yield* EventId.make, type: `${this.name}T`, text, tags })
    }
    return { stream, events, expected: this.expected(model, stream, part.expected) } satisfies ModelEntry
  })

  toStore = ({ events, expected, stream }: ModelEntry) =>
    EventStore.entry(
      this.ref(stream),
      events.map(({ id, tags, text, type }) =>
        EventData.make(RawEvent.make({ type, schemaVersion: 1, data: { text } }), { id, tags })
      ),
      { expected }
    )

  appendBoth = Effect.fnUntraced({ self: this }, function*(entries: ReadonlyArray<ModelEntry>, condition?: Condition) {
    this.appends.push({ entries, condition })
    const given = entries.map(this.toStore)
    const effect = condition === undefined
      ? this.store.appendAll(given)
      : this.store.appendIf({ items: [{ tags: [condition.tag] }], after: condition.after }, given)
    const outcome = yield* verdict(effect)
    const named = "refusal" in outcome ? outcome.refusal["eventId"] : undefined
    // which one of the append is named is left to the store
    assert.isTrue(named === undefined || entries.some(({ events }) => events.some(({ id }) => id === named)))
    same(withoutEventId(outcome), withoutEventId(this.model.append(entries, condition)))
  })

  step = Effect.fnUntraced({ self: this }, function*(operation: Operation) {
    const { model, store } = this
    switch (operation._tag) {
      case "Append": {
        const entry = yield* this.entry(model, operation)
        this.appends.push({ entries: [entry], condition: undefined })
        const { events } = this.toStore(entry)
        const appended = store.append(
          this.ref(entry.stream),
          events as ReadonlyArray<EventData.EventData<RawEvent.RawEvent>>,
          {
            expected: entry.expected
          }
        )
        return same(yield* verdict(Effect.map(appended, (answer) => [answer])), model.append([entry]))
      }
      case "AppendAll": {
        const second = { ...operation.second }
        if (second.stream === operation.first.stream) second.stream = (second.stream + 1) % 3
        return yield* this.appendBoth([yield* this.entry(model, operation.first), yield* this.entry(model, second)])
      }
      case "AppendIf": {
        const after = Math.max(0, model.head - operation.back)
        const condition = { tag: `${this.name}:${operation.asked}`, after }
        return yield* this.appendBoth([yield* this.entry(model, operation.part)], condition)
      }
      case "Retry": {
        const earlier = this.appends[operation.which % Math.max(1, this.appends.length)]
        if (earlier === undefined) return
        const fresh = { id: yield* EventId.make, type: `${this.name}T`, text: "fresh", tags: [] }
        const entries = earlier.entries.slice(0, operation.how === "one more" ? 1 : 2).map((entry): ModelEntry => {
          switch (operation.how) {
            case "same":
              return entry
            case "first only":
              return { ...entry, events: entry.events.slice(0, 1) }
            case "one more":
              return entry.events.length === 0 ? entry : { ...entry, events: [...entry.events, fresh] }
            case "reversed":
              return { ...entry, events: [...entry.events].reverse() }
            case "other text":
              return { ...entry, events: entry.events.map((event) => ({ ...event, text: `${event.text}!` })) }
          }
        })
        return yield* this.appendBoth(entries, earlier.condition)
      }
      case "Transaction": {
        const staged = model.copy()
        const commands: Array<ModelEntry> = []
        let refusal: unknown
        for (const part of operation.parts) {
          const entry = yield* this.entry(staged, part)
          commands.push(entry)
          const verdict = staged.append([entry])
          if ("refusal" in verdict) {
            refusal = verdict.refusal
            break
          }
        }
        const inside = Effect.forEach(commands, (entry) => store.appendAll([this.toStore(entry)]))
        const outcome = yield* verdict(store.transaction(
          operation.fails ? Effect.andThen(inside, Effect.fail({ _tag: "OnPurpose" })) : Effect.asVoid(inside)
        ))
        if (refusal !== undefined) return same(outcome, { refusal })
        if (operation.fails) return same(outcome, { refusal: { _tag: "OnPurpose" } })
        same(outcome, { answer: undefined })
        model.events = staged.events
        return
      }
      case "TruncateBefore": {
        const stream = this.streamOf(operation.stream)
        const expected = this.expected(model, stream, operation.expected)
        const outcome = yield* verdict(store.truncateBefore(this.ref(stream), operation.version, { expected }))
        return same(outcome, model.truncateBefore(stream, operation.version, expected))
      }
      case "Delete": {
        const stream = this.streamOf(operation.stream)
        const expected = this.expected(model, stream, operation.expected)
        return same(yield* verdict(store.delete(this.ref(stream), { expected })), model.delete(stream, expected))
      }
      case "Tombstone": {
        const stream = this.streamOf(operation.stream)
        // seldom: it ends what else can happen to the stream
        const expected = this.expected(model, stream, operation.dice === 9 ? "current" : "ahead")
        return same(yield* verdict(store.tombstone(this.ref(stream), { expected })), model.tombstone(stream, expected))
      }
      case "Read": {
        const stream = this.streamOf(operation.stream)
        const { direction, from, limit, to } = operation
        const read = Stream.runCollect(store.read(this.ref(stream), { direction, from, to, limit }))
        const forward = direction === "forward"
        const wanted = model.visible(stream).filter(({ version }) =>
          forward ? version >= from && version <= to : version <= from && version >= to
        )
        const versions = (forward ? wanted : [...wanted].reverse()).slice(0, limit).map(({ version }) => version)
        return same(
          yield* verdict(Effect.map(read, (events) => events.map(({ streamVersion }) => streamVersion))),
          model.tombstoned.includes(stream)
            ? { refusal: { _tag: "StreamTombstoned", streamId: stream } }
            : { answer: versions }
        )
      }
      case "Streams": {
        const { deleted, limit } = operation
        const after = operation.after === null ? "" : this.streamOf(operation.after)
        const listed = yield* Stream.runCollect(store.streams({ category: this.name, after, limit, deleted }))
        const wanted = [0, 1, 2].map(this.streamOf).filter((stream) =>
          stream > after && (deleted ? model.version(stream) > 0 : model.visible(stream).length > 0)
        )
        return same(listed.map(({ streamId }) => streamId), wanted.slice(0, limit))
      }
    }
  })

  /** Everything that can be seen of the store, compared. */
  compare = Effect.fnUntraced({ self: this }, function*() {
    const { model, store } = this
    same(yield* store.head(), model.head)
    const log = yield* Stream.runCollect(store.readAll({ categories: [this.name], from: model.base + 1 }))
    same(
      log.map(({ event, eventId, position, streamId, streamVersion, tags }) => ({
        id: eventId,
        type: event.type,
        text: (event.data as { readonly text: string }).text,
        tags,
        stream: streamId,
        version: streamVersion,
        position
      })),
      model.events.filter((event) => model.visible(event.stream).includes(event))
    )
    for (const stream of [0, 1, 2].map(this.streamOf)) {
      const { status, truncatedBefore, version } = yield* store.info(this.ref(stream))
      same({ status, truncatedBefore, version }, {
        status: model.status(stream),
        truncatedBefore: model.hidden[stream] ?? 0,
        version: model.version(stream)
      })
    }
    const last = model.events.at(-1)
    if (last !== undefined) {
      const found = yield* store.readEvent(last.id)
      same(
        Option.map(found, ({ position }) => position),
        model.visible(last.stream).includes(last)
          ? Option.some(last.position)
          : Option.none()
      )
    }
  })
}

type Condition = { readonly tag: string; readonly after: number }

const same = (actual: unknown, expected: unknown): void => assert.deepStrictEqual(actual, expected)

/** What an effect answers or the fields of its error, as the model has them. */
const verdict = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Verdict<A>> =>
  Effect.flatMap(Effect.exit(effect), (exit): Effect.Effect<Verdict<A>> => {
    if (Exit.isSuccess(exit)) return Effect.succeed({ answer: exit.value })
    const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as object | undefined
    return error === undefined ? Effect.failCause(exit.cause as never) : Effect.succeed({ refusal: fieldsOf(error) })
  })

const withoutEventId = <A>(verdict: Verdict<A>): Verdict<A> =>
  "refusal" in verdict && verdict.refusal._tag === "EventIdConflict"
    ? { refusal: { _tag: "EventIdConflict" } }
    : verdict

const fieldsOf = (error: any) => {
  const fields = ["streamId", "expected", "actual", "violations", "eventId", "after", "position", "field"]
  const present = fields.filter((field) => field in error)
  return { _tag: error._tag, ...Object.fromEntries(present.map((field) => [field, error[field]])) }
}

let programs = 0

const modelTest = <E>(name: string, layer: Layer.Layer<EventStore, E>, runs: number) =>
  sharedLayer(layer, { excludeTestServices: true, timeout: "1 minute" })(`EventStore (${name})`, (it) => {
    it.effect.prop(
      "does what a pure model of it does, whatever the program",
      [Arbitrary.array(Arbitrary.schema(Operation), { maxLength: 60 })],
      ([operations]) =>
        Effect.gen(function*() {
          const store = yield* EventStore
          const run = new Run(store, yield* store.head(), `model${++programs}x`)
          for (const operation of operations) {
            yield* run.step(operation)
            yield* run.compare()
          }
        }),
      { timeout: 120_000, arbitrary: { runs, size: 60, maxShrinks: 500 } }
    )
  })

modelTest("memory", EventStore.layerMemory, 500)
modelTest("pglite", PgliteEventStore.layer(), 100)
modelTest("postgres", Layer.provide(PgEventStore.layer(), TestPostgres.layer), 120)
