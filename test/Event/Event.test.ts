import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Category, Event, EventStore, RawEvent } from "effect-eventstore"

class Opened extends Schema.TaggedClass<Opened>()("Opened", {}) {}

describe("Event.dropped", () => {
  for (const undecodable of ["fail", "skip", "raw"] as const) {
    it.effect(`passes over every version of a dropped type, where the category answers "${undecodable}"`, () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        const events = [Opened, Event.dropped("Debugged")] as const
        const Cart = Category.make("cart", { id: Schema.String, events, undecodable })
        const debugged = [[1, {}], [2, { at: 1 }], [3, null], [32767, "any"]] as const
        yield* store.append(
          Category.rawStream("cart-1"),
          debugged.map(([schemaVersion, data]) => RawEvent.make({ type: "Debugged", schemaVersion, data }))
        )
        yield* store.append(Cart.stream("1"), [new Opened()])
        const read = yield* Stream.runCollect(store.read(Cart.stream("1")))
        assert.deepStrictEqual(read.map(({ event, streamVersion }) => [event._tag, streamVersion]), [["Opened", 5]])
      }).pipe(Effect.provide(EventStore.layerMemory)))
  }
})
