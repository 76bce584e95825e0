import { Effect } from "effect"
import type { StreamId } from "../../Stream/StreamId.ts"
import type { Page, PageRange } from "../LogStorage.ts"
import type { SnapshotRange, SnapshotStorage } from "../SnapshotStorage.ts"
import { type InvalidInput, type StoreError, StreamTombstoned } from "../StoreError.ts"
import { type Statement, streamWithStaged, toStored, type Values } from "./eventsSql.ts"
import type { Execute, Query } from "./pgSubscriptions.ts"
import * as Sql from "./snapshotsSql.ts"
import { noChangeInTransaction } from "./verdict.ts"

/** How the snapshots of a log are reached. */
export interface PgSnapshotsOptions {
  readonly schema: string
  readonly log: number
  /** With the client of the application, and in its transaction where one is open. */
  readonly query: Query
  /** On a connection of the store: what saves a large state must not stand before appends. */
  readonly execute: Execute
  readonly inTransaction: Effect.Effect<boolean>
  /** How many events of a stream the transaction staged that is open, if one is. */
  readonly staged: (streamId: StreamId) => Effect.Effect<number, StoreError>
  readonly toPage: (rows: ReadonlyArray<Values>, range: PageRange) => Effect.Effect<Page, StoreError>
}

/** The snapshots of a log in a Postgres database. */
export const makePgSnapshots = (options: PgSnapshotsOptions): SnapshotStorage => {
  const { execute, inTransaction, log, query, schema, staged, toPage } = options

  /** One round trip, unless events are staged: then these are read with the others, by a statement of their own. */
  const resume = (
    operation: string,
    streamId: StreamId,
    range: SnapshotRange,
    statement: (range: SnapshotRange) => Statement,
    versionOf: (head: Sql.Head) => number
  ) =>
    Effect.gen(function*() {
      const isStaged = (yield* staged(streamId)) > 0
      const rows = yield* query(operation, statement(isStaged ? { ...range, limit: 0 } : range))
      const { events, head } = Sql.toHead(rows)
      if (head.tombstoned) return yield* new StreamTombstoned({ streamId })
      const pageRange = { ...range, direction: "forward", from: head.holds ? versionOf(head) + 1 : 1 } as const
      const page: Page = isStaged
        ? {
          events: (yield* query(operation, streamWithStaged(schema, log, streamId, pageRange))).map(toStored),
          more: false
        }
        : yield* toPage(events, pageRange)
      return { head, page }
    })

  return {
    load: (streamId, name, range) =>
      Effect.map(
        resume(
          "loadSnapshot",
          streamId,
          range,
          (range) => Sql.loadSnapshot(schema, log, streamId, name, range),
          ({ snapshot }) => snapshot!.streamVersion
        ),
        ({ head, page }) => ({
          snapshot: head.snapshot,
          isStale: head.isFound && !head.holds,
          page,
          truncatedBefore: head.truncatedBefore
        })
      ),

    resume: (streamId, mark, range) =>
      Effect.map(
        resume(
          "resume",
          streamId,
          range,
          (range) => Sql.resumeFrom(schema, log, streamId, mark, range),
          () => mark!.streamVersion
        ),
        ({ head, page }) => ({ holds: head.holds, page, truncatedBefore: head.truncatedBefore })
      ),

    save: (snapshot) =>
      Effect.flatMap(inTransaction, (isOpen) =>
        isOpen
          ? Effect.succeed(false)
          : Effect.map(
            execute("saveSnapshot", Sql.saveSnapshot(schema, log, snapshot), repeatable),
            ([row]): boolean => row![0]
          )),

    list: (filter, { after, limit }) =>
      Effect.map(
        query("snapshots", Sql.snapshotsPage(schema, log, filter, after, limit)),
        (rows) => rows.map(Sql.toInfo)
      ),

    drop: (filter) =>
      Effect.flatMap(inTransaction, (isOpen): Effect.Effect<number, InvalidInput | StoreError> =>
        isOpen
          ? Effect.fail(noChangeInTransaction())
          : Effect.map(
            execute("dropSnapshots", Sql.dropSnapshots(schema, log, filter), repeatable),
            ([row]): number => row![0]
          ))
  }
}

/** An answer that was lost can be asked for again. */
const repeatable = { repeatable: true }
