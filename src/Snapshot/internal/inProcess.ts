import { Effect } from "effect"
import type { LogStorage } from "../../Store/LogStorage.ts"
import {
  isNewer,
  matches,
  pageOf,
  type SnapshotInfo,
  type SnapshotKey,
  type SnapshotMark,
  type SnapshotStorage,
  type StoredSnapshot
} from "../../Store/SnapshotStorage.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import type * as StreamId from "../../Stream/StreamId.ts"

/** Snapshots of a log that live in the process, beside whatever storage: that says whether they hold. */
export const makeInProcess = (
  storage: LogStorage,
  capacity: number
): Pick<SnapshotStorage, "load" | "save" | "list" | "drop"> => {
  /** In the order in which they were used last. */
  const kept = new Map<string, StoredSnapshot>()
  const { resume } = storage.snapshots

  const use = (key: string): StoredSnapshot | undefined => {
    const found = kept.get(key)
    if (found !== undefined) {
      kept.delete(key)
      kept.set(key, found)
    }
    return found
  }

  const holds = (streamId: StreamId.StreamId, mark: SnapshotMark) =>
    resume(streamId, mark, { to: mark.streamVersion, limit: 1, bytes: 1 }).pipe(
      Effect.map(({ holds }) => holds),
      Effect.catchTag("StreamTombstoned", () => Effect.succeed(false))
    )

  return {
    load: (streamId, name, range) =>
      Effect.suspend(() => {
        const found = use(keyOf({ streamId, name }))
        const useful = found !== undefined && found.streamVersion <= range.to ? found : undefined
        return Effect.map(resume(streamId, useful, range), ({ holds, page, truncatedBefore }) => ({
          snapshot: holds ? useful : undefined,
          isStale: useful !== undefined && !holds,
          page,
          truncatedBefore
        }))
      }),

    save: Effect.fnUntraced(function*(snapshot) {
      if (yield* storage.inTransaction) return false
      const key = keyOf(snapshot)
      if (!(yield* holds(snapshot.streamId, snapshot))) return false
      while (true) {
        const before = kept.get(key)
        if (before !== undefined && isNewer(before, snapshot) && (yield* holds(before.streamId, before))) return false
        // somebody else saved one while the store was asked
        if (kept.get(key) === before) break
      }
      const savedAt = yield* Effect.clockWith((clock) => Effect.sync(() => clock.currentTimeMillisUnsafe()))
      kept.delete(key)
      kept.set(key, { ...snapshot, bytes: new TextEncoder().encode(snapshot.state).length, savedAt })
      if (kept.size > capacity) kept.delete(kept.keys().next().value!)
      return true
    }),

    list: (filter, { after, limit }) =>
      Effect.suspend(() =>
        Effect.forEach(
          pageOf(kept.values(), filter, { after, limit }),
          (details) => Effect.map(holds(details.streamId, details), (holds): SnapshotInfo => ({ ...details, holds })),
          { concurrency: 8 }
        )
      ),

    drop: (filter) =>
      Effect.flatMap(storage.inTransaction, (isOpen): Effect.Effect<number, InvalidInput> => {
        if (isOpen) {
          return Effect.fail(new InvalidInput({ field: "transaction", problem: "can hold no change of snapshots" }))
        }
        const found = [...kept].filter(([, snapshot]) => matches(filter, snapshot))
        for (const [key] of found) kept.delete(key)
        return Effect.succeed(found.length)
      })
  }
}

const keyOf = ({ name, streamId }: SnapshotKey): string => `${streamId}\0${name}`
