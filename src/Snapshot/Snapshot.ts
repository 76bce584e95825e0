/**
 * How the state of a stream is saved: under which name, in which shape, and when.
 *
 * A snapshot is a cache: what is declared here changes how fast a state is loaded, never what it is. When the shape of the
 * state changes, older shapes form a chain, as those of events do: `Snapshot.oldest(v1).next(v2, f).current(State, g)`. One that
 * does not decode is ignored, and the state is folded from the events.
 *
 * @since 0.1.0
 */
import { type Cause, Duration, Effect, Schema } from "effect"
import * as JsonCodec from "../Event/JsonCodec.ts"
import * as ShapeChain from "../Event/ShapeChain.ts"
import { problemOfName } from "../Stream/StreamId.ts"

const TypeId = "~effect-eventstore/Snapshot"
const StateTypeId = "~effect-eventstore/Snapshot/State"

/**
 * Most UTF-16 code units of the name of a snapshot.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxNameLength = 128

/**
 * When a state is saved, as plain data:
 *
 * - `Every`: when so many events are not in the snapshot
 * - `Age`: when the oldest event that is not in it was recorded so long ago
 * - `Cost`: when it took so long to read and fold the events that are not in it
 * - `AnyOf`: when one of several says so
 * - `OnDemand`: when somebody asks for it, and not otherwise
 * - `Never`: not at all, and none is looked for either
 *
 * @category models
 * @since 0.1.0
 */
export type Policy =
  | { readonly _tag: "Every"; readonly events: number }
  | { readonly _tag: "Age"; readonly millis: number }
  | { readonly _tag: "Cost"; readonly millis: number }
  | { readonly _tag: "AnyOf"; readonly policies: ReadonlyArray<Policy> }
  | { readonly _tag: "OnDemand" }
  | { readonly _tag: "Never" }

/**
 * What a policy decides on. Times are in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Facts {
  /** Events in the state that are not in the snapshot it was made from: all of them where there was none. */
  readonly events: number
  /** When the oldest of them was recorded; `undefined` where there is none. */
  readonly oldest: number | undefined
  readonly now: number
  /** How long it took to read and to fold them. */
  readonly replayMillis: number
}

/**
 * Saves after so many events.
 *
 * **Gotchas** Throws where the number is not a whole number from 1.
 *
 * @category policies
 * @since 0.1.0
 */
export const every = (events: number): Policy => {
  if (!Number.isSafeInteger(events) || events < 1) {
    throw new Error(`A snapshot every ${events} events: that is not a whole number from 1`)
  }
  return { _tag: "Every", events }
}

/**
 * Saves when the oldest event that is not in the snapshot is so old, and another one comes.
 *
 * @category policies
 * @since 0.1.0
 */
export const age = (duration: Duration.Input): Policy => ({ _tag: "Age", millis: millisOf(duration) })

/**
 * Saves when a load took so long to read and fold what is not in the snapshot.
 *
 * @category policies
 * @since 0.1.0
 */
export const cost = (duration: Duration.Input): Policy => ({ _tag: "Cost", millis: millisOf(duration) })

/**
 * Saves when one of several policies says so. `never` among them says nothing.
 *
 * @category policies
 * @since 0.1.0
 */
export const anyOf = (...policies: ReadonlyArray<Policy>): Policy => ({ _tag: "AnyOf", policies })

/**
 * Saves when somebody asks for it, and not otherwise.
 *
 * @category policies
 * @since 0.1.0
 */
export const onDemand: Policy = { _tag: "OnDemand" }

/**
 * Neither saves nor looks for what is saved.
 *
 * @category policies
 * @since 0.1.0
 */
export const never: Policy = { _tag: "Never" }

/**
 * Whether a state is to be saved now. A state that is saved already is not.
 *
 * **Example** (Whatever comes first)
 * ```ts
 * import { Snapshot } from "effect-eventstore"
 *
 * const policy = Snapshot.anyOf(Snapshot.every(500), Snapshot.cost("20 millis"))
 * const facts = { events: 120, oldest: 1_700_000_000_000, now: 1_700_000_060_000, replayMillis: 31 }
 * export const isDue = Snapshot.isDue(policy, facts) // => true
 * ```
 * @category guards
 * @since 0.1.0
 */
export const isDue = (policy: Policy, facts: Facts): boolean => {
  if (facts.events < 1) return false
  switch (policy._tag) {
    case "Every":
      return facts.events >= policy.events
    case "Age":
      return facts.oldest !== undefined && facts.now - facts.oldest >= policy.millis
    case "Cost":
      return facts.replayMillis >= policy.millis
    case "AnyOf":
      return policy.policies.some((one) => isDue(one, facts))
    case "OnDemand":
    case "Never":
      return false
  }
}

/**
 * What an upcaster may know about a snapshot besides its state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  readonly name: string
  readonly streamId: string
  readonly streamVersion: number
  /** Version of the stored shape, from 1. */
  readonly schemaVersion: number
}

/**
 * A snapshot does not decode: it has a shape that is not known here, or a state that is not of its shape, or an upcaster
 * failed. Loading ignores such a one, and counts it.
 *
 * @category errors
 * @since 0.1.0
 */
export class SnapshotDecodeFailed extends Schema.TaggedError<SnapshotDecodeFailed>()("SnapshotDecodeFailed", {
  name: Schema.String,
  streamId: Schema.String,
  schemaVersion: Schema.Int,
  issue: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The snapshot ${this.name} of ${this.streamId} (schema version ${this.schemaVersion}) does not decode: ${this.issue}`
  }
}

/**
 * A schema of states; encoding needs no services.
 *
 * @category models
 * @since 0.1.0
 */
export type StateSchema<S = unknown, R = unknown> = Schema.ConstraintCodec<S, unknown, R, never>

/**
 * A state with a chain of older shapes: `S` is what it is today, `R` what decoding and upcasting need.
 *
 * @category models
 * @since 0.1.0
 */
export interface State<in out S, out R> {
  readonly [StateTypeId]: { readonly _S: (state: S) => S; readonly _R: () => R }
  readonly schema: StateSchema
  /** Older shapes, oldest first. */
  readonly chain: ShapeChain.ShapeChain<Stored>
}

/**
 * What stands for the state of a snapshot: a schema, or a chain that ends with one.
 *
 * @category models
 * @since 0.1.0
 */
export type Member = StateSchema<any, any> | State<any, any>

/**
 * The state of a member.
 *
 * @category type-level
 * @since 0.1.0
 */
export type StateOf<M> = M extends State<infer S, any> ? S : M extends Schema.Constraint ? M["Type"] : never

/**
 * The services that decoding a member needs.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Services<M> = M extends State<any, infer R> ? R
  : M extends Schema.Constraint ? M["DecodingServices"]
  : never

/**
 * A chain of older shapes that still lacks today's; `A` is the type of its newest one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chain<A, R> {
  /** Adds the next shape; `upcast` makes it from the one before. What it returns is checked against the shape. */
  readonly next: <Sh extends ShapeChain.Shape>(
    shape: Sh,
    upcast: (value: A, stored: Stored) => Sh["Type"]
  ) => Chain<Sh["Type"], R | Sh["DecodingServices"]>
  /** As {@link Chain.next}, for an upcast that may fail or needs services. */
  readonly nextEffect: <Sh extends ShapeChain.Shape, E, R2>(
    shape: Sh,
    upcast: (value: A, stored: Stored) => Effect.Effect<Sh["Type"], E, R2>
  ) => Chain<Sh["Type"], R | R2 | Sh["DecodingServices"]>
  /** Ends the chain with today's schema; what `upcast` returns is checked against it. */
  readonly current: <Sc extends StateSchema<any, any>>(
    schema: Sc,
    upcast: (value: A, stored: Stored) => Sc["Type"]
  ) => State<Sc["Type"], R | Sc["DecodingServices"]>
  /** As {@link Chain.current}, for an upcast that may fail or needs services. */
  readonly currentEffect: <Sc extends StateSchema<any, any>, E, R2>(
    schema: Sc,
    upcast: (value: A, stored: Stored) => Effect.Effect<Sc["Type"], E, R2>
  ) => State<Sc["Type"], R | R2 | Sc["DecodingServices"]>
}

/**
 * Starts a chain with the oldest shape of a state that may still be stored.
 *
 * **Example** (A field got another name)
 * ```ts
 * import { Schema } from "effect"
 * import { Snapshot } from "effect-eventstore"
 *
 * class Balance extends Schema.Class<Balance>("Balance")({ cents: Schema.Int }) {}
 *
 * export const Balances = Snapshot.make({
 *   name: "balance",
 *   state: Snapshot
 *     .oldest(Schema.Struct({ euros: Schema.Number }))
 *     .current(Balance, ({ euros }) => new Balance({ cents: Math.round(euros * 100) })),
 *   policy: Snapshot.every(200)
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const oldest = <Sh extends ShapeChain.Shape>(shape: Sh): Chain<Sh["Type"], Sh["DecodingServices"]> =>
  chain({ shapes: [shape], steps: [] })

/**
 * How a state is saved: `S` is the state, `R` what decoding it needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot<in out S, out R> {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  /** Version of the shape that is saved now, from 1. */
  readonly schemaVersion: number
  readonly policy: Policy
  /** The shapes that decode, oldest first; the last one is today's, and has the version above. Of a raised version only that. */
  readonly shapes: ReadonlyArray<Schema.Constraint>
  /** The state as a JSON text; fails with what is wrong with it. */
  readonly encode: (state: S) => Effect.Effect<string, string>
  readonly decode: (stored: Stored & { readonly state: string }) => Effect.Effect<S, SnapshotDecodeFailed, R>
}

/**
 * @category models
 * @since 0.1.0
 */
export type Any = Snapshot<any, any>

/**
 * Declares how a state is saved.
 *
 * **Details** `name` tells several states of one stream apart: 1 to 128 printable characters. `state` is its schema, or a chain
 * of shapes, which are numbered from 1. `version` is that of today's shape; default is its number in the chain. What was saved in
 * a version that is not known is ignored. Default `policy` is `every(100)`.
 *
 * **Gotchas** Raise `version` when the same events fold into another state, though its shape stays: all that was saved before is
 * ignored then, and older shapes of a chain with it, as they lead to the state that was wrong. Nothing else can tell. From then
 * on each further shape needs a higher `version`, too: without one, the numbers of a chain begin anew. Throws where a part of the declaration is not allowed: a mistake in the program, not in
 * its input.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Snapshot } from "effect-eventstore"
 *
 * export const Totals = Snapshot.make({
 *   name: "cart-totals",
 *   state: Schema.Struct({ items: Schema.Int, cents: Schema.Int }),
 *   policy: Snapshot.every(500)
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = <const M extends Member>(options: {
  readonly name: string
  readonly state: M
  readonly version?: number | undefined
  readonly policy?: Policy | undefined
}): Snapshot<StateOf<M>, Services<M>> => {
  const { name, policy, state: member } = options
  const refuse = (problem: string): never => {
    throw new Error(`The snapshot ${JSON.stringify(name)} ${problem}`)
  }
  const problem = problemOfName(name, maxNameLength)
  if (problem !== undefined) refuse(problem)
  const state: State<any, any> = StateTypeId in member ? member : { ...ended, schema: member }
  const { schema, chain: { shapes, steps } } = state
  const jsonProblem = JsonCodec.problemOf(schema)
  if (jsonProblem !== undefined) refuse(jsonProblem)
  const schemaVersion = options.version ?? shapes.length + 1
  if (!Number.isInteger(schemaVersion) || schemaVersion > 32767 || schemaVersion <= shapes.length) {
    refuse(`has the version ${schemaVersion}: ${shapes.length + 1} to 32767 are allowed`)
  }
  // a raised version: what was saved before means something else, whatever shape it has
  const isRaised = schemaVersion > shapes.length + 1
  const first = isRaised ? schemaVersion : 1
  const known = isRaised ? [schema] : [...shapes, schema]
  const encode = JsonCodec.encoderOf(schema)
  const upcasts = isRaised ? [] : steps
  const decoders = known.map(JsonCodec.decoderOf)
  return {
    [TypeId]: TypeId,
    name,
    schemaVersion,
    policy: policy ?? every(100),
    shapes: known,
    encode: (state) =>
      Effect.matchEffect(encode(state), {
        onFailure: (error) => Effect.fail(`does not fit its schema: ${error.message}`),
        onSuccess: JsonCodec.toText
      }),
    decode: ({ state, ...stored }) => {
      const fail = (issue: string, cause: unknown) =>
        new SnapshotDecodeFailed({ name, streamId: stored.streamId, schemaVersion: stored.schemaVersion, issue, cause })
      const index = stored.schemaVersion - first
      const decode = decoders[index]
      if (decode === undefined) {
        const which = first === schemaVersion ? `version ${first} is` : `versions ${first} to ${schemaVersion} are`
        return Effect.fail(fail(`only ${which} known`, undefined))
      }
      return Effect.suspend(() => ShapeChain.upcast(upcasts, index + 1, decode(JSON.parse(state)), stored)).pipe(
        // whatever goes wrong, even a schema or a text that throws: the state is in the events
        Effect.catchCause((cause) => {
          const reason = cause.reasons.find((reason) => reason._tag !== "Interrupt")
          if (reason === undefined) return Effect.failCause(cause as Cause.Cause<never>)
          const error = reason._tag === "Fail" ? reason.error : reason.defect
          return Effect.fail(fail(error instanceof Error ? error.message : String(error), error))
        })
      )
    }
  }
}

const absent = (): never => {
  throw new Error("a type-level member of a snapshot was called")
}

const ended = {
  [StateTypeId]: { _S: absent, _R: absent },
  chain: { shapes: [], steps: [] }
} as const

const chain = (self: ShapeChain.ShapeChain<Stored>): Chain<any, any> => {
  const { next, stepOf } = ShapeChain
  // checked against the last schema as well
  const end = (schema: StateSchema, step: ShapeChain.Step<Stored>): State<any, any> => ({
    ...ended,
    schema,
    chain: { shapes: self.shapes, steps: next(self, schema, step).steps }
  })
  return {
    next: (shape, upcast) => chain(next(self, shape, stepOf(upcast))),
    nextEffect: (shape, upcast) => chain(next(self, shape, upcast)),
    current: (schema, upcast) => end(schema, stepOf(upcast)),
    currentEffect: end
  }
}

const millisOf = (duration: Duration.Input): number => {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(duration))
  if (Number.isNaN(millis) || millis < 0) throw new Error(`A policy of ${millis} milliseconds: that is no duration`)
  return millis
}
