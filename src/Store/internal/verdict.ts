import type { ExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { StreamVersion } from "../../Stream/StreamVersion.ts"
import { AppendConditionFailed, InvalidInput, type Violation, WrongExpectedVersion } from "../StoreError.ts"

/** Tells whether a stream at a version is what a writer expects; `exists` when it has an event to read. */
export const isExpected = (expected: ExpectedVersion, version: number, exists: boolean): boolean =>
  expected === "any" ? true : expected === "no-stream" ? !exists : expected === "stream-exists" ?
    exists :
    version === expected

export const violation = (streamId: string, expected: ExpectedVersion, actual: number): Violation => ({
  streamId: streamId as StreamId,
  expected,
  actual: actual as StreamVersion
})

export const wrongExpectedVersion = (violations: ReadonlyArray<Violation>): WrongExpectedVersion =>
  new WrongExpectedVersion({ ...violations[0]!, violations: violations as [Violation, ...Array<Violation>] })

/** A change of a stream would hold the log's lock until the transaction ends. */
export const noChangeInTransaction = () =>
  new InvalidInput({
    field: "transaction",
    problem: "can hold appends and reads, but no change of a stream: make that before or after"
  })

/** Whether another writer was faster. */
export const isConflict = (error: unknown): error is WrongExpectedVersion | AppendConditionFailed =>
  error instanceof WrongExpectedVersion || error instanceof AppendConditionFailed
