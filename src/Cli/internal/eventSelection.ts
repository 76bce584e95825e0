import { DateTime, Effect, Option } from "effect"
import { Argument, Flag } from "effect/cli"
import * as Category from "../../Stream/Category.ts"
import type { StreamRef } from "../../Stream/Category.ts"
import type { EventFilter } from "../../Stream/EventFilter.ts"
import { wrongInput } from "./frame/refusal.ts"
import { valueOf } from "./frame/settings.ts"
import { rangeOf, timeFlag } from "./frame/times.ts"
import { asStored, type Showing, type Shown, type ShownEvent } from "./shownEvent.ts"
import { type Condition, fulfils, parseCondition } from "./where.ts"

/** What commands that show events take to know which. */
export const selectionFlags = {
  target: Argument.String("target").pipe(
    Argument.withDescription("A stream (cart-42) or a category (cart); all of the log where it is left out"),
    Argument.optional
  ),
  category: Flag.String("category").pipe(
    Flag.withDescription("Only those of a category (repeatable: of any of them)"),
    Flag.atLeast(0)
  ),
  prefix: Flag.String("prefix").pipe(
    Flag.withDescription("Only those of streams whose name begins so"),
    Flag.optional
  ),
  type: Flag.String("type").pipe(
    Flag.withDescription("Only those stored under a type (repeatable: under any of them)"),
    Flag.atLeast(0)
  ),
  tag: Flag.String("tag").pipe(
    Flag.withDescription("Only those with a tag (repeatable: with all of them)"),
    Flag.atLeast(0)
  ),
  since: timeFlag("since", "Only those recorded then or later"),
  until: timeFlag("until", "Only those recorded before"),
  where: Flag.String("where").pipe(
    Flag.withMetavar("<condition>"),
    Flag.withDescription(
      "Only those that hold something (repeatable: all of it): data.cents>=1000, data.items[*].sku=tea, " +
        "metadata.actor!=anna, data.note~^urgent, data[\"a name\"] exists, data.note absent. Looked for here and not in the " +
        "database: narrow it down with other flags"
    ),
    Flag.atLeast(0)
  )
} as const

interface Given {
  readonly target: Option.Option<string>
  readonly category: ReadonlyArray<string>
  readonly prefix: Option.Option<string>
  readonly type: ReadonlyArray<string>
  readonly tag: ReadonlyArray<string>
  readonly since: Option.Option<string>
  readonly until: Option.Option<string>
  readonly where: ReadonlyArray<string>
}

/** Which events are asked for. */
export interface Selection {
  /** One stream: `from`, `to` and the like are versions of it then, else positions. */
  readonly stream: string | undefined
  /** What the store looks for itself. */
  readonly filter: EventFilter
  /** Whether all that the store gives is asked for. */
  readonly isWhole: boolean
  /** Whether an event that the store gives is asked for. */
  readonly matches: (event: Shown) => boolean
}

/** Makes a selection of what was given; refuses what contradicts itself. */
export const selectionOf = (given: Given) =>
  Effect.gen(function*() {
    const target = valueOf(given.target)
    const prefix = valueOf(given.prefix)
    const stream = target?.includes("-") === true ? target : undefined
    if (stream !== undefined && (given.category.length > 0 || prefix !== undefined)) {
      return yield* wrongInput(
        `${stream} is one stream: --category and --prefix choose among several`,
        "leave out the target, or the flags"
      )
    }
    const conditions: Array<Condition> = []
    for (const text of given.where) {
      const condition = parseCondition(text)
      if (typeof condition === "string") {
        return yield* wrongInput(
          `--where ${JSON.stringify(text)} is no condition: ${condition}`,
          "data.cents>=1000, data.items[*].sku=tea, metadata.actor!=anna, data.note~^urgent, data.note exists"
        )
      }
      conditions.push(condition)
    }
    const categories = [...(target === undefined || stream !== undefined ? [] : [target]), ...given.category]
    const times = yield* rangeOf(given)
    const filter: EventFilter = {
      types: given.type.length === 0 ? undefined : given.type,
      tags: given.tag.length === 0 ? undefined : given.tag,
      categories: categories.length === 0 ? undefined : categories,
      streamPrefix: prefix,
      recordedFrom: times.since,
      recordedUntil: times.until
    }
    const isFiltered = filter.types !== undefined || filter.tags !== undefined || filter.recordedFrom !== undefined ||
      filter.recordedUntil !== undefined
    const selection: Selection = {
      stream,
      filter,
      isWhole: conditions.length === 0 && (stream === undefined || !isFiltered),
      matches: (event) =>
        // a stream is read whole: what it is filtered by is looked for here
        (stream === undefined || !isFiltered || passes(filter, event)) && fulfils(conditions, event.event)
    }
    return selection
  })

const passes = ({ recordedFrom, recordedUntil, tags, types }: EventFilter, event: Shown): boolean =>
  (types === undefined || types.includes(event.type)) &&
  (tags === undefined || tags.every((tag) => event.tags.includes(tag))) &&
  (recordedFrom === undefined || DateTime.isGreaterThanOrEqualTo(event.recordedAt, recordedFrom)) &&
  (recordedUntil === undefined || DateTime.isLessThan(event.recordedAt, recordedUntil))

/** A stream, with its events as they are shown. */
export const shownStream = (stream: string, showing: Showing = asStored): StreamRef<ShownEvent, ShownEvent, never> => ({
  ...Category.rawStream(stream),
  category: showing
})
