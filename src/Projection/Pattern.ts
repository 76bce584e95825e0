/**
 * Patterns over time: an event, then others within a time, without some that rule it out.
 *
 * A pattern is looked for among the events of one key, one after the other in the order of the log. Time is that of the
 * events (`recordedAt`), so the same log has the same matches, whenever and however often it is looked through: on PGlite and
 * Postgres it is the time of the database, on memory that of the `Clock` of the fibre that appended. Run a pattern with
 * `Projection.pattern`, and try it with {@link find}.
 *
 * @since 0.1.0
 */
import { Duration, Inspectable, Option } from "effect"
import * as Category from "../Stream/Category.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { TagOf } from "./internal/evolve.ts"
import { type Candidate, defaultInFlight, type Fits, next, type Step, toMatch } from "./internal/pattern.ts"
import type { Out, Source } from "./View.ts"

/**
 * The events of the steps of a match, in order: a list for each step, of as many as the step asks for.
 *
 * @category models
 * @since 0.1.0
 */
export type Steps = ReadonlyArray<Events<any>>

/**
 * The events of a step.
 *
 * @category models
 * @since 0.1.0
 */
export type Events<E> = readonly [Recorded<E>, ...ReadonlyArray<Recorded<E>>]

/**
 * Whether an event fits. `steps` are the events of the steps before, `soFar` those that the step under way has already. Pure:
 * it answers the same whenever it is asked.
 *
 * @category models
 * @since 0.1.0
 */
export type Predicate<E, S extends Steps, X = E> = (
  recorded: Recorded<E>,
  steps: S,
  soFar: ReadonlyArray<Recorded<X>>
) => boolean

/**
 * What a step asks for beside its tag.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepOptions {
  /** Most time between the end of the step before and the last event of this one, inclusive. Default: no limit. */
  readonly within?: Duration.Input | undefined
  /** How many events have to fit, in a row or with others between them, all of them `within` the time. Default 1. */
  readonly times?: number | undefined
}

/**
 * The beginning of a pattern.
 *
 * @category models
 * @since 0.1.0
 */
export interface Start<C extends Source, S extends Steps> {
  /**
   * What has to come next, after the step before and not at once with it: an event with a tag, where `where` holds, or one
   * for which a function answers `true`. Other events may come between.
   */
  readonly followedBy: {
    <const Tag extends TagOf<Out<C>>>(
      tag: Tag,
      options?: StepOptions & {
        readonly where?: Predicate<Tagged<Out<C>, Tag>, S> | undefined
      }
    ): Pattern<C, readonly [...S, Events<Tagged<Out<C>, Tag>>]>
    (when: Predicate<Out<C>, S>, options?: StepOptions): Pattern<C, readonly [...S, Events<Out<C>>]>
  }
}

/**
 * A pattern: a first event and one or more steps that follow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Pattern<C extends Source, S extends Steps> extends Start<C, S> {
  /** Where the events come from. */
  readonly from: C
  /** What is looked for, step by step. */
  readonly steps: ReadonlyArray<Step>
  /**
   * What must not come between the step before the last one and the last event of that: where it comes, the match is off. An
   * event that also fits the last step counts for that. What comes after the last step rules nothing out: the match is found by
   * then.
   */
  readonly without: {
    <const Tag extends TagOf<Out<C>>>(
      tag: Tag,
      options?: { readonly where?: Predicate<Tagged<Out<C>, Tag>, Before<S>, Out<C>> | undefined }
    ): Pattern<C, S>
    (when: Predicate<Out<C>, Before<S>>): Pattern<C, S>
  }
}

/**
 * What was found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Match<S extends Steps> {
  /** The events of each step. */
  readonly steps: S
  /** All of them, in order; the last one completed the match. */
  readonly events: Events<S[number][number]["event"]>
}

type Tagged<E, Tag> = Extract<E, { readonly _tag: Tag }>
type Before<S> = S extends readonly [...infer B extends Steps, any] ? B : never

/**
 * Begins a pattern with an event of a source: one with a tag, or one for which a function answers `true`.
 *
 * **Details** Each event that fits begins a match of its own, which goes on with the first events that fit its next steps. So
 * each of them leads to one match at most, and an event can belong to several: where five failures in a minute are looked for,
 * seven are three matches, of the first to the fifth, the second to the sixth, and the third to the seventh. Who wants one alert
 * for all of them begins with an event that does not repeat, or lets who reads the alerts look at the last one.
 *
 * Clocks step back: between the events of a match time never does, it stands still until the clock is where it was.
 *
 * **Gotchas** A match is found when the event comes that completes it. That something did *not* come within a time is
 * nothing an event tells: set a timer in a process manager for that. Throws where `within` is no time, or `times` is no whole
 * number from 1.
 *
 * **Example** (A card is added, and then used three times abroad)
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Pattern } from "effect-eventstore"
 *
 * class CardAdded extends Schema.TaggedClass<CardAdded>()("CardAdded", { country: Schema.String }) {}
 * class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int, country: Schema.String }) {}
 * class Confirmed extends Schema.TaggedClass<Confirmed>()("Confirmed", {}) {}
 * const Account = Category.make("account", { id: Schema.String, events: [CardAdded, Paid, Confirmed] })
 *
 * export const Suspicious = Pattern
 *   .start(Account, "CardAdded")
 *   .followedBy("Paid", {
 *     times: 3,
 *     within: "5 minutes",
 *     where: ({ event }, [[added]]) => event.country !== added.event.country
 *   })
 *   .without("Confirmed")
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const start: {
  <const C extends Source, const Tag extends TagOf<Out<C>>>(
    from: C,
    tag: Tag,
    options?: { readonly where?: Predicate<Tagged<Out<C>, Tag>, readonly []> | undefined }
  ): Start<C, readonly [Events<Tagged<Out<C>, Tag>>]>
  <const C extends Source>(from: C, when: Predicate<Out<C>, readonly []>): Start<C, readonly [Events<Out<C>>]>
} = (from: Source, when: unknown, options?: { readonly where?: unknown }): any => {
  const categories: ReadonlyArray<unknown> = Array.isArray(from) ? from : [from]
  if (categories.length === 0 || !categories.every(Category.isCategory)) {
    throw new Error("A pattern begins with a category, or a list of them")
  }
  return grown(from, [stepOf(when, options)])
}

/**
 * Looks for a pattern among the events of one key, in the order of the log: what a projection would find.
 *
 * **When to use** To try a pattern in a test.
 *
 * **Example**
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Category, EventStore, Pattern } from "effect-eventstore"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", {}) {}
 * class Left extends Schema.TaggedClass<Left>()("Left", {}) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened, Left] })
 * const InAHurry = Pattern.start(Cart, "Opened").followedBy("Left", { within: "10 seconds" })
 *
 * export const hurried = Effect.fn("hurried")(function*(id: string) {
 *   const store = yield* EventStore
 *   return Pattern.find(InAHurry, yield* Stream.runCollect(store.read(Cart.stream(id)))).length
 * })
 * ```
 * @category operations
 * @since 0.1.0
 */
export const find = <C extends Source, S extends Steps>(
  pattern: Pattern<C, S>,
  events: ReadonlyArray<Recorded<Out<C>>>,
  options?: {
    /** Most matches in the making, as in `Projection.pattern`. Default 100. */
    readonly inFlight?: number | undefined
  }
): ReadonlyArray<Match<S>> => {
  const matches: Array<Match<S>> = []
  let candidates: ReadonlyArray<Candidate> = []
  for (const recorded of events) {
    const { matched, open } = next(pattern.steps, options?.inFlight ?? defaultInFlight, candidates, recorded)
    candidates = open
    for (const candidate of matched) matches.push(toMatch(candidate))
  }
  return matches
}

const grown = (from: Source, steps: ReadonlyArray<Step>): Pattern<any, any> => ({
  from,
  steps,
  followedBy: (when: unknown, options?: StepOptions & { readonly where?: unknown }) =>
    grown(from, [...steps, stepOf(when, options)]),
  without: (when: unknown, options?: { readonly where?: unknown }) => {
    const last = steps.at(-1)!
    return grown(from, [...steps.slice(0, -1), { ...last, without: [...last.without, fitsOf(when, options?.where)] }])
  }
})

const stepOf = (when: unknown, options: StepOptions & { readonly where?: unknown } = {}): Step => {
  const within = options.within === undefined ? Infinity : Option.match(Duration.fromInput(options.within), {
    onNone: () => NaN,
    onSome: Duration.toMillis
  })
  if (!(within >= 0)) throw new Error(`within is ${Inspectable.toStringUnknown(options.within)}, which is no time`)
  const times = options.times ?? 1
  if (!Number.isSafeInteger(times) || times < 1) {
    throw new Error(`times is ${String(times)}, which is not a whole number from 1`)
  }
  return { fits: fitsOf(when, options.where), times, within, without: [] }
}

const fitsOf = (when: unknown, where: unknown): Fits => {
  if (typeof when === "function") return when as Fits
  if (typeof when !== "string") throw new Error("A step is a tag or a function")
  return where === undefined
    ? ({ event }) => event._tag === when
    : (recorded, steps, soFar) => recorded.event._tag === when && (where as Fits)(recorded, steps, soFar)
}
