/**
 * Which streams this process deleted, truncated or ended, for those that keep states of streams and do not ask before each use.
 *
 * @since 0.1.0
 */
import type { LogStorage } from "./LogStorage.ts"

/**
 * The changes of streams that went through one storage, numbered from 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamChanges {
  /** How many there were. */
  readonly count: () => number
  /**
   * The last one of a stream, 0 for none. A stream that was not changed for long may be answered a later number: only the
   * last 10,000 streams are remembered one by one.
   */
  readonly last: (streamId: string) => number
  /** Notes a change that was made, or may have been. */
  readonly add: (streamId: string) => void
}

/**
 * The changes that go through a storage.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (storage: LogStorage): StreamChanges => {
  let changes = all.get(storage)
  if (changes === undefined) all.set(storage, changes = make())
  return changes
}

const all = new WeakMap<LogStorage, StreamChanges>()

const remembered = 10_000

const make = (): StreamChanges => {
  let count = 0
  /** Of all streams that are not remembered any more. */
  let forgotten = 0
  const last = new Map<string, number>()
  return {
    count: () => count,
    last: (streamId) => last.get(streamId) ?? forgotten,
    add: (streamId) => {
      last.delete(streamId)
      last.set(streamId, ++count)
      if (last.size <= remembered) return
      const [oldest, number] = last.entries().next().value!
      last.delete(oldest)
      forgotten = number
    }
  }
}
