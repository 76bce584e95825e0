import { assert, expect, it as vitestIt, type Vitest } from "@effect/vitest"
import { Effect, Exit, Option, Schema, type Scope, Stream } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"

export type Store = EventStore["Service"]

type Body = (store: Store) => Generator<Effect.Effect<any, any, Scope.Scope>, void, never>

/** Declares a promise of the contract: a sentence, and the program that shows whether a store keeps it. */
export type Rule = (name: string, body: Body) => void

/** How a store under test differs from one that keeps every promise under every interleaving. */
export interface Options {
  /** Whether other work goes on while a transaction is open. */
  readonly transactions: "concurrent" | "exclusive"
}

export type Rules = (rule: Rule, options: Options) => void

/** Time for one rule: some move megabytes, and a continuous integration machine may be slow. */
const timeout = 60_000

export const ruleOf = (it: Vitest.MethodsNonLive<EventStore>): Rule => (name, body) =>
  it.effect(name, () => Effect.flatMap(EventStore, (store) => Effect.gen(() => body(store))), timeout)

/** Shows a rule in the report as one that this store is not asked to keep. */
export const skip: Rule = (name) => vitestIt.skip(name, () => {})

export class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}
export class Counted extends Schema.TaggedClass<Counted>()("Counted", { count: Schema.Int }) {}

/** Names differ from run to run, too: a store may be kept between them. No name is the beginning of another. */
const run = Math.random().toString(36).slice(2, 8)
let names = 0
export const freshName = (): string => `rule${run}x${++names}z`

/** A category of its own for each rule, so that all rules can share a store. */
export const freshCategory = () => Category.make(freshName(), { id: Schema.String, events: [Noted, Counted] })

export type Notes = ReturnType<typeof freshCategory>
export type NotesStream = ReturnType<Notes["stream"]>

export const freshStream = (): NotesStream => freshCategory().stream("1")

export const notes = (...texts: ReadonlyArray<string>): ReadonlyArray<Noted> => texts.map((text) => new Noted({ text }))

/** As many notes as asked for: "1", "2", "3". */
export const someNotes = (count: number): ReadonlyArray<Noted> =>
  Array.from({ length: count }, (_, i) => new Noted({ text: String(i + 1) }))

export const ids = (count: number): Effect.Effect<ReadonlyArray<EventId.EventId>> =>
  Effect.all(Array.from({ length: count }, () => EventId.make))

/** A note under an id of its own, so that its append can be repeated. */
export const noteAs = (id: EventId.EventId, text: string) => EventData.make(new Noted({ text }), { id })

/** Notes "1", "2", "3" under ids of their own. */
export const notesAs = (given: ReadonlyArray<EventId.EventId>) => given.map((id, i) => noteAs(id, String(i + 1)))

export const raw = (type: string, data: Schema.Json = {}) => RawEvent.make({ type, schemaVersion: 1, data })

/** An event of a type that asks for nothing but its tags. */
export const tagged = (type: string, ...tags: ReadonlyArray<string>) => EventData.make(raw(type), { tags })

export const collect = Stream.runCollect

/** What stands in a stream of notes, in reading order. */
export const texts = (
  store: Store,
  stream: NotesStream,
  options?: Parameters<Store["read"]>[1]
): Effect.Effect<ReadonlyArray<string>, unknown> =>
  Effect.map(collect(store.read(stream, options)), (recorded) => recorded.map(({ event }) => textOf(event)))

export const textOf = (event: Noted | Counted): string => event._tag === "Noted" ? event.text : String(event.count)

/** The error of an effect that has to fail with one of this tag. */
export const fails = <A, E, R, const T extends TagOf<E>>(
  effect: Effect.Effect<A, E, R>,
  tag: T
): Effect.Effect<Extract<E, { readonly _tag: T }>, never, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return Effect.die(new Error(`expected ${tag}, but it succeeded with ${show(exit.value)}`))
    const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as { readonly _tag?: unknown } | undefined
    return error?._tag === tag ? Effect.succeed(error as never) : Effect.failCause(exit.cause as never)
  })

type TagOf<E> = E extends { readonly _tag: infer T extends string } ? T : never

/** Any value for a message. */
export const show = (value: unknown): string => {
  try {
    return JSON.stringify(value)
  } catch {
    return String(value)
  }
}

/** The error of an effect that has to be refused, and has to leave the log and a stream as they were. */
export const refused = <A, E, R, const T extends TagOf<E>>(
  store: Store,
  stream: Category.StreamRef<never, unknown, any>,
  effect: Effect.Effect<A, E, R>,
  tag: T
): Effect.Effect<Extract<E, { readonly _tag: T }>, unknown, R> =>
  Effect.gen(function*() {
    const before = yield* stateOf(store, stream)
    const error = yield* fails(effect, tag)
    expect(yield* stateOf(store, stream)).toStrictEqual(before)
    return error
  })

const stateOf = (store: Store, stream: Category.StreamRef<never, unknown, any>) =>
  Effect.all([store.head(), stream.problem === undefined ? store.info(stream) : Effect.void])

/** Several fibres at once, none waiting for another. */
export const together = <A, E, R>(
  count: number,
  each: (index: number) => Effect.Effect<A, E, R>
): Effect.Effect<Array<A>, E, R> =>
  Effect.forEach(Array.from({ length: count }, (_, i) => i), each, { concurrency: "unbounded" })

/** Deep and strict, whatever the brands of the two sides. */
export const equal = (actual: unknown, expected: unknown): void => assert.deepStrictEqual(actual, expected)

/** An object has these fields, and may have more. */
export const has = (actual: object, part: object): void => assert.deepInclude(actual, part)
