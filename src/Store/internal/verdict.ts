import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import { InvalidInput, type Violation } from "../StoreError.ts"

export const violation = (streamId: string, expected: ExpectedVersion, actual: number): Violation => ({
  streamId: streamId as StreamId,
  expected,
  actual: actual as StreamVersion
})

/** A change of a stream would hold the log's lock until the transaction ends. */
export const noChangeInTransaction = () =>
  new InvalidInput({
    field: "transaction",
    problem: "can hold appends and reads, but no change of a stream: make that before or after"
  })
