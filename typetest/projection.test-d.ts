// @effect-diagnostics missingEffectContext:off floatingEffect:off
/** What the types of projections promise; checked by the compiler, never run. */
import {
  Context,
  Effect,
  type FileSystem,
  FileSystem as Files,
  type Layer,
  type Option,
  Schema,
  type Stream
} from "effect"
import {
  Category,
  type DecodeError,
  Event,
  EventStore,
  Projection,
  type ProjectionError,
  ProjectionMiddleware,
  type Recorded,
  type StoreError
} from "effect-eventstore"
import type { HttpClient } from "effect/http"
import { SqlClient } from "effect/sql"
import { describe, expectTypeOf, it } from "vitest"

class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { amount: Schema.Int }) {}
class Shipped extends Schema.TaggedClass<Shipped>()("Shipped", {}) {}

const Cart = Category.make("cart", { id: Schema.String, events: [Added, Paid] })
const Parcel = Category.make("parcel", { id: Schema.String, events: [Shipped] })

class Currencies extends Context.Service<Currencies, { readonly of: (sku: string) => string }>()("test/Currencies") {}
const Converted = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .currentEffect(Added, ({ sku }) => Currencies.use(() => Effect.succeed({ sku, quantity: 1 })))
const Old = Category.make("old", { id: Schema.String, events: [Converted] })

class Rates extends Context.Service<Rates, { readonly of: (sku: string) => number }>()("test/Rates") {
  declare readonly [Projection.replaySafe]: true
}
class Taxes extends Context.Service<Taxes, { readonly of: (sku: string) => number }>()("test/Taxes") {
  declare readonly [Projection.replaySafe]: true
}

const nothing = () => Effect.void

describe("Projection.make", () => {
  it("hands each handler the event of its tag, and its model", () => {
    Projection.make("totals", {
      from: [Cart, Parcel],
      setup: ({ sql, table }) => {
        expectTypeOf(sql).toEqualTypeOf<SqlClient.SqlClient>()
        return sql`CREATE TABLE ${table("totals")} (cart text)`
      },
      handle: {
        Added: (recorded, { sql, version }) => {
          expectTypeOf(recorded).toEqualTypeOf<Recorded.Recorded<Added>>()
          expectTypeOf(version).toEqualTypeOf<number>()
          return sql`SELECT ${recorded.event.quantity}`
        },
        Paid: ({ event }) => {
          expectTypeOf(event).toEqualTypeOf<Paid>()
          return Effect.void
        },
        Shipped: ({ event }) => {
          expectTypeOf(event).toEqualTypeOf<Shipped>()
          return Effect.fail("not today")
        }
      }
    })
  })

  it("asks for a handler for each event", () => {
    Projection.make("totals", {
      from: Cart,
      setup: nothing,
      // @ts-expect-error there is no handler for Paid
      handle: { Added: nothing }
    })
  })

  it("asks for handlers or one for batches, and not for both", () => {
    // @ts-expect-error neither
    Projection.make("totals", { from: Cart, setup: nothing })
    // @ts-expect-error both
    Projection.make("totals", { from: Cart, setup: nothing, handle: { Added: nothing, Paid: nothing }, batch: nothing })
  })

  it("hands a batch all events, at least one", () => {
    Projection.make("totals", {
      from: [Cart, Parcel],
      setup: nothing,
      batch: (events, { sql }) => {
        expectTypeOf(events[0]).toEqualTypeOf<Recorded.Recorded<Added | Paid | Shipped>>()
        return sql`SELECT 1`
      },
      partitionBy: ({ event }) => event._tag
    })
  })

  it("needs the store, its client, and what handlers and upcasters use", () => {
    const Totals = Projection.make("totals", {
      from: [Cart, Old],
      setup: () => Taxes,
      handle: { Added: () => Rates, Paid: () => SqlClient.SqlClient }
    })
    expectTypeOf(Projection.layer(Totals)).toEqualTypeOf<
      Layer.Layer<never, Projection.StartError, EventStore | SqlClient.SqlClient | Rates | Taxes | Currencies>
    >()
    expectTypeOf(Projection.run(Totals)).toEqualTypeOf<
      Effect.Effect<never, Projection.RunError, EventStore | SqlClient.SqlClient | Rates | Taxes | Currencies>
    >()
    const ByBatch = Projection.make("totals", { from: Cart, setup: nothing, batch: () => Rates })
    expectTypeOf(Projection.layer(ByBatch)).toEqualTypeOf<
      Layer.Layer<never, Projection.StartError, EventStore | SqlClient.SqlClient | Rates>
    >()
    const Plain = Projection.make("totals", { from: Cart, setup: nothing, handle: { Added: nothing, Paid: nothing } })
    expectTypeOf(Projection.layer(Plain)).toEqualTypeOf<
      Layer.Layer<never, Projection.StartError, EventStore | SqlClient.SqlClient>
    >()
  })

  it("refuses what a rebuild would do again", () => {
    const call: Effect.Effect<void, never, HttpClient.HttpClient> = Effect.never
    Projection.make("totals", {
      from: Cart,
      setup: nothing,
      handle: {
        // @ts-expect-error a call to somebody else
        Added: () => call,
        // @ts-expect-error a file
        Paid: () => Files.FileSystem.use((files) => files.remove("x"))
      }
    })
    Projection.make("totals", {
      from: Cart,
      setup: nothing,
      handle: {
        // @ts-expect-error an event: that is what derived streams are for
        Added: () => EventStore.use((store) => store.append(Cart.stream("1"), [])),
        Paid: nothing
      }
    })
    Projection.make("totals", {
      from: Cart,
      // @ts-expect-error a service that says nothing of being safe
      setup: () => Currencies,
      // @ts-expect-error the same
      indexes: () => Currencies,
      // @ts-expect-error the same
      batch: () => Currencies
    })
    expectTypeOf<FileSystem.FileSystem>().not.toExtend<SqlClient.SqlClient | Projection.ReplaySafe>()
  })

  it("reads with the same model, and whatever else the reader uses", () => {
    const Totals = Projection.make("totals", { from: Cart, setup: nothing, batch: nothing })
    expectTypeOf(Projection.read(Totals, ({ version }) => Effect.as(Currencies, version))).toExtend<
      Effect.Effect<number, unknown, EventStore | SqlClient.SqlClient | Currencies>
    >()
    const Sizes = Projection.documents("sizes", {
      from: Parcel,
      state: Schema.Int,
      initial: () => 0,
      evolve: { Shipped: (n) => n }
    })
    // @ts-expect-error it has no tables
    Projection.read(Sizes, nothing)
  })
})

describe("Projection.documents", () => {
  const Sizes = Projection.documents("sizes", {
    from: [Cart, Old],
    state: Schema.Struct({ size: Schema.NumberFromString }),
    key: ({ event, streamId }) => event._tag === "Paid" ? undefined : [streamId, event.sku],
    initial: () => ({ size: 0 }),
    evolve: {
      Added: (state, recorded, key) => {
        expectTypeOf(state).toEqualTypeOf<{ readonly size: number }>()
        expectTypeOf(recorded).toEqualTypeOf<Recorded.Recorded<Added>>()
        expectTypeOf(key).toEqualTypeOf<string>()
        return { size: state.size + recorded.event.quantity }
      },
      Paid: () => undefined
    }
  })

  it("needs no more than the store and what upcasters use", () => {
    expectTypeOf(Projection.layer(Sizes)).toEqualTypeOf<
      Layer.Layer<never, Projection.StartError, EventStore | Currencies>
    >()
  })

  it("is read as its state", () => {
    expectTypeOf(Projection.get(Sizes, "a")).toExtend<
      Effect.Effect<Option.Option<{ readonly size: number }>, unknown, EventStore>
    >()
    expectTypeOf(Projection.getMany(Sizes, ["a"])).toExtend<
      Effect.Effect<ReadonlyMap<string, { readonly size: number }>, unknown, EventStore>
    >()
    expectTypeOf(Projection.list(Sizes)).toExtend<
      Stream.Stream<{ readonly key: string; readonly state: { readonly size: number } }, unknown, EventStore>
    >()
  })

  it("asks for an answer to each event, and for a state", () => {
    Projection.documents("sizes", {
      from: Cart,
      state: Schema.Int,
      initial: () => 0,
      // @ts-expect-error there is no answer to Paid
      evolve: { Added: (size) => size }
    })
    Projection.documents("sizes", {
      from: Parcel,
      state: Schema.Int,
      initial: () => 0,
      // @ts-expect-error a text is no state of it
      evolve: { Shipped: () => "a" }
    })
    Projection.documents("sizes", {
      from: Parcel,
      state: Schema.Int,
      // @ts-expect-error a text is no state of it
      initial: () => "a",
      evolve: { Shipped: (size: number) => size }
    })
  })
})

describe("running and waiting", () => {
  const Sizes = Projection.documents("sizes", {
    from: Parcel,
    state: Schema.Int,
    initial: () => 0,
    evolve: { Shipped: (n) => n + 1 }
  })

  it("needs what a middleware needs", () => {
    expectTypeOf(Projection.layer(Sizes, { middleware: ProjectionMiddleware.logging })).toEqualTypeOf<
      Layer.Layer<never, Projection.StartError, EventStore>
    >()
    expectTypeOf(
      Projection.layer(Sizes, { middleware: (apply) => (batch) => Effect.andThen(Currencies, apply(batch)) })
    ).toEqualTypeOf<Layer.Layer<never, Projection.StartError, EventStore | Currencies>>()
  })

  it("says what can become of waiting", () => {
    expectTypeOf(Projection.awaitProcessed(Sizes, 1)).toEqualTypeOf<
      Effect.Effect<
        void,
        | ProjectionError.AwaitTimedOut
        | ProjectionError.ProjectionFailed
        | ProjectionError.ProjectionNotFound
        | StoreError.InvalidInput
        | StoreError.StoreError,
        EventStore
      >
    >()
    expectTypeOf<DecodeError.DecodeError>().not.toExtend<Projection.RunError>()
  })
})
