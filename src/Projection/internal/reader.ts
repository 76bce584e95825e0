import { Cause, Effect, Exit } from "effect"
import type { LogFollower } from "../../Store/LogTail.ts"
import type { LogRewound, StoreError } from "../../Store/StoreError.ts"
import type { Decode } from "../../Stream/Decode.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { Definition } from "./definition.ts"
import { partitionOf } from "./partition.ts"

/** A stored event of a partition, and what it reads as. */
export interface Item {
  readonly stored: StoredEvent
  /** Those of its parts that have a key of the partition. */
  parts: Array<Recorded<any>>
  /** Why it does not decode, or has no keys that can be told. Then its key is its stream. */
  failure: Cause.Cause<unknown> | undefined
}

/** Everything of a partition up to a position. */
export interface Read {
  readonly items: ReadonlyArray<Item>
  readonly to: number
  /** The event at that position, where it is known. */
  readonly eventId: string | undefined
  readonly caughtUp: boolean
  readonly isBehind: boolean
}

export interface ReaderOptions {
  readonly follower: LogFollower<never>
  readonly definition: Definition
  readonly partition: number
  readonly of: number
  /** Stored events that are read at a time. */
  readonly limit: number
}

/** Reads what belongs to a partition, and decodes it in bulk. */
export class Reader {
  private readonly options: ReaderOptions

  constructor(options: ReaderOptions) {
    this.options = options
  }

  /** The next events; none where nothing is new, or where much was looked through that is not for this partition. */
  readonly next: Effect.Effect<Read, StoreError | LogRewound, any> = Effect.gen({ self: this }, function*() {
    const { follower, limit } = this.options
    const items: Array<Item> = []
    for (let looks = 1;; looks++) {
      const { caughtUp, eventId, events, isBehind, position } = yield* follower.take(limit)
      const waiting = this.decodeFrom(events, 0, items)
      if (waiting !== undefined) yield* waiting
      // where several partitions share the log, one of them has too little of a page for a transaction
      if (items.length >= limit || caughtUp || !isBehind || looks === mostLooks) {
        return { items, to: position, eventId, caughtUp, isBehind }
      }
    }
  })

  private decodeFrom(
    events: ReadonlyArray<StoredEvent>,
    start: number,
    into: Array<Item>
  ): Effect.Effect<void, never, any> | undefined {
    const { definition: { keysOf }, of, partition } = this.options
    const isByStream = of > 1 && keysOf === undefined
    for (let i = start; i < events.length; i++) {
      const stored = events[i]!
      if (isByStream && partitionOf(stored.streamId, of) !== partition) continue
      const item: Item = { stored, parts: [], failure: undefined }
      const waiting = decodeItem(this.options.definition.decode, item)
      if (waiting !== undefined) {
        return Effect.flatMap(waiting, () => {
          this.add(item, into)
          return this.decodeFrom(events, i + 1, into) ?? Effect.void
        })
      }
      this.add(item, into)
    }
    return undefined
  }

  private add(item: Item, into: Array<Item>): void {
    this.choose(item)
    // of what upcasters dropped, or what is for others, nothing is left to do
    if (item.failure !== undefined || item.parts.length > 0) into.push(item)
  }

  /** Decodes an event once more. */
  again(item: Item): Effect.Effect<void, never, any> {
    item.parts = []
    item.failure = undefined
    const chosen = Effect.sync(() => this.choose(item))
    const waiting = decodeItem(this.options.definition.decode, item)
    return waiting === undefined ? chosen : Effect.andThen(waiting, chosen)
  }

  /** Leaves out what is for other partitions. */
  private choose(item: Item): void {
    const { definition: { keysOf }, of, partition } = this.options
    if (of === 1) return
    if (item.failure === undefined && keysOf !== undefined) {
      try {
        const isMine = (key: string) => partitionOf(key, of) === partition
        if (item.parts.length !== 1) item.parts = item.parts.filter((part) => keysOf(part).some(isMine))
        else if (!keysOf(item.parts[0]!).some(isMine)) item.parts = []
      } catch (defect) {
        item.failure = Cause.die(defect)
      }
    }
    if (item.failure !== undefined) {
      item.parts = []
      if (partitionOf(item.stored.streamId, of) !== partition) item.failure = undefined
    }
  }
}

/** Pages after which a checkpoint may be due, though they had little for the partition. */
const mostLooks = 8

/** Decodes a stored event; an answer is only there where it has to wait. */
export const decodeItem = (decode: Decode<any, any>, item: Item): Effect.Effect<void, never, any> | undefined => {
  let waiting: Effect.Effect<void, unknown, any> | undefined
  try {
    waiting = decode(item.stored, item.parts)
  } catch (defect) {
    waiting = Effect.die(defect)
  }
  return waiting && Effect.map(Effect.exit(waiting), (exit) => {
    if (Exit.isSuccess(exit)) return
    item.parts = []
    item.failure = exit.cause
  })
}
