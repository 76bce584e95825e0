import { Result, Schema } from "effect"
import { createHash } from "node:crypto"

const Sha256 = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "a SHA-256 in lower-case hexadecimals" })
)

/** What proves the content of a file: of its lines, and of the bytes on the disk. */
const Content = {
  bytes: Schema.Natural,
  sha256: Sha256,
  compressedBytes: Schema.Natural,
  compressedSha256: Sha256
}

export const EventsFile = Schema.Struct({
  name: Schema.String.check(Schema.isPattern(/^events-\d{5,}\.jsonl\.gz$/)),
  events: Schema.Natural,
  firstPosition: Schema.Natural,
  lastPosition: Schema.Natural,
  ...Content
})

export type EventsFile = typeof EventsFile.Type

export const StreamsFile = Schema.Struct({
  name: Schema.Literal("streams.jsonl.gz"),
  streams: Schema.Natural,
  ...Content
})

export type StreamsFile = typeof StreamsFile.Type

const format = "effect-eventstore archive"

const version = 1

/** The fields in the order in which they are written. */
export const Manifest = Schema.Struct({
  format: Schema.Literal(format),
  version: Schema.Literal(version),
  filter: Schema.Struct({
    categories: Schema.NullOr(Schema.Array(Schema.String)),
    recordedFrom: Schema.NullOr(Schema.String),
    recordedUntil: Schema.NullOr(Schema.String),
    visibleOnly: Schema.Boolean
  }),
  isWhole: Schema.Boolean,
  head: Schema.NullOr(Schema.Natural),
  events: Schema.Natural,
  firstPosition: Schema.NullOr(Schema.Natural),
  lastPosition: Schema.NullOr(Schema.Natural),
  eventsFiles: Schema.Array(EventsFile),
  streamsFile: StreamsFile
})

export type Manifest = typeof Manifest.Type

export const make = (fields: Omit<Manifest, "format" | "version">): Manifest => ({ format, version, ...fields })

export const fileName = "manifest.json"

export const eventsFileName = (index: number): string => `events-${String(index + 1).padStart(5, "0")}.jsonl.gz`

export const streamsFileName = "streams.jsonl.gz"

/** The text of the file: the fields, and last the checksum of these as JSON without white space. */
export const encode = (manifest: Manifest): string =>
  `${JSON.stringify({ ...manifest, sha256: checksum(manifest) }, null, 2)}\n`

/** The manifest of a text, or what is wrong with it; `isForeign` says that it is none at all. */
export const decode = (
  text: string
): Result.Result<Manifest, { readonly problem: string; readonly isForeign: boolean }> => {
  const foreign = (problem: string) => Result.fail({ problem, isForeign: true })
  let parsed: any
  try {
    parsed = JSON.parse(text)
  } catch {
    return foreign(`${fileName} is not JSON`)
  }
  if (parsed?.format !== format) return foreign(`${fileName} does not name the format "${format}"`)
  if (parsed.version !== version) {
    return foreign(
      `it has version ${JSON.stringify(parsed.version)} of the format, and this program reads version ${version}`
    )
  }
  const damaged = (problem: string) => Result.fail({ problem, isForeign: false })
  const { sha256, ...fields } = parsed
  if (sha256 !== checksum(fields)) return damaged("does not have the checksum that it was written with")
  const manifest = decodeFields(fields)
  if (Result.isFailure(manifest)) return damaged(`is not a manifest: ${manifest.failure}`)
  const problem = problemOf(manifest.success)
  return problem === undefined ? manifest as Result.Result<Manifest, never> : damaged(problem)
}

const checksum = (fields: object): string => createHash("sha256").update(JSON.stringify(fields)).digest("hex")

const decodeFields = (fields: unknown) =>
  Result.mapError(
    Schema.decodeUnknownResult(Manifest)(fields),
    (error) => error.message.replaceAll(/\s+/g, " ")
  )

/** Whether the parts fit together. */
const problemOf = ({ events, eventsFiles, firstPosition, isWhole, lastPosition }: Manifest): string | undefined => {
  let last = 0
  let count = 0
  for (const [i, file] of eventsFiles.entries()) {
    if (file.name !== eventsFileName(i)) return `names ${file.name} in the place of ${eventsFileName(i)}`
    if (file.firstPosition <= last || file.lastPosition < file.firstPosition) {
      return `has ${file.name} from position ${file.firstPosition} to ${file.lastPosition}, after position ${last}`
    }
    last = file.lastPosition
    count += file.events
  }
  if (count !== events) return `tells of ${events} events, and of ${count} in the files`
  if (firstPosition !== (eventsFiles[0]?.firstPosition ?? null) || lastPosition !== (count === 0 ? null : last)) {
    return `is not from the first to the last position of its files`
  }
  return isWhole && count > 0 && last - firstPosition! + 1 !== count
    ? `says that the log is whole, but ${count} events do not fill positions ${firstPosition} to ${last}`
    : undefined
}
