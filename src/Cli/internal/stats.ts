import { Clock, DateTime, Effect } from "effect"
import type { LogTables } from "./frame/logSql.ts"
import type { Report } from "./frame/progress.ts"
import * as Sql from "./statsSql.ts"

/** Events of one kind; an estimate where only some were looked at. */
export interface Counted {
  readonly name: string
  readonly events: number
  readonly bytes: number
}

/** What a log consists of. */
export interface Stats {
  /** The part of the log that this is about. */
  readonly after: number
  readonly to: number
  readonly events: number
  readonly looked: number
  /** Whether only some of the events were looked at, evenly spread, and the counts are estimates. */
  readonly isSample: boolean
  readonly categories: ReadonlyArray<Counted>
  readonly types: ReadonlyArray<Counted>
  /** Days in UTC that have any, the oldest first. */
  readonly days: ReadonlyArray<Counted>
  readonly hottest: ReadonlyArray<{ readonly streamId: string; readonly events: number }>
  /** How many of the last positions the hottest streams are those of. */
  readonly hottestOf: number
  readonly longest: ReadonlyArray<{ readonly streamId: string; readonly version: number }>
  /** Over the last `days`, 0 where there is nothing in them. */
  readonly growth: { readonly days: number; readonly eventsPerDay: number; readonly bytesPerDay: number }
  readonly size: { readonly database: number; readonly tables: ReadonlyArray<Sql.TableSize> }
}

export interface Options extends Sql.Times {
  /** Most events that are looked at. */
  readonly scan: number
  /** Most streams that are named. */
  readonly limit: number
  readonly report: Report
}

/** Positions that a statement looks at, and those that lie together where only some are looked at. */
const atOnce = 50_000
const together = 1000

/** Positions at the end of the log in which hot streams are looked for. */
const hotPositions = 100_000

/** Most names that are kept apart: there are as many types as a program has, and what has more is not a type. */
const mostNames = 10_000

const dayMillis = 86_400_000

export const statsOf = (tables: LogTables, options: Options) =>
  Effect.gen(function*() {
    const ends = yield* Sql.selectEnds(tables)
    const after = options.since === undefined
      ? Math.max(0, ends.oldest - 1)
      : (yield* Sql.positionAt(tables, options.since, ends)) - 1
    const to = options.until === undefined ? ends.newest : (yield* Sql.positionAt(tables, options.until, ends)) - 1
    const span = Math.max(0, to - after)
    const groups = groupsOf(after, to, options.scan)
    const names = { category: new Map<string, Tally>(), type: new Map<string, Tally>(), day: new Map<string, Tally>() }
    const long = new Map<string, number>()
    let positions = 0
    for (const blocks of groups) {
      for (const { by, bytes, events, name } of yield* Sql.selectCounts(tables, blocks, options)) {
        add(names[by], name, events, bytes)
      }
      // a long stream has an event with a high version wherever it has any
      for (const { streamId, version } of yield* Sql.selectStreams(tables, blocks, options, "version", options.limit)) {
        long.set(streamId, Math.max(version, long.get(streamId) ?? 0))
      }
      keepLongest(long, options.limit * 4)
      positions += blocks.reduce((sum, block) => sum + block.to - block.after, 0)
      yield* options.report(positions, Math.min(span, options.scan))
    }
    const scale = positions === 0 ? 1 : span / positions
    const looked = sum(names.category)
    const hot = { after: Math.max(after, to - hotPositions), to }
    const hottest = span === 0 ? [] : yield* Sql.selectStreams(tables, [hot], options, "events", options.limit)
    const longest = yield* Sql.selectVersions(tables, [...long.keys()])
    const sizes = yield* Sql.selectSizes(tables)
    const days = countedOf(names.day, scale).sort((a, b) => a.name < b.name ? -1 : 1)
    const stats: Stats = {
      after,
      to,
      events: Math.round(looked * scale),
      looked,
      isSample: span > options.scan,
      categories: countedOf(names.category, scale),
      types: countedOf(names.type, scale),
      days,
      hottest: hottest.map(({ events, streamId }) => ({ streamId, events })),
      hottestOf: hot.to - hot.after,
      longest: longest.slice(0, options.limit),
      growth: growthOf(
        days,
        sizes,
        ends.newest,
        options.until === undefined ? yield* Clock.currentTimeMillis : options.until - 1
      ),
      size: { database: yield* Sql.selectDatabaseSize(tables), tables: sizes }
    }
    return stats
  })

interface Tally {
  events: number
  bytes: number
}

const add = (names: Map<string, Tally>, name: string, events: number, bytes: number): void => {
  const key = names.has(name) || names.size < mostNames ? name : "(others)"
  const tally = names.get(key) ?? { events: 0, bytes: 0 }
  tally.events += events
  tally.bytes += bytes
  names.set(key, tally)
}

const sum = (names: Map<string, Tally>): number => {
  let total = 0
  for (const { events } of names.values()) total += events
  return total
}

const countedOf = (names: Map<string, Tally>, scale: number): Array<Counted> =>
  [...names].map(([name, { bytes, events }]) => ({
    name,
    events: Math.round(events * scale),
    bytes: Math.round(bytes * scale)
  })).sort((a, b) => b.events - a.events || (a.name < b.name ? -1 : 1))

const keepLongest = (long: Map<string, number>, count: number): void => {
  if (long.size <= count) return
  const kept = [...long].sort(([, a], [, b]) => b - a).slice(0, count)
  long.clear()
  for (const [streamId, version] of kept) long.set(streamId, version)
}

/** What is looked at, in one statement each: all, or blocks that are spread evenly. */
const groupsOf = (after: number, to: number, scan: number): ReadonlyArray<ReadonlyArray<Sql.Block>> => {
  const span = to - after
  if (span <= scan) {
    return Array.from({ length: Math.max(0, Math.ceil(span / atOnce)) }, (_, i) => [
      { after: after + i * atOnce, to: Math.min(to, after + (i + 1) * atOnce) }
    ])
  }
  const count = Math.ceil(scan / together)
  const before = (i: number) => Math.floor(scan * i / count)
  // what is left out lies between them, so that none has a position of another
  const blocks = Array.from({ length: count }, (_, i): Sql.Block => {
    const begin = after + before(i) + Math.floor((span - scan) * (count === 1 ? 1 : i / (count - 1)))
    return { after: begin, to: begin + before(i + 1) - before(i) }
  })
  const perGroup = atOnce / together
  return Array.from({ length: Math.ceil(count / perGroup) }, (_, i) => blocks.slice(i * perGroup, (i + 1) * perGroup))
}

/** What a log grew by over the last week, or since it began where that is shorter. */
const growthOf = (
  days: ReadonlyArray<Counted>,
  sizes: ReadonlyArray<Sql.TableSize>,
  newest: number,
  now: number
): Stats["growth"] => {
  const first = days[0]?.name
  const today = DateTime.formatIsoDateUtc(DateTime.makeUnsafe(now))
  const weekAgo = DateTime.formatIsoDateUtc(DateTime.makeUnsafe(now - 6 * dayMillis))
  const recent = days.filter(({ name }) => name >= weekAgo && name <= today)
  const begin = first !== undefined && first > weekAgo ? first : weekAgo
  const length = Math.max(1, Math.round((Date.parse(today) - Date.parse(begin)) / dayMillis) + 1)
  const eventsPerDay = recent.reduce((total, { events }) => total + events, 0) / length
  const table = sizes.find(({ table }) => table === "events")
  const rows = Math.max(newest, table?.rows ?? 0)
  const bytesPerEvent = table === undefined || rows === 0 ? 0 : (table.bytes + table.indexBytes) / rows
  return { days: length, eventsPerDay: Math.round(eventsPerDay), bytesPerDay: Math.round(eventsPerDay * bytesPerEvent) }
}
