import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Category, Event, Snapshot } from "effect-eventstore"
import { SchemaGuard } from "effect-eventstore/Testing"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

class Opened extends Schema.TaggedClass<Opened>()("Opened", {
  customer: Schema.String,
  at: Schema.Date,
  note: Schema.optionalKey(Schema.String)
}) {}
class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}

const versions = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .next(Schema.Struct({ sku: Schema.String, qty: Schema.Number }), (v1) => ({ ...v1, qty: 1 }))
  .current(Added, (v2) => ({ sku: v2.sku, quantity: Math.trunc(v2.qty) }))

const Cart = Category.make("cart", { id: Schema.String, events: [Opened, versions, Event.dropped("Debugged")] })
const Totals = Snapshot.make({
  name: "totals",
  state: Snapshot.oldest(Schema.Struct({ euros: Schema.Number })).current(
    Schema.Struct({ cents: Schema.Int }),
    ({ euros }) => ({ cents: Math.round(euros * 100) })
  )
})

// the suite as a user would write it, on a file under version control
SchemaGuard.suite({ categories: [Cart], snapshots: [Totals] }, {
  file: Path.join(import.meta.dirname, "../fixtures/schemas.json")
})

const freshFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "guard-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  ),
  (directory) => Path.join(directory, "schemas.json")
)

const categoryOf = (...events: ReadonlyArray<Event.Member>) => Category.make("cart", { id: Schema.String, events })
const notedBy = (...fields: ReadonlyArray<Schema.Struct.Fields>) =>
  categoryOf(
    ...fields.map((fields, i) => Schema.TaggedClass<any>()(`Noted${i || ""}`, fields) as never as Event.Member)
  )

/** What is said of an event whose fields were these before, and are others now. */
const changed = (before: Schema.Struct.Fields, after: Schema.Struct.Fields, options = { write: false }) =>
  Effect.gen(function*() {
    const file = yield* freshFile
    yield* SchemaGuard.verify({ categories: [notedBy(before)] }, { file, write: true })
    const text = Fs.readFileSync(file, "utf8")
    const result = yield* Effect.result(SchemaGuard.verify({ categories: [notedBy(after)] }, { file, ...options }))
    const problem = result._tag === "Failure" ? result.failure.problems.join("\n") : undefined
    return { problem, isWritten: Fs.readFileSync(file, "utf8") !== text }
  })

const breaks = (name: string, before: Schema.Struct.Fields, after: Schema.Struct.Fields, says: RegExp) =>
  it.effect(`refuses that ${name}`, () =>
    Effect.gen(function*() {
      const { problem = "" } = yield* changed(before, after)
      assert.match(problem, says)
      assert.match(
        problem,
        /^cart: Noted version 1 has changed:\n  - .*[^]*Keep version 1 as it was.*version 2.*Event\.oldest/
      )
      assert.notMatch(problem, /SCHEMA_GUARD=write in the environment/)
      // nobody gets rid of it by writing
      const written = yield* changed(before, after, { write: true })
      assert.strictEqual(written.problem, problem)
      assert.isFalse(written.isWritten)
    }))

const isHarmless = (name: string, before: Schema.Struct.Fields, after: Schema.Struct.Fields, says: RegExp) =>
  it.effect(`has it noted that ${name}`, () =>
    Effect.gen(function*() {
      const { problem = "" } = yield* changed(before, after)
      assert.match(problem, says)
      assert.match(problem, /all that is stored reads as it did[^]*\(harmless\)[^]*SCHEMA_GUARD=write/)
      assert.deepStrictEqual(yield* changed(before, after, { write: true }), { problem: undefined, isWritten: true })
    }))

const isNone = (name: string, before: Schema.Struct.Fields, after: Schema.Struct.Fields) =>
  it.effect(`takes no notice of ${name}`, () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* changed(before, after, { write: true }), { problem: undefined, isWritten: false })
    }))

const { Boolean, Date, FiniteFromString, Int, Literals, NullOr, Number, optionalKey, String, Struct } = Schema

class Inner extends Schema.Class<Inner>("Inner")({ a: String }) {}
class Renamed extends Schema.Class<Renamed>("Renamed")({ a: String }) {}
interface Tree {
  readonly name: string
  readonly children: ReadonlyArray<Tree>
}
const self: Schema.Codec<Tree> = Struct({
  name: String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => self))
})

describe("SchemaGuard", () => {
  breaks("a field is added", {}, { by: String }, /by was added and has to be there, and is missing in what is stored/)
  breaks("a field is removed", { by: String }, {}, /by was removed/)
  breaks("an optional field is removed", { by: optionalKey(String) }, {}, /by was removed/)
  breaks("a field gets another type", { by: String }, { by: Boolean }, /by is boolean now, and was string/)
  breaks("a field has to be there", { by: optionalKey(String) }, { by: String }, /by has to be there now/)
  breaks("a field is renamed", { by: String }, { from: String }, /by was removed[^]*from was added/)
  breaks(
    "a text is read as a date",
    { at: String },
    { at: Date },
    /at is read as date now, and was read as it is stored/
  )
  breaks(
    "a date is read as the text that is stored",
    { at: Date },
    { at: String },
    /at is read as it is stored now, and was read as date/
  )
  breaks("a number is read as the text that is stored", { n: FiniteFromString }, { n: String }, /n is read as it is/)
  breaks(
    "one of several is read as the text that is stored",
    { at: NullOr(Date) },
    { at: NullOr(String) },
    /at is read as it is stored now, and was read as date/
  )
  breaks(
    "a text may be read as a date",
    { at: String },
    { at: Schema.Union([Date, String]) },
    /at may be read as date now, and what is stored was read as string/
  )
  breaks("a number is stored as a text", { n: Schema.Finite }, { n: FiniteFromString }, /n is read as number now/)
  breaks(
    "a value is no longer allowed",
    { kind: Literals(["a", "b"]) },
    { kind: Literals(["a"]) },
    /can no longer be "b"/
  )
  breaks("a number has to be whole", { n: Schema.Finite }, { n: Int }, /n has to pass isInt now/)
  breaks(
    "a text has to be longer",
    { t: String.check(Schema.isMinLength(2)) },
    { t: String.check(Schema.isMinLength(3)) },
    /t has to pass .*minLength":3/
  )
  breaks(
    "there is a check of one's own",
    { t: String },
    { t: String.check(Schema.makeFilter(() => true)) },
    /pass custom/
  )
  breaks(
    "a field deep inside changes",
    { list: Schema.Array(Struct({ a: Struct({ b: String }) })) },
    { list: Schema.Array(Struct({ a: Struct({ b: Int }) })) },
    /list\[\]\.a\.b/
  )
  breaks("a value may no longer be null", { by: NullOr(String) }, { by: String }, /by can no longer be null/)
  breaks(
    "a member of a union changes",
    { u: Schema.Union([Struct({ _tag: Schema.tag("A"), n: Schema.Finite }), Struct({ _tag: Schema.tag("B") })]) },
    { u: Schema.Union([Struct({ _tag: Schema.tag("A"), n: String }), Struct({ _tag: Schema.tag("B") })]) },
    /u\.n is string now, and was/
  )
  breaks(
    "a key of a record changes its values",
    { r: Schema.Record(String, Schema.Finite) },
    { r: Schema.Record(String, Boolean) },
    /r\.\* is boolean now/
  )

  isHarmless("an optional field is added", {}, { by: optionalKey(String) }, /by was added and may be missing/)
  isHarmless("a field may be missing", { by: String }, { by: optionalKey(String) }, /by may be missing now/)
  isHarmless("a value may be null", { by: String }, { by: NullOr(String) }, /by may be null now as well/)
  isHarmless("a date may be null", { at: Date }, { at: NullOr(Date) }, /at may be null now as well/)
  isHarmless("a whole number may be null", { n: Int }, { n: NullOr(Int) }, /n may be null now as well/)
  isHarmless("a value is allowed", { kind: Literals(["a"]) }, { kind: Literals(["a", "b"]) }, /may be "b" now as well/)
  isHarmless("a value may be any text", { kind: Literals(["a", "b"]) }, { kind: String }, /may be string now as well/)
  isHarmless("a check is gone", { n: Int }, { n: Schema.Finite }, /n no longer has to pass isInt/)
  isHarmless(
    "a bound is wider",
    { t: NullOr(String.check(Schema.isMinLength(3))), n: Schema.Finite.check(Schema.isLessThan(3)) },
    { t: NullOr(String.check(Schema.isMinLength(2))), n: Schema.Finite.check(Schema.isLessThan(4)) },
    /n no longer has to pass[^]*t no longer has to pass/
  )
  isHarmless("a whole number may be any", { n: Int }, { n: Number }, /may be "-Infinity" or "Infinity" or "NaN" now/)
  isHarmless("a date may be anything", { at: Date }, { at: Schema.Json }, /at may be anything now/)
  isHarmless("a date may be anything that is unknown", { at: Date }, { at: Schema.Unknown }, /at may be anything now/)
  isHarmless("a value may be anything", { n: Int }, { n: Schema.Json }, /n may be anything now/)

  isNone("descriptions", { by: String }, { by: String.annotate({ title: "By", description: "who", examples: ["a"] }) })
  isNone(
    "the message of a check",
    { n: Schema.Finite.check(Schema.isGreaterThan(0)) },
    { n: Schema.Finite.check(Schema.isGreaterThan(0, { message: "more", description: "d" })) }
  )
  isNone("the order of fields", { a: String, b: Int }, { b: Int, a: String })
  isNone("the order of the members of a union", { a: Literals(["a", "b"]) }, { a: Literals(["b", "a"]) })
  isNone("the name of a class", { a: Inner }, { a: Renamed })
  isNone("a class in place of a struct", { a: Inner }, { a: Struct({ a: String }) })
  isNone("a brand", { a: String }, { a: String.pipe(Schema.brand("Id")) })
  isNone("the order of checks", {
    t: String.check(Schema.isMinLength(1), Schema.isMaxLength(9))
  }, { t: String.check(Schema.isMaxLength(9), Schema.isMinLength(1)) })
  isNone("what contains itself", { a: self }, { a: self })

  it.effect("refuses a change in what contains itself", () =>
    Effect.gen(function*() {
      interface Node {
        readonly name: number
        readonly children: ReadonlyArray<Node>
      }
      const node: Schema.Codec<Node> = Struct({
        name: Int,
        children: Schema.Array(Schema.suspend((): Schema.Codec<Node> => node))
      })
      const { problem = "" } = yield* changed({ a: self }, { a: node })
      assert.match(problem, /a\.name/)
    }))

  it.effect("asks for what is not in the file, and writes the same file each time", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* freshFile, yield* freshFile]
      const guarded = { categories: [Cart], snapshots: [Totals] }
      const { problems } = yield* Effect.flip(SchemaGuard.verify(guarded, { file: a, write: false }))
      assert.deepStrictEqual(problems.map((problem) => problem.split(" is not in the file")[0]), [
        "cart: Opened version 1",
        "cart: Added version 1",
        "cart: Added version 2",
        "cart: Added version 3",
        "cart: Debugged version 1",
        "the snapshot totals version 1",
        "the snapshot totals version 2"
      ])
      assert.match(problems[0]!, /SCHEMA_GUARD=write/)
      assert.isFalse(Fs.existsSync(a))
      assert.strictEqual(yield* SchemaGuard.verify(guarded, { file: a, write: true }), 7)
      assert.strictEqual(yield* SchemaGuard.verify({ snapshots: [Totals] }, { file: b, write: true }), 2)
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [Cart] }, { file: b, write: true }), 5)
      assert.strictEqual(Fs.readFileSync(b, "utf8"), Fs.readFileSync(a, "utf8"))
      assert.strictEqual(yield* SchemaGuard.verify(guarded, { file: a, write: false }), 7)
    }))

  it.effect("lets a class become the beginning of a chain, and holds the chain to what it was", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      class First extends Schema.TaggedClass<First>()("Noted", { text: String, at: Date }) {}
      class Second extends Schema.TaggedClass<Second>()("Noted", { words: Schema.Array(String), at: Date }) {}
      yield* SchemaGuard.verify({ categories: [categoryOf(First)] }, { file, write: true })
      const before = Struct({ at: Date, text: String })
      const chain = Event.oldest(before).current(Second, ({ at, text }) => ({ at, words: text.split(" ") }))
      const after = { categories: [categoryOf(chain)] }
      assert.strictEqual((yield* Effect.flip(SchemaGuard.verify(after, { file, write: false }))).problems.length, 1)
      assert.strictEqual(yield* SchemaGuard.verify(after, { file, write: true }), 2)

      const other = Event.oldest(Struct({ at: Date, text: Int })).current(Second, ({ at }) => ({ at, words: [] }))
      const { message } = yield* Effect.flip(
        SchemaGuard.verify({ categories: [categoryOf(other)] }, { file, write: true })
      )
      assert.match(
        message,
        /cart: Noted version 1 has changed:\n  - text is .*[^]*version of the past.*put it back as it was/
      )
    }))

  it.effect("refuses that a type or a version is gone, and lets it be retired or dropped", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      yield* SchemaGuard.verify({ categories: [Cart] }, { file, write: true })
      const gone = yield* Effect.flip(SchemaGuard.verify({ categories: [categoryOf(versions)] }, { file, write: true }))
      assert.match(gone.message, /cart: Opened version 1 is not declared any more.*Event\.dropped\("Opened"\)/)
      const shorter = Event.oldest(Struct({ sku: String })).retired("Added", () => [])
      // what is passed over unread may have had any shape
      const cut = categoryOf(Event.dropped("Opened"), shorter, Event.dropped("Debugged"))
      const { problems } = yield* Effect.flip(SchemaGuard.verify({ categories: [cut] }, { file, write: true }))
      assert.deepStrictEqual(problems.map((problem) => problem.slice(0, 23)), [
        "cart: Added version 2 i",
        "cart: Added version 3 i"
      ])
      const retired = Event
        .oldest(Struct({ sku: String }))
        .next(Struct({ sku: String, qty: Number }), (v1) => ({ ...v1, qty: 1 }))
        .next(Struct({ sku: String, quantity: Int }), ({ qty, sku }) => ({ sku, quantity: qty }))
        .retired("Added", () => [])
      const right = categoryOf(Event.dropped("Opened"), retired, Event.dropped("Debugged"))
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [right] }, { file, write: true }), 5)
    }))

  it.effect("lets a type of several versions be dropped, and keeps what they were for who takes it up again", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      yield* SchemaGuard.verify({ categories: [Cart] }, { file, write: true })
      const before = Fs.readFileSync(file, "utf8")
      const dropped = categoryOf(Opened, Event.dropped("Added"), Event.dropped("Debugged"))
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [dropped] }, { file }), 3)
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [dropped] }, { file, write: true }), 3)
      assert.strictEqual(Fs.readFileSync(file, "utf8"), before)
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [Cart] }, { file }), 5)
      const gone = yield* Effect.flip(SchemaGuard.verify({ categories: [categoryOf(Opened)] }, { file }))
      assert.lengthOf(gone.problems, 4)
    }))

  it.effect("leaves other categories and snapshots alone", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      const other = Category.make("other", { id: String, events: [Opened] })
      yield* SchemaGuard.verify({ categories: [other], snapshots: [Totals] }, { file, write: true })
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [Cart] }, { file, write: true }), 5)
      assert.strictEqual(yield* SchemaGuard.verify({ categories: [Cart, other], snapshots: [Totals] }, { file }), 8)
    }))

  it.effect("holds a snapshot to its shape, also where the change would be harmless for an event", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      const before = Struct({ cents: Int })
      const after = Struct({ cents: Int, last: optionalKey(String) })
      const totals = (options: Parameters<typeof Snapshot.make>[0]) => ({ snapshots: [Snapshot.make(options)] })
      yield* SchemaGuard.verify(totals({ name: "totals", state: before }), { file, write: true })
      const same = totals({ name: "totals", state: after })
      const { message } = yield* Effect.flip(SchemaGuard.verify(same, { file, write: true }))
      assert.match(
        message,
        /the snapshot totals version 1 has changed:\n  - last was added[^]*Snapshot\.oldest[^]*version: 2/
      )
      const raised = totals({ name: "totals", state: after, version: 2 })
      assert.strictEqual(yield* SchemaGuard.verify(raised, { file, write: true }), 1)
      assert.strictEqual(yield* SchemaGuard.verify(raised, { file }), 1)
      const again = yield* Effect.flip(
        SchemaGuard.verify(totals({ name: "totals", state: before, version: 2 }), { file })
      )
      // a chain would begin with a version 1 that is none of it
      assert.match(again.message, /the snapshot totals version 2 has changed[^]*version: 3/)
      assert.notMatch(again.message, /Snapshot\.oldest/)
    }))

  it.effect("says that a file is none of shapes", () =>
    Effect.gen(function*() {
      for (const content of ["", "not json", "[]", `{"events":[]}`]) {
        const file = yield* freshFile
        Fs.writeFileSync(file, content)
        const error = yield* Effect.flip(SchemaGuard.verify({ categories: [Cart] }, { file, write: true }))
        assert.match(error.message, /is not a file of shapes/)
        assert.strictEqual(error._tag, "SchemaChanged")
      }
    }))
})
