/** Mistakes in a program, which throw where they are made: nobody has to run it to find them. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Category, Event, Pattern, ProcessManager, Projection, View } from "effect-eventstore"

class Placed extends Schema.TaggedClass<Placed>()("Placed", {}) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", {}) {}
const Order = Category.make("order", { id: Schema.String, events: [Placed, Paid, Event.dropped("Seen")] })
const Lenient = Category.make("lenient", { id: Schema.String, events: [Placed, Paid], undecodable: "raw" })

type Given = { readonly from?: any; readonly types?: ReadonlyArray<string> }

const kinds: Readonly<Record<string, (given: Given) => unknown>> = {
  documents: (given) =>
    Projection.documents("a", {
      from: Order,
      ...given,
      state: Schema.Int,
      initial: () => 0,
      evolve: { Placed: (n: number) => n, Paid: (n: number) => n } as any
    }),
  tables: (given) =>
    Projection.make("a", { from: Order, ...given, setup: () => Effect.void, batch: () => Effect.void }),
  links: (given) => Projection.links("a", { from: Order, ...given, key: () => "a" }),
  derive: (given) => Projection.derive("a", { from: Order, ...given, emit: () => undefined }),
  inMemory: (given) =>
    Projection.inMemory({
      name: "a",
      from: Order,
      ...given,
      initial: 0,
      evolve: { Placed: () => 1, Paid: () => 2, RawEvent: () => 3 } as any
    })
}

for (const [kind, make] of Object.entries(kinds)) {
  it(`throws where ${kind} are made of nothing, or of what is no category`, () => {
    assert.throws(() => make({ from: [] }), "from of the projection a is empty: no event would ever come")
    assert.throws(
      () => make({ from: "order" }),
      "from of the projection a is neither a category nor a list of categories"
    )
  })

  it(`throws where ${kind} ask for types that no event has`, () => {
    assert.throws(
      () => make({ types: ["Placed", "Payed"] }),
      "types of the projection a has Payed, but there are Placed, Paid, Seen"
    )
    assert.throws(() => make({ types: [] }), "types of the projection a is empty")
    // stored ones, which may be read as nothing or as they are
    make({ types: ["Placed", "Seen"] })
    make({ from: Lenient, types: ["Whatever"] })
    make({ from: [Order, Category.raw], types: ["Whatever"] })
  })
}

it("throws where a pattern or a view is made of nothing", () => {
  assert.throws(
    () => Pattern.start([] as any, "Placed" as never),
    "A pattern begins with a category, or a list of them"
  )
  assert.throws(() => View.make([], { initial: 0, evolve: {} }), "A view is made of a category, or a list of them")
  const pattern = Pattern.start(Order, "Placed").followedBy("Paid")
  assert.throws(() => Projection.pattern("a", { pattern, emit: () => undefined, types: ["Payed"] }), "has Payed")
})

const manager = (given: object, name = "a") =>
  ProcessManager.make(name, {
    from: Order,
    correlate: ProcessManager.byStreamId,
    state: Schema.Struct({}),
    initial: () => ({}),
    ...given
  } as any, { handle: { Placed: () => undefined, Paid: () => undefined }, onTimer: { b: () => undefined } } as never)

it("throws where a process manager cannot do what it declares", () => {
  manager({ starts: ["Placed"], timers: ["b", "a longer name, with blanks"] })
  assert.throws(() => manager({ from: [] }), "from of the process manager a is empty: no event would ever come")
  assert.throws(() => manager({ from: ["order"] }), "from of the process manager a is neither a category nor a list")
  assert.throws(
    () => manager({ starts: ["Payed"] }),
    "starts of the process manager a has Payed, which is no event: there are Placed, Paid"
  )
  assert.throws(() => manager({ starts: [] }), "starts of the process manager a is empty: none would ever begin")
  for (const timer of ["", "a\0", "\ud800", 7, "x".repeat(513)]) {
    assert.throws(() => manager({ timers: [timer] }), "of a timer of the process manager a")
  }
  for (const name of ["", "a-b", "x".repeat(120), "a\n"]) {
    assert.throws(() => manager({}, name), `The name ${JSON.stringify(name)} of a process manager`)
  }
})
