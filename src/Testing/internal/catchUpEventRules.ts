import { assert, expect } from "@effect/vitest"
import { Context, Effect, Schema, Stream } from "effect"
import * as Event from "../../Event/Event.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import * as Category from "../../Stream/Category.ts"
import { collect, equal, freshName, has, raw, type Rules, type Store } from "./rule.ts"
import { catchUp, failsSoon, gather, saw, signals } from "./subscribing.ts"

class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
class Placed extends Schema.TaggedClass<Placed>()("Placed", { order: Schema.String }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { order: Schema.String }) {}

class Prices extends Context.Service<Prices, { readonly of: (sku: string) => Effect.Effect<number, string> }>()(
  "effect-eventstore/Testing/SubscribedPrices"
) {}

const old = (type: string, schemaVersion: number, data: Schema.Json) => RawEvent.make({ type, schemaVersion, data })

/** One stored event reads as two, or as none. */
const split = Event.oldest(Schema.Struct({ order: Schema.String }))
  .retired("PlacedAndPaid", (v1) => v1.order === "none" ? [] : [new Placed(v1), new Paid(v1)])

/** Needs a service, and waits. */
const priced = Event.oldest(Schema.Struct({ sku: Schema.String })).currentEffect(
  Added,
  (v1) => Prices.use((prices) => prices.of(v1.sku)).pipe(Effect.map((quantity) => ({ ...v1, quantity })))
)

const prices = Prices.of({
  of: (sku) => Effect.delay(sku === "" ? Effect.fail("no price") : Effect.succeed(sku.length), 1)
})

const make = <M extends Event.Member, P extends Category.Undecodable = "fail">(
  members: ReadonlyArray<M>,
  undecodable?: P
) => Category.make(freshName(), { id: Schema.String, events: members, undecodable })

/** Stores events as another program would have. */
const write = (store: Store, category: { readonly name: string }, ...events: ReadonlyArray<RawEvent.RawEvent>) =>
  store.append(Category.rawStream(`${category.name}-1`), events)

export const catchUpEventRules: Rules = (rule) => {
  rule(
    "decodes what it hands out: older shapes as those of today, one event as several, dropped ones not",
    function*(store) {
      const chain = Event.oldest(Schema.Struct({ sku: Schema.String }))
        .current(Added, ({ sku }) => ({ sku, quantity: 1 }))
      const category = make([chain, Placed, Paid, split, Event.dropped("Debugged")])
      const some = [
        old("Added", 1, { sku: "a" }),
        old("Debugged", 1, {}),
        old("PlacedAndPaid", 1, { order: "7" }),
        old("PlacedAndPaid", 1, { order: "none" }),
        old("Added", 2, { sku: "b", quantity: 2 })
      ]
      yield* write(store, category, ...some)
      const seen = yield* gather(catchUp(store, category))
      yield* seen.until(4)
      yield* write(store, category, ...some)
      yield* seen.until(8)
      const stored = yield* collect(store.readCategory(category))
      saw(seen.all, stored)
      expect(seen.all.slice(0, 4).map(({ event, part }) => [event, part])).toStrictEqual([
        [new Added({ sku: "a", quantity: 1 }), 0],
        [new Placed({ order: "7" }), 0],
        [new Paid({ order: "7" }), 1],
        [new Added({ sku: "b", quantity: 2 }), 0]
      ])
      // behind an event of two parts come those of the next one
      saw(yield* collect(Stream.take(catchUp(store, category, { after: stored[2]! }), 5)), stored.slice(3))
    }
  )

  rule("lets upcasters use services, and wait", function*(store) {
    const category = make([priced])
    const skus = Array.from({ length: 30 }, (_, i) => "x".repeat(i + 1))
    const some = skus.map((sku, i) =>
      i % 3 === 0 ? old("Added", 2, { sku, quantity: i + 1 }) : old("Added", 1, { sku })
    )
    yield* write(store, category, ...some)
    const seen = yield* gather(Stream.provideService(catchUp(store, category), Prices, prices))
    yield* seen.until(30)
    yield* write(store, category, ...some)
    yield* seen.until(60)
    equal(seen.all.map(({ event }) => event.quantity), [...skus, ...skus].map((sku) => sku.length))
  })

  rule("decodes the events of several categories, each by its own", function*(store) {
    const [a, b] = [make([Placed]), make([Paid, Added])]
    yield* store.append(a.stream("1"), [new Placed({ order: "1" })])
    yield* store.append(b.stream("1"), [new Paid({ order: "1" })])
    const seen = yield* gather(catchUp(store, [b, a]))
    yield* seen.until(2)
    yield* store.append(b.stream("2"), [new Added({ sku: "a", quantity: 1 })])
    yield* store.append(a.stream("1"), [new Placed({ order: "2" })])
    yield* seen.until(4)
    saw(seen.all, yield* collect(store.readCategory([a, b])))
    equal(seen.all.map(({ event }) => event._tag), ["Placed", "Paid", "Added", "Placed"])
  })

  rule("hands out any event as it is stored, of categories that nobody declares", function*(store) {
    const start = yield* store.head()
    const category = make([Placed])
    const seen = yield* gather(catchUp(store, Category.raw, { after: start }))
    const stream = yield* gather(catchUp(store, Category.rawStream(`${category.name}-1`)))
    yield* write(store, category, raw("Unheard", [1, { a: null }]), old("Placed", 9, "text"))
    yield* Effect.all([seen.until(2), stream.until(2)])
    saw(seen.all, yield* collect(store.readAll({ from: start + 1 })))
    equal(seen.all.map(({ event }) => event), [raw("Unheard", [1, { a: null }]), old("Placed", 9, "text")])
    saw(stream.all, seen.all)
  })

  // what does not decode

  const placed = (order: string) => old("Placed", 1, { order })
  const undecodable: ReadonlyArray<[string, RawEvent.RawEvent, "UnknownEventType" | "EventDecodeFailed"]> = [
    ["is of an unknown type", raw("Unheard"), "UnknownEventType"],
    ["is of a newer version", old("Placed", 4, {}), "UnknownEventType"],
    ["lacks a field", old("Placed", 1, {}), "EventDecodeFailed"],
    ["fails in its upcaster", old("Added", 1, { sku: "" }), "EventDecodeFailed"]
  ]
  for (const [what, event, tag] of undecodable) {
    rule(`fails at an event that ${what}, and hands out what comes before it`, function*(store) {
      for (const isLive of [false, true]) {
        const category = make([Placed, priced])
        const seen: Array<string> = []
        if (!isLive) yield* write(store, category, placed("a"), old("Added", 1, { sku: "b" }), event, placed("c"))
        const failing = catchUp(store, category).pipe(
          Stream.provideService(Prices, prices),
          Stream.tap(({ event }) => Effect.sync(() => seen.push(event._tag === "Placed" ? event.order : event.sku)))
        )
        const { all, until } = yield* gather(Stream.catch(failing, (error) => Stream.make(error)))
        if (isLive) {
          yield* write(store, category, placed("a"))
          yield* until(1)
          yield* write(store, category, old("Added", 1, { sku: "b" }), event, placed("c"))
        }
        yield* until(() => all.length > 2)
        equal(seen, ["a", "b"])
        has(all[2]!, { _tag: tag, streamVersion: 3, type: event.type })
        // and the next one goes on behind what was seen, and fails there again
        const again = catchUp(store, category, { after: (all[1] as { readonly position: number }).position })
        has(yield* failsSoon(Stream.provideService(again, Prices, prices), tag), { streamVersion: 3 })
      }
    })

    rule(
      `passes over an event that ${what}, or hands it out as it is stored, where the category says so`,
      function*(store) {
        const [skip, asStored] = [make([Placed, priced], "skip"), make([Placed, priced], "raw")]
        const some = [placed("a"), event, placed("b")]
        for (const category of [skip, asStored]) yield* write(store, category, ...some)
        const skipped = yield* gather(Stream.provideService(catchUp(store, skip), Prices, prices))
        const stored = yield* gather(Stream.provideService(catchUp(store, asStored), Prices, prices))
        yield* Effect.all([skipped.until(2), stored.until(3)])
        for (const category of [skip, asStored]) yield* write(store, category, ...some)
        yield* Effect.all([skipped.until(4), stored.until(6)])
        equal(skipped.all.map(({ streamVersion }) => streamVersion), [1, 3, 4, 6])
        equal(stored.all.map(({ streamVersion }) => streamVersion), [1, 2, 3, 4, 5, 6])
        for (const i of [1, 4]) equal(stored.all[i]!.event, event)
      }
    )
  }

  rule("is not said to have caught up before it has failed at an event that does not decode", function*(store) {
    const category = make([Placed])
    yield* write(store, category, placed("a"), raw("Unheard"))
    const said: Array<string> = []
    const failing = Stream.tap(signals(store, category), (signal) =>
      Effect.sync(() => {
        assert.notStrictEqual(signal._tag, "CaughtUp")
        said.push(signal._tag)
      }))
    yield* failsSoon(failing, "UnknownEventType")
    equal(said, ["Event"])
  })
}
