import { Option } from "effect"
import { Flag } from "effect/cli"
import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"

/** The flag of commands that write to a stream: what it has to be. */
export const expected = Flag.String("expected").pipe(
  Flag.withMetavar("<any|no-stream|stream-exists|version>"),
  Flag.withDescription("Only where the stream is so; else nothing is written"),
  Flag.filterMap(
    (text) => Option.fromNullishOr(expectedOf(text)),
    () => "Expected any, no-stream, stream-exists, or a version from 0"
  ),
  Flag.withDefault<ExpectedVersion>("any")
)

const expectedOf = (text: string): ExpectedVersion | undefined => {
  if (text === "any" || text === "no-stream" || text === "stream-exists") return text
  return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}
