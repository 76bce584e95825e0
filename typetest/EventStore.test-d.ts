/** What the types promise; checked by the compiler, never run. */
import { Context, Effect, Schema, type Stream } from "effect"
import {
  Category,
  type DecodeError,
  Event,
  EventStore,
  type RawEvent,
  type Recorded,
  type StoreError,
  Subscription
} from "effect-eventstore"
import { expectTypeOf } from "vitest"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}
class Rates extends Context.Service<Rates, { readonly of: (code: string) => Effect.Effect<number> }>()("test/Rates") {}

const AddedVersions = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .next(Schema.Struct({ sku: Schema.String, qty: Schema.Number }), (v1) => ({ ...v1, qty: 1 }))
  .current(Added, (v2) => ({ sku: v2.sku, quantity: Math.trunc(v2.qty) }))
const Priced = Event
  .oldest(Schema.Struct({ sku: Schema.String }))
  .currentEffect(Added, (v1) => Effect.map(Rates.use((rates) => rates.of("EUR")), (quantity) => ({ ...v1, quantity })))
const Both = Event.oldest(Schema.Struct({ sku: Schema.String })).retired("Both", (v1) => [
  new Opened({ customer: v1.sku }),
  new Added({ sku: v1.sku, quantity: 1 })
])

const CartId = Schema.String.pipe(Schema.brand("CartId"))
const Cart = Category.make("cart", { id: CartId, events: [Opened, AddedVersions] })
const id = CartId.make("1")
declare const store: EventStore["Service"]

type AppendError =
  | StoreError.InvalidInput
  | StoreError.StreamTombstoned
  | StoreError.EventIdConflict
  | StoreError.InlineProjectionFailed
  | StoreError.InlineProjectionMissing
  | StoreError.StoreError

type ErrorOf<E> = E extends Effect.Effect<any, infer X, any> ? X : never
type SuccessOf<S> = S extends Stream.Stream<infer A, any, any> ? A : never
type StreamErrorOf<S> = S extends Stream.Stream<any, infer E, any> ? E : never
type ServicesOf<S> = S extends Stream.Stream<any, any, infer R> ? R : never

// an append that expects nothing cannot conflict
const any = store.append(Cart.stream(id), [new Opened({ customer: "c" })])
expectTypeOf<ErrorOf<typeof any>>().toEqualTypeOf<AppendError>()
const anyByWord = store.append(Cart.stream(id), [new Opened({ customer: "c" })], { expected: "any" })
expectTypeOf<ErrorOf<typeof anyByWord>>().toEqualTypeOf<AppendError>()

// every other one can
const exact = store.append(Cart.stream(id), [new Added({ sku: "s", quantity: 1 })], { expected: 3 })
expectTypeOf<ErrorOf<typeof exact>>().toEqualTypeOf<AppendError | StoreError.WrongExpectedVersion>()
declare const expected: "any" | number
const perhaps = store.append(Cart.stream(id), [], { expected })
expectTypeOf<ErrorOf<typeof perhaps>>().toEqualTypeOf<AppendError | StoreError.WrongExpectedVersion>()

// only the category's own events, and only its own ids
// @ts-expect-error a string is no event
void store.append(Cart.stream(id), ["event"])
class Foreign extends Schema.TaggedClass<Foreign>()("Foreign", { text: Schema.String }) {}
// @ts-expect-error another category's event
void store.append(Cart.stream(id), [new Foreign({ text: "a" })])
// @ts-expect-error a plain string is not the branded id
void Cart.stream("1")

// reading yields today's classes, and needs what the upcasters need
const read = store.read(Cart.stream(id))
expectTypeOf<SuccessOf<typeof read>>().toEqualTypeOf<Recorded.Recorded<Opened | Added>>()
expectTypeOf<ServicesOf<typeof read>>().toEqualTypeOf<never>()
const Other = Category.make("other", { id: Schema.String, events: [Opened, Priced] })
const needs = store.readCategory([Cart, Other])
expectTypeOf<SuccessOf<typeof needs>>().toEqualTypeOf<Recorded.Recorded<Opened | Added>>()
expectTypeOf<ServicesOf<typeof needs>>().toEqualTypeOf<Rates>()
expectTypeOf<StreamErrorOf<typeof needs>>().toEqualTypeOf<
  StoreError.InvalidInput | StoreError.StoreError | DecodeError.DecodeError
>()

// a retired type is read, and cannot be written
const Retired = Category.make("retired", { id: Schema.String, events: [Both] })
expectTypeOf<Category.In<typeof Retired>>().toEqualTypeOf<never>()
expectTypeOf<Category.Out<typeof Retired>>().toEqualTypeOf<Opened | Added>()

// what a category passes through raw is in its type
const Tolerant = Category.make("tolerant", { id: Schema.String, events: [Opened], undecodable: "raw" })
expectTypeOf<Category.Out<typeof Tolerant>>().toEqualTypeOf<Opened | RawEvent.RawEvent>()
expectTypeOf<Category.In<typeof Tolerant>>().toEqualTypeOf<Opened>()

// of the whole log some categories can be followed; a category is one already
export const someOfAll = Subscription.catchUp(Category.raw, { categories: ["cart"] })
// @ts-expect-error it names them itself
export const someOfOne = Subscription.catchUp(Tolerant, { categories: ["cart"] })

// an upcast has to return the next shape
Event.oldest(Schema.Struct({ sku: Schema.String }))
  // @ts-expect-error quantity is missing
  .current(Added, (v1) => ({ sku: v1.sku }))
