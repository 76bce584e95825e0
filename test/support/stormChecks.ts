/** What has to be true after a storm. */
import type { PgClient } from "@effect/sql-pg"
import { Effect, Option, Stream } from "effect"
import { EventStore, PersistentSubscription, type Recorded } from "effect-eventstore"
import type { Store } from "./Notes.ts"
import { attempts, type Kind, Outcome, subscription, Work, type worked } from "./storm.ts"

interface Handling {
  readonly stream: string
  readonly version: number
  readonly position: number
  readonly kind: Kind
  readonly attempt: number
  readonly lease: number
  readonly process: number
  readonly before: string
  readonly begun: number
  readonly isBegunValid: boolean
  /** When it was known to have its lease for the last time. */
  readonly validUntil: number | null
  readonly isFinished: boolean
}

type Work = Recorded.Recorded<ReturnType<typeof worked>>

export interface Findings {
  readonly violations: ReadonlyArray<string>
  readonly counts: Readonly<Record<"events" | "deliveries" | "repeats" | "parked" | "effects" | "zombies", number>>
}

/** Looks at everything that was left: the log, the queue, and the notes of the handlers. */
export const check = (
  sql: PgClient.PgClient,
  store: Store,
  acknowledged: ReadonlySet<string>,
  refused: ReadonlySet<string>
): Effect.Effect<Findings, unknown> =>
  Effect.gen(function*() {
    const violations: Array<string> = []
    const events = yield* Stream.runCollect(store.readCategory(Work))
    const outcomes = yield* Stream.runCollect(store.readCategory(Outcome))
    const parked = yield* Stream.runCollect(PersistentSubscription.parked(subscription))
    const handlings = yield* handlingsOf(sql)
    const effects = yield* sql<{ stream: string; version: number }>`
      SELECT stream_id AS stream, version::float8 AS version FROM storm.effects ORDER BY id`

    const ids = new Set(events.map(({ event }) => event.id))
    report(violations, "acknowledged events are not in the log", [...acknowledged].filter((id) => !ids.has(id)))
    report(
      violations,
      "events are in the log that were said not to be stored",
      [...refused].filter((id) => ids.has(id))
    )
    if (ids.size !== events.length) violations.push(`${events.length - ids.size} events are in the log twice`)

    const isParked = new Set(parked.map(({ position }) => position as number))
    const isFinished = new Set(handlings.flatMap(({ isFinished, position }) => isFinished ? [position] : []))
    report(
      violations,
      "events were neither finished nor parked",
      events.filter(({ position }) => !isFinished.has(position) && !isParked.has(position)).map(nameOf)
    )
    const failing = (kind: Kind) => kind === "fail" || kind === "park" || kind === "poison"
    report(
      violations,
      "events should have been parked and are not, or the other way round",
      events.filter(({ event: { kind }, position }) => isParked.has(position) !== failing(kind)).map((event) => {
        const reason = parked.find(({ position }) => position === event.position)?.reason
        return `${nameOf(event)}${reason === undefined ? "" : ` (${reason})`}`
      })
    )
    report(violations, "parked events have not kept why", parked.flatMap(whyNot))

    report(
      violations,
      "handlings began before the event before them was finished",
      handlings.filter(({ before }) => before === "open").map(describe)
    )
    report(violations, "handlings of one key overlapped within valid leases", overlapsOf(handlings))

    const expected = events.filter(({ event: { kind } }) => kind === "effect" || kind === "freeze")
    const inOrder = (said: ReadonlyArray<readonly [string, number]>) => {
      const byStream = new Map<string, Array<number>>()
      for (const [stream, version] of said) byStream.set(stream, [...byStream.get(stream) ?? [], version])
      return byStream
    }
    const wanted = inOrder(expected.map(({ streamId, streamVersion }) => [streamId, streamVersion]))
    const rows = inOrder(effects.map(({ stream, version }) => [stream, version]))
    const appended = inOrder(
      outcomes.map(({ event, streamId }) => [streamId.replace("outcome", "work"), event.version])
    )
    for (const [what, found] of [["rows", rows], ["outcomes", appended]] as const) {
      const streams = new Set([...wanted.keys(), ...found.keys()])
      report(
        violations,
        `streams have other ${what} of transactions than they should have, once and in order`,
        [...streams].filter((stream) => String(wanted.get(stream)) !== String(found.get(stream))).map((stream) =>
          `${stream}: ${differenceOf(wanted.get(stream) ?? [], found.get(stream) ?? [])}`
        )
      )
    }
    return {
      violations,
      counts: {
        events: events.length,
        deliveries: handlings.length,
        repeats: handlings.length - new Set(handlings.map(({ position }) => position)).size,
        parked: parked.length,
        effects: effects.length,
        zombies: handlings.filter(({ isBegunValid }) => !isBegunValid).length
      }
    }
  }).pipe(Effect.provideService(EventStore, store))

const report = (violations: Array<string>, what: string, which: ReadonlyArray<string>) => {
  if (which.length > 0) violations.push(`${which.length} ${what}: ${which.slice(0, 5).join("; ")}`)
}

const nameOf = ({ event: { kind }, position, streamId, streamVersion }: Work) =>
  `${kind} ${streamId}@${streamVersion} at ${position}`

const describe = ({ attempt, kind, lease, position, process, stream, version }: Handling) =>
  `${kind} ${stream}@${version} at ${position}, attempt ${attempt}, lease ${lease}, process ${process}`

const whyNot = ({ attempts: begun, error, position, reason, recorded }: PersistentSubscription.Parked) => {
  const kind = Option.getOrThrow(recorded).event.data as { readonly kind: Kind }
  const isRight = kind.kind === "park"
    ? reason === "set aside by its handler"
    : kind.kind === "poison"
    ? begun === attempts && /^it was begun \d+ times without an answer$/.test(reason)
    : begun === attempts && error === "it always fails"
  return isRight ? [] : [`${kind.kind} at ${position}: ${reason}, ${error}, after ${begun}`]
}

const handlingsOf = (sql: PgClient.PgClient) =>
  sql<Handling>`
    SELECT h.stream_id AS stream, h.version::float8 AS version, h.position::float8 AS position, h.kind, h.attempt,
      h.lease::float8 AS lease, h.process, h.before, extract(epoch FROM h.begun_at)::float8 AS begun,
      h.begun_valid AS "isBegunValid",
      extract(epoch FROM CASE WHEN e.at IS NOT NULL THEN e.at WHEN h.ended_valid THEN h.ended_at ELSE h.begun_at END
        )::float8 AS "validUntil",
      h.ended_at IS NOT NULL OR e.at IS NOT NULL AS "isFinished"
    FROM storm.handlings h LEFT JOIN storm.effects e ON e.token = h.token
    ORDER BY h.stream_id, h.begun_at`

/** A lease that is valid at two times was valid between them, as one that ran out is not given again. */
const overlapsOf = (handlings: ReadonlyArray<Handling>): ReadonlyArray<string> => {
  const overlaps: Array<string> = []
  let last: Handling | undefined
  for (const handling of handlings) {
    if (!handling.isBegunValid) continue
    if (last?.stream !== handling.stream) last = undefined
    if (last !== undefined && handling.begun < last.validUntil!) {
      overlaps.push(`${describe(handling)} began in the time of ${describe(last)}`)
    }
    if (last === undefined || handling.validUntil! > last.validUntil!) last = handling
  }
  return overlaps
}

const differenceOf = (wanted: ReadonlyArray<number>, found: ReadonlyArray<number>) => {
  const i = wanted.findIndex((version, i) => found[i] !== version)
  const at = i < 0 ? wanted.length : i
  return `${found.length} instead of ${wanted.length}, from place ${at} on ${found.slice(at, at + 3)} instead of ${
    wanted.slice(at, at + 3)
  }`
}
