/** Readers as a user writes them who has no subscriptions: each reads on from its last position, again and again. */
import type { PgClient } from "@effect/sql-pg"
import { Effect, Queue, Stream } from "effect"
import type { RawEvent, Recorded } from "effect-eventstore"
import type { Place, Store } from "./arena.ts"
import { category, type Part, stream, tag } from "./readerParts.ts"
import { Cart } from "./shop.ts"

/**
 * - `"read"`: with the store, 100 ms after it was done the last time
 * - `"select"`: the same with a bare SELECT
 * - `"woken"`: a bare SELECT as soon as something was appended; one connection listens for all
 */
export type Polling = "read" | "select" | "woken"

/** What a reader does once: it takes note of what is new after a place, and says from where to go on. */
type Look = (after: number) => Effect.Effect<number, unknown>

type Note = (event: unknown) => void

const reading = (store: Store, part: Part, reader: number, note: Note): Look => {
  const look = (read: (from: number) => Stream.Stream<Recorded.Recorded<unknown>, unknown>): Look => (after) =>
    Stream.runFold(read(after + 1), () => after, (_, recorded) => {
      note(part === "all" ? (recorded.event as RawEvent.RawEvent).data : recorded.event)
      return part === "stream" ? recorded.streamVersion : recorded.position
    })
  switch (part) {
    case "category":
      return look((from) => store.readCategory(category(reader), { from }))
    case "stream":
      return look((from) => store.read(stream(reader), { from }))
    case "tag":
      return look((from) => store.readCategory(Cart, { from, tags: [tag(reader)] }))
    case "all":
      return look((from) => store.readAll({ from }))
  }
}

const selecting = (sql: PgClient.PgClient, part: Part, reader: number, note: Note): Look => {
  const order = part === "stream" ? "stream_version" : "position"
  const [where, ...values] = {
    category: [" AND split_part(stream_id, '-', 1) = $2", category(reader).name] as const,
    stream: [" AND stream_id = $2", stream(reader).streamId] as const,
    tag: [" AND tags @> $2::text[]", [tag(reader)]] as const,
    all: [""] as const
  }[part]
  const statement =
    `SELECT position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
    FROM eventstore.events
    WHERE log_id = 1 AND ${order} > $1${where}
    ORDER BY ${order}
    LIMIT 1000`
  return (after) =>
    Effect.map(
      sql.unsafe<{ readonly position: bigint; readonly stream_version: bigint; readonly data: unknown }>(
        statement,
        [BigInt(after), ...values]
      ),
      (rows) => {
        for (const { data } of rows) note(data)
        const last = rows[rows.length - 1]
        return last === undefined ? after : Number(last[order])
      }
    )
}

/** Something was appended: counts how often, and wakes who waits for it. */
class Bell {
  private rung = 0
  private sleepers: Array<() => void> = []

  readonly count = () => this.rung

  readonly ring = () => {
    this.rung++
    const sleepers = this.sleepers
    this.sleepers = []
    for (const wake of sleepers) wake()
  }

  /** Waits until it was rung more often than that. */
  readonly after = (count: number): Effect.Effect<void> =>
    Effect.callback((resume) => {
      if (this.rung > count) resume(Effect.void)
      else this.sleepers.push(() => resume(Effect.void))
    })
}

/** How to start readers; each has looked at the end of its part when it is established. */
export const makePolling = Effect.fnUntraced(function*({ sql, store }: Place, part: Part, polling: Polling) {
  const bell = new Bell()
  if (polling === "woken") {
    const notifications = yield* sql.listen("eventstore_1")
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(Queue.take(notifications), Effect.sync(bell.ring)))
    )
  }
  const pause = (rung: number) => polling === "woken" ? bell.after(rung) : Effect.sleep("100 millis")
  return Effect.fnUntraced(function*(reader: number, note: Note) {
    const look = polling === "read" ? reading(store, part, reader, note) : selecting(sql, part, reader, note)
    const follow = (after: number): Effect.Effect<never, unknown> =>
      Effect.suspend(() => {
        const rung = bell.count()
        return Effect.flatMap(look(after), (next) => Effect.flatMap(pause(rung), () => follow(next)))
      })
    const end = yield* part === "stream" ? store.head(stream(reader)) : store.head()
    yield* Effect.forkScoped(follow(end))
  })
})
