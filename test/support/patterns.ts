/** Random patterns over random histories, and the matches that a naive specification says there are. */
import { DateTime, Schema } from "effect"
import { Category, EventId, Pattern, type Recorded } from "effect-eventstore"

export class A extends Schema.TaggedClass<A>()("A", { n: Schema.Int }) {}
export class B extends Schema.TaggedClass<B>()("B", { n: Schema.Int }) {}
export class C extends Schema.TaggedClass<C>()("C", { n: Schema.Int }) {}
export const Letters = Category.make("letters", { id: Schema.String, events: [A, B, C] })
export type Letter = A | B | C

const upTo = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: most }))
const Tag = Schema.Literals(["A", "B", "C"])

/** An event, so many seconds after the one before, or before it. */
const Next = Schema.Struct({
  tag: Tag,
  n: upTo(2),
  seconds: Schema.Int.check(Schema.isBetween({ minimum: -3, maximum: 4 }))
})
const Follows = Schema.Struct({
  tag: Tag,
  /** Whether it has to differ from the first event of the match. */
  differs: Schema.Boolean,
  times: Schema.Literals([1, 1, 2, 3]),
  within: Schema.NullOr(upTo(8)),
  without: Schema.Array(Tag).check(Schema.isMaxLength(2))
})
export const Program = Schema.Struct({
  events: Schema.Array(Next).check(Schema.isMinLength(8), Schema.isMaxLength(30)),
  start: Tag,
  follows: Schema.Array(Follows).check(Schema.isMinLength(1), Schema.isMaxLength(3)),
  inFlight: Schema.Literals([1, 2, 3, 100])
})
export type Program = typeof Program.Type

export const recorded = (event: Letter, at: number, millis: number): Recorded.Recorded<Letter> => ({
  event,
  type: event._tag,
  schemaVersion: 1,
  eventId: EventId.fromName("letter", String(at)),
  streamId: Letters.stream("1").streamId,
  streamVersion: at as never,
  position: at as never,
  metadata: {},
  tags: [],
  recordedAt: DateTime.makeUnsafe(millis),
  part: 0,
  parts: 1
})

export const make = { A: (n: number) => new A({ n }), B: (n: number) => new B({ n }), C: (n: number) => new C({ n }) }

export const recordedOf = (program: Program): ReadonlyArray<Recorded.Recorded<Letter>> => {
  let millis = 100_000
  return program.events.map(({ n, seconds, tag }, i) => {
    millis += seconds * 1000
    return recorded(make[tag](n), i + 1, millis)
  })
}

export const patternOf = ({ follows, start }: Program): Pattern.Pattern<typeof Letters, any> => {
  let pattern: Pattern.Start<typeof Letters, any> = Pattern.start(Letters, start)
  for (const { differs, tag, times, within, without } of follows) {
    let step = pattern.followedBy(tag, {
      times,
      within: within === null ? undefined : `${within} seconds`,
      ...(differs ? { where: ({ event }, [[first]]: any) => event.n !== first.event.n } : {})
    })
    for (const tag of without) step = step.without(tag)
    pattern = step
  }
  return pattern as Pattern.Pattern<typeof Letters, any>
}

/**
 * The specification. Of a match that begins with the event `start`: where its events are, and at which event it ends, one way or the
 * other.
 */
const matchFrom = ({ events, follows }: Program, millis: ReadonlyArray<number>, start: number): {
  readonly match: ReadonlyArray<number> | undefined
  readonly end: number
} => {
  const time = (at: number) => Math.max(...millis.slice(start, at + 1))
  const match = [start]
  let before = start
  for (const { differs, tag, times, within, without } of follows) {
    const fits = (at: number) => events[at]!.tag === tag && (!differs || events[at]!.n !== events[start]!.n)
    const later = events.map((_, at) => at).filter((at) => at > before)
    const found = later.filter(fits).slice(0, times)
    const last = found.length === times ? found.at(-1)! : Infinity
    const tooLate = later.find((at) => within !== null && time(at) - time(before) > within * 1000) ?? Infinity
    const ruledOut = later.find((at) => !fits(at) && (without as ReadonlyArray<string>).includes(events[at]!.tag)) ??
      Infinity
    if (last >= Math.min(tooLate, ruledOut)) return { match: undefined, end: Math.min(tooLate, ruledOut) }
    match.push(...found)
    before = last
  }
  return { match, end: before }
}

/** All matches, by the event that completes them. A match that begins while too many are in the making replaces the oldest. */
export const matchesOf = (program: Program): ReadonlyArray<ReadonlyArray<number>> => {
  let sum = 100_000
  const millis = program.events.map(({ seconds }) => sum += seconds * 1000)
  const starts = program.events.flatMap(({ tag }, at) => tag === program.start ? [at] : [])
  let open: ReadonlyArray<{ readonly start: number; readonly end: number }> = []
  const replaced = new Set<number>()
  for (const start of starts) {
    open = [...open.filter(({ end }) => end > start), { start, end: matchFrom(program, millis, start).end }]
    for (const { start } of open.slice(0, Math.max(0, open.length - program.inFlight))) replaced.add(start)
    open = open.slice(-program.inFlight)
  }
  return starts.filter((start) => !replaced.has(start)).flatMap((start) => {
    const { match } = matchFrom(program, millis, start)
    return match === undefined ? [] : [match]
  }).sort((a, b) => a.at(-1)! - b.at(-1)! || a[0]! - b[0]!)
}
