/**
 * message-db, installed from its own SQL files and read through its own functions, by the client that our store uses.
 * It lies in this folder to see this folder's dependencies.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Fiber, Layer, Redacted } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"

/** A message with its data and metadata parsed, as a consumer wants it. */
export interface Message {
  readonly id: string
  readonly streamName: string
  readonly type: string
  readonly position: number
  readonly globalPosition: number
  readonly data: unknown
  readonly metadata: unknown
  readonly time: Date
}

/** What is written: the data as JSON text. */
export interface TextEvent {
  readonly type: string
  readonly data: string
}

/** How a consumer reads. */
export interface Polling {
  readonly category: string
  /** Messages a call; 1,000 is the default of message-db as well as of Eventide's consumers. */
  readonly batchSize: number
  /** Asks for the next batch before it hands out this one, as Eventide's consumers do. */
  readonly ahead: boolean
}

type Sql = PgClient.PgClient

const database = join(import.meta.dirname, "node_modules", "@eventide", "message-db", "database")

/** In the order of `install.sh`, without roles and views; `pgcrypto` gives what Postgres has had of its own since 13. */
const files = [
  "schema/message-store",
  "tables/messages",
  "types/message",
  ...["message-store-version", "hash-64", "acquire-lock", "category", "is-category", "id", "cardinal-id"].map(
    (name) => `functions/${name}`
  ),
  ...["stream-version", "write-message", "get-stream-messages", "get-category-messages"].map(
    (name) => `functions/${name}`
  ),
  ...["messages-id", "messages-stream", "messages-category"].map((name) => `indexes/${name}`)
]

/** Statements end at semicolons, but not at those between `$$`. */
const statementsOf = (text: string): ReadonlyArray<string> =>
  (text.match(/(?:\$\$[^]*?\$\$|[^;])+/g) ?? []).filter((statement) => statement.trim() !== "")

/** A client of a database with message-db in it. */
export const connect = (url: string) =>
  Effect.map(
    Layer.build(
      PgClient.layer({ url: Redacted.make(url), startupParameters: { search_path: "message_store, public" } })
    ),
    (context) => Context.get(context, PgClient.PgClient)
  )

/** Installs message-db in an empty database. */
export const make = Effect.fnUntraced(function*(url: string) {
  const sql = yield* connect(url)
  for (const file of files) {
    for (const statement of statementsOf(readFileSync(join(database, `${file}.sql`), "utf8"))) {
      yield* sql.unsafe(statement)
    }
  }
  return sql
})

/** Messages of streams of ten, written past message-db's function and its lock: only to have something to read. */
export const fill = (sql: Sql, category: string, events: (i: number) => TextEvent, count: number) =>
  Effect.forEach(Array.from({ length: Math.ceil(count / 10_000) }, (_, n) => n * 10_000), (first) => {
    const indexes = Array.from({ length: Math.min(10_000, count - first) }, (_, n) => first + n)
    return sql.unsafe(
      `INSERT INTO messages (stream_name, position, type, data)
      SELECT n.stream, n.position, n.type, n.data::jsonb
      FROM unnest($1::text[], $2::int4[], $3::text[], $4::text[]) AS n(stream, position, type, data)`,
      [
        indexes.map((i) => `${category}-fill-${Math.floor(i / 10)}`),
        indexes.map((i) => i % 10),
        indexes.map((i) => events(i).type),
        indexes.map((i) => events(i).data)
      ]
    )
  }, { discard: true })

/** Writes messages to a stream, in one statement. */
export const write = (sql: Sql, stream: string, events: ReadonlyArray<TextEvent>) =>
  sql.unsafe(
    `SELECT write_message(gen_random_uuid()::varchar, $1, n.type::varchar, n.data::jsonb)
    FROM unnest($2::text[], $3::text[]) AS n(type, data)`,
    [stream, events.map(({ type }) => type), events.map(({ data }) => data)]
  ).values

/** Position of the last message. */
export const head = (sql: Sql) =>
  Effect.map(
    sql.unsafe<{ readonly last: bigint }>("SELECT COALESCE(max(global_position), 0) AS last FROM messages"),
    (rows) => Number(rows[0]!.last)
  )

const get = (sql: Sql, { batchSize, category }: Polling, after: number) =>
  sql.unsafe(
    `SELECT id, stream_name, type, position, global_position, data, metadata, time
    FROM get_category_messages($1, $2, $3)`,
    [category, BigInt(after + 1), BigInt(batchSize)]
  ).values as Effect.Effect<ReadonlyArray<ReadonlyArray<any>>, unknown>

const parse = (row: ReadonlyArray<any>): Message => ({
  id: row[0],
  streamName: row[1],
  type: row[2],
  position: Number(row[3]),
  globalPosition: Number(row[4]),
  data: JSON.parse(row[5]),
  metadata: row[6] === null ? undefined : JSON.parse(row[6]),
  time: row[7]
})

const lastOf = (rows: ReadonlyArray<ReadonlyArray<any>>, before: number): number =>
  rows.length === 0 ? before : Number(rows[rows.length - 1]![4])

/** Reads a category to its end; says how many messages there were. */
export const drain = Effect.fnUntraced(function*(sql: Sql, polling: Polling) {
  let count = 0
  let rows = yield* get(sql, polling, 0)
  while (rows.length > 0) {
    const after = lastOf(rows, 0)
    if (polling.ahead) {
      const next = yield* Effect.forkChild(get(sql, polling, after), { startImmediately: true })
      count += rows.map(parse).length
      rows = yield* Fiber.join(next)
    } else {
      count += rows.map(parse).length
      rows = yield* get(sql, polling, after)
    }
  }
  return count
})

/**
 * Reads what comes after a position, for ever: at once again where there was something, else after the interval, which is
 * counted from the last call on, as Eventide's poll does.
 */
export const poll = Effect.fnUntraced(function*(
  sql: Sql,
  polling: Polling,
  start: number,
  intervalMillis: number,
  onMessages: (messages: ReadonlyArray<Message>) => void
): Effect.fn.Return<never, unknown> {
  let after = start
  while (true) {
    const called = performance.now()
    const rows = yield* get(sql, polling, after)
    if (rows.length > 0) {
      after = lastOf(rows, after)
      onMessages(rows.map(parse))
    } else {
      yield* Effect.sleep(Math.max(0, intervalMillis - (performance.now() - called)))
    }
  }
})
