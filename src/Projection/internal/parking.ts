import type { Cause } from "effect"
import type { NewParkedEvent, OwnedPartition, PartitionsClaimed } from "../../Store/ProjectionStorage.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Definition } from "./definition.ts"
import { partitionOf } from "./partition.ts"
import type { Item } from "./reader.ts"

/** What is parked of a partition. Only its owner parks, so what the storage said when it became that stays true. */
export class Parking {
  private readonly keysOf: Definition["keysOf"]
  private readonly isMine: (key: string) => boolean
  private readonly parked: Set<string>
  /** Keys to be handled again; the first one is next. */
  private readonly replays: Array<string>

  constructor(
    { keysOf }: Definition,
    { of, partition }: OwnedPartition,
    known: Pick<PartitionsClaimed, "parkedKeys" | "replays">
  ) {
    this.keysOf = keysOf
    this.isMine = of === 1 ? () => true : (key) => partitionOf(key, of) === partition
    this.parked = new Set(known.parkedKeys.filter(this.isMine))
    this.replays = known.replays.filter(this.isMine)
  }

  /** Whether what a key stands for may change: it is of this partition, and does not wait. */
  readonly owns = (key: string): boolean => !this.parked.has(key) && this.isMine(key)

  isParked(key: string): boolean {
    return this.parked.has(key)
  }

  /** Parts events into what can be applied, and what waits behind something that is parked. An event may be both. */
  sort(items: ReadonlyArray<Item>): {
    readonly applied: ReadonlyArray<Recorded<any>>
    readonly behind: ReadonlyArray<NewParkedEvent>
  } {
    const applied: Array<Recorded<any>> = []
    if (this.parked.size === 0) {
      for (const { parts } of items) {
        for (const part of parts) applied.push(part)
      }
      return { applied, behind: none }
    }
    const behind: Array<NewParkedEvent> = []
    for (const item of items) {
      const waiting = new Set<string>()
      for (const part of item.parts) {
        const keys = this.keys(part)
        if (keys.some(this.owns)) applied.push(part)
        for (const key of keys) if (this.parked.has(key)) waiting.add(key)
      }
      const { position, streamId } = item.stored
      if (item.failure !== undefined && this.parked.has(streamId)) waiting.add(streamId)
      for (const key of waiting) behind.push({ key, position, attempts: 0, error: null })
    }
    return { applied, behind }
  }

  /** Why the first of some events cannot be read, unless it only waits behind something that is parked. Such a one comes alone. */
  failureOf([first]: ReadonlyArray<Item>): Cause.Cause<unknown> | undefined {
    return first?.failure === undefined || this.parked.has(first.stored.streamId) ? undefined : first.failure
  }

  /** What is parked with an event that cannot be handled, and under which keys it is: to be handed to {@link park} when it is stored. */
  aside(item: Item, { attempts, error }: Pick<NewParkedEvent, "attempts" | "error">): {
    readonly keys: ReadonlyArray<string>
    readonly events: ReadonlyArray<NewParkedEvent>
  } {
    const keys = this.keysOfItem(item)
    const { position } = item.stored
    return { keys, events: [...this.sort([item]).behind, ...keys.map((key) => ({ key, position, attempts, error }))] }
  }

  /** Under which keys an event is parked that cannot be handled: its stream where they cannot be told. */
  keysOfItem({ parts, stored: { streamId } }: Item): ReadonlyArray<string> {
    const keys = new Set<string>()
    for (const part of parts) {
      for (const key of this.keys(part)) if (this.owns(key)) keys.add(key)
    }
    return keys.size === 0 ? [streamId] : [...keys]
  }

  /** The keys of an event. */
  keys(part: Recorded<any>): ReadonlyArray<string> {
    if (this.keysOf === undefined) return [part.streamId]
    try {
      return this.keysOf(part)
    } catch {
      return [part.streamId]
    }
  }

  park(keys: ReadonlyArray<string>): void {
    for (const key of keys) this.parked.add(key)
  }

  /** The key that is to be handled again; another one each time where there are several. */
  nextReplay(): string | undefined {
    const key = this.replays.shift()
    if (key !== undefined) this.replays.push(key)
    return key
  }

  /** Nothing of a key waits any more. */
  free(key: string): void {
    this.parked.delete(key)
    this.keep(key)
  }

  /** Nobody wants a key to be handled again any more. */
  keep(key: string): void {
    const index = this.replays.indexOf(key)
    if (index >= 0) this.replays.splice(index, 1)
  }
}

const none: ReadonlyArray<never> = []
