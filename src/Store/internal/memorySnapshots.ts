import { Effect, Exit } from "effect"
import type * as StreamId from "../../Stream/StreamId.ts"
import type { Page } from "../LogStorage.ts"
import {
  isNewer,
  matches,
  pageOf,
  type SnapshotInfo,
  type SnapshotMark,
  type SnapshotRange,
  type SnapshotStorage,
  type StoredSnapshot
} from "../SnapshotStorage.ts"
import { StreamTombstoned } from "../StoreError.ts"
import { noChangeInTransaction } from "./verdict.ts"

/** What snapshots ask of the log in memory. */
export interface MemorySnapshotsOptions {
  readonly stream: (streamId: string) => { readonly truncatedBefore: number; readonly tombstoned: boolean }
  /** The event at a version of a stream, also a hidden one. */
  readonly eventAt: (
    streamId: string,
    version: number
  ) => { readonly eventId: string; readonly position: number } | undefined
  /** Events from a version on, forward, with those that the transaction staged. */
  readonly pageFrom: (streamId: string, from: number, range: SnapshotRange) => Effect.Effect<Page>
  readonly inTransaction: Effect.Effect<boolean>
}

/** The snapshots of a log in memory. */
export const makeMemorySnapshots = (
  { eventAt, inTransaction, pageFrom, stream }: MemorySnapshotsOptions
): SnapshotStorage => {
  const kept = new Map<string, StoredSnapshot>()

  const holds = (streamId: string, mark: SnapshotMark): boolean => {
    const { tombstoned, truncatedBefore } = stream(streamId)
    const event = eventAt(streamId, mark.streamVersion)
    return !tombstoned && hidesSame(truncatedBefore, mark.truncatedBefore) && event?.eventId === mark.eventId &&
      event.position === mark.position
  }

  /** The mark if it is of use, and what comes behind it. */
  const resume = <M extends SnapshotMark>(streamId: StreamId.StreamId, mark: M | undefined, range: SnapshotRange) =>
    Effect.suspend(() => {
      const { tombstoned, truncatedBefore } = stream(streamId)
      if (tombstoned) return Effect.fail(new StreamTombstoned({ streamId }))
      const held = mark !== undefined && holds(streamId, mark) ? mark : undefined
      const from = held === undefined ? 1 : held.streamVersion + 1
      return Effect.map(pageFrom(streamId, from, range), (page) => ({ held, page, truncatedBefore }))
    })

  return {
    load: (streamId, name, range) =>
      Effect.suspend(() => {
        const found = kept.get(keyOf(streamId, name))
        const useful = found !== undefined && found.streamVersion <= range.to ? found : undefined
        return Effect.map(resume(streamId, useful, range), ({ held, ...loaded }) => ({
          ...loaded,
          snapshot: held,
          isStale: useful !== undefined && held === undefined
        }))
      }),

    resume: (streamId, mark, range) =>
      Effect.map(resume(streamId, mark, range), ({ held, ...resumed }) => ({ ...resumed, holds: held !== undefined })),

    save: (snapshot) =>
      Effect.flatMap(inTransaction, (isOpen) =>
        Effect.clockWith((clock) => {
          const key = keyOf(snapshot.streamId, snapshot.name)
          const before = kept.get(key)
          const isKept = before !== undefined && isNewer(before, snapshot) && holds(before.streamId, before)
          if (isOpen || isKept || !holds(snapshot.streamId, snapshot)) return Exit.succeed(false)
          kept.set(key, {
            ...snapshot,
            bytes: encoder.encode(snapshot.state).length,
            savedAt: clock.currentTimeMillisUnsafe()
          })
          return Exit.succeed(true)
        })),

    list: (filter, { after, limit }) =>
      Effect.sync(() =>
        pageOf(kept.values(), filter, { after, limit }).map((details): SnapshotInfo => ({
          ...details,
          holds: holds(details.streamId, details)
        }))
      ),

    drop: (filter) =>
      Effect.flatMap(inTransaction, (isOpen) => {
        if (isOpen) return Exit.fail(noChangeInTransaction())
        const found = [...kept].filter(([, snapshot]) => matches(filter, snapshot))
        for (const [key] of found) kept.delete(key)
        return Exit.succeed(found.length)
      })
  }
}

const encoder = new TextEncoder()

const keyOf = (streamId: string, name: string): string => `${streamId}\0${name}`

/** Events below 0 and below 1 are none. */
const hidesSame = (a: number, b: number): boolean => Math.max(a, 1) === Math.max(b, 1)
