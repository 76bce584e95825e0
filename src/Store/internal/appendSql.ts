import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { AppendCommand, AppendEntry, NewEvent, StreamChange } from "../LogStorage.ts"
import type { Statement, Values } from "./eventsSql.ts"

const words: Record<string, number> = { "any": -1, "no-stream": -2, "stream-exists": -3 }

/** The number that stands for an expected version in the functions of the schema. */
export const expectedNumber = (expected: ExpectedVersion): number =>
  typeof expected === "number" ? expected : words[expected]!

/** The expected version that a number of the schema stands for. */
export const expectedFromNumber = (value: number): ExpectedVersion =>
  value === -1 ? "any" : value === -2 ? "no-stream" : value === -3 ? "stream-exists" : value

/** One call of append_events: all commands as arrays, so that the statement is one plan whatever their number. */
export const appendEvents = (
  schema: string,
  log: number,
  commands: ReadonlyArray<AppendCommand>,
  options: { readonly stage: boolean; readonly repeatable: boolean }
): Statement => {
  const streams = new Map<string, number>()
  const command: Array<number> = []
  const stream: Array<number> = []
  const expected: Array<string> = []
  const count: Array<number> = []
  const conditions: Array<string | null> = []
  const entry: Array<number> = []
  const ids: Array<string> = []
  const types: Array<string> = []
  const versions: Array<number> = []
  const data: Array<string> = []
  const metadata: Array<string | null> = []
  const tags: Array<string | null> = []
  let hasCondition = false
  let hasMetadata = false
  let hasTags = false
  for (let i = 0; i < commands.length; i++) {
    const { condition, entries } = commands[i]!
    conditions.push(condition === undefined ? null : JSON.stringify(condition))
    hasCondition ||= condition !== undefined
    for (const { events, expected: expectedVersion, streamId } of entries) {
      let index = streams.get(streamId)
      if (index === undefined) {
        index = streams.size + 1
        streams.set(streamId, index)
      }
      command.push(i + 1)
      stream.push(index)
      expected.push(String(expectedNumber(expectedVersion)))
      count.push(events.length)
      for (const event of events) {
        entry.push(command.length)
        ids.push(event.eventId)
        types.push(event.type)
        versions.push(event.schemaVersion)
        data.push(event.data)
        metadata.push(event.metadata)
        tags.push(event.tags === null ? null : arrayLiteral(event.tags))
        hasMetadata ||= event.metadata !== null
        hasTags ||= event.tags !== null
      }
    }
  }
  return {
    text: `
      SELECT verdict, entry_version::float8, entry_position::float8
      FROM ${schema}.append_events(
        $1::int4, $2::bool, $3::bool, $4::text[], $5::int4[], $6::int4[], $7::text[]::int8[], $8::int4[],
        $9::text[]::json[], $10::int4[], $11::text[]::uuid[], $12::text[], $13::int4[]::int2[], $14::text[],
        $15::text[], $16::text[]
      )`,
    params: [
      log,
      options.stage,
      options.repeatable,
      [...streams.keys()],
      command,
      stream,
      expected,
      count,
      hasCondition ? conditions : null,
      entry,
      ids,
      types,
      versions,
      data,
      hasMetadata ? metadata : null,
      hasTags ? tags : null
    ]
  }
}

/** One event to one stream, without the arrays of a batch: what a lone caller sends. Answers as {@link appendEvents}. */
export const appendEvent = (
  schema: string,
  log: number,
  { expected, streamId }: AppendEntry,
  event: NewEvent
): Statement => ({
  text: `
      SELECT ${schema}.append_event(
        $1::int4, $2::text, $3::int8, $4::uuid, $5::text, $6::int2, $7::json, $8::json, $9::text[]
      )::float8[]`,
  params: [
    log,
    streamId,
    BigInt(expectedNumber(expected)),
    event.eventId,
    event.type,
    event.schemaVersion,
    event.data,
    event.metadata,
    event.tags
  ]
})

/** The row of {@link appendEvent} as those of {@link appendEvents}. */
export const toVerdicts = (rows: ReadonlyArray<Values>): ReadonlyArray<Values> => rows.map((row) => row[0])

/** A text array as Postgres writes one: arrays of arrays need equal lengths, so tags travel as texts. */
const arrayLiteral = (texts: ReadonlyArray<string>): string =>
  `{${texts.map((text) => `"${text.replace(/["\\]/g, "\\$&")}"`).join(",")}}`

/** A change of a stream that is not an event. */
export const changeStream = (
  schema: string,
  log: number,
  streamId: string,
  change: StreamChange,
  expected: ExpectedVersion
): Statement => ({
  text: `
      SELECT verdict, actual::float8
      FROM ${schema}.change_stream($1::int4, $2::text, $3::int8, $4::text, $5::int8, $6::json)`,
  params: [
    log,
    streamId,
    BigInt(expectedNumber(expected)),
    change._tag,
    change._tag === "TruncateBefore" ? BigInt(change.version) : null,
    change._tag === "SetMetadata" ? change.metadata : null
  ]
})
