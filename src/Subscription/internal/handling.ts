import { type Clock, Effect, Option } from "effect"
import type { EventStore } from "../../Store/EventStore.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { type Delivery, LeaseLost, Skip } from "../Delivery.ts"
import type { Entry } from "./held.ts"
import type { Decode } from "./source.ts"
import { linksOf, type Telemetry } from "./telemetry.ts"
import { Undecodable } from "./verdict.ts"

/** What the form of a consumer knows of a delivery beside what everybody may see. */
export interface Hand {
  readonly entry: Entry
  /** Whether the answer is that of the whole stored event, and not of one of its parts before the last. */
  readonly isLast: boolean
}

/** Handles a part of a delivery, in whatever form. */
export type HandlePart = (delivery: Delivery<any>, hand: Hand) => Effect.Effect<void, unknown, any>

export interface HandlingOptions {
  readonly subscription: string
  readonly id: number
  readonly store: EventStore["Service"]
  readonly decode: Decode
  readonly handle: HandlePart
  readonly clock: Clock.Clock
  readonly telemetry: Telemetry
  /** Told when a transaction has finished an entry. */
  readonly onFinished: (entry: Entry) => void
}

/** Handles the event of an entry: succeeds where it is finished. */
export const makeHandling = (options: HandlingOptions): (entry: Entry) => Effect.Effect<void, unknown, any> => {
  const { clock, decode, handle, subscription, telemetry } = options

  const handlePart = (entry: Entry, recorded: Recorded<any>, isLast: boolean) => {
    const { attempt, key, lease } = entry.claimed
    const delivery: Delivery<any> = {
      ...recorded,
      subscription,
      attempt,
      key,
      lease,
      transaction: transactionOf(options, entry, isLast)
    }
    // what a handler acquires is released when it is done, not with the consumer
    return Effect.catchIf(Effect.scoped(handle(delivery, { entry, isLast })), isSkip, () => {
      telemetry.count("skipped")
      return Effect.void
    })
  }

  const handleParts = (entry: Entry, stored: StoredEvent, parts: ReadonlyArray<Recorded<any>>) => {
    if (parts.length === 0) return Effect.void
    const { attempt } = entry.claimed
    const started = clock.monotonicTimeNanosUnsafe()
    if (attempt === 1) {
      telemetry.time("latency", Math.max(0, clock.currentTimeMillisUnsafe() - stored.recordedAt) / 1000)
    }
    const handled = parts.length === 1
      ? handlePart(entry, parts[0]!, true)
      : Effect.forEach(parts, (part, i) => handlePart(entry, part, i === parts.length - 1), { discard: true })
    const observed = Effect.useSpan("eventstore.deliver", {
      kind: "consumer",
      root: true,
      links: linksOf(parts[0]!.metadata),
      attributes: {
        "eventstore.subscription": subscription,
        "eventstore.position": stored.position,
        "eventstore.attempt": attempt,
        "eventstore.event.type": stored.type,
        "eventstore.stream": stored.streamId
      }
      // a stack trace would say no more than where this stands, and takes longer than all else here
    }, (span) => Effect.withParentSpan(handled, span, { captureStackTrace: false }))
    return Effect.onExitPrimitive(observed, () => {
      telemetry.time("duration", Number(clock.monotonicTimeNanosUnsafe() - started) / 1e9)
      return undefined
    })
  }

  return (entry) =>
    Effect.suspend(() => {
      const { event } = entry.claimed
      if (event === undefined) return Effect.void
      const parts: Array<Recorded<any>> = []
      const waiting = decode(event, parts)
      return waiting === undefined
        ? handleParts(entry, event, parts)
        : Effect.flatMap(
          Effect.mapError(waiting, (error) => new Undecodable(error)),
          () => handleParts(entry, event, parts)
        )
    })
}

const isSkip = (error: unknown): error is Skip => error instanceof Skip

const transactionOf = (
  { clock, id, onFinished, store, subscription }: HandlingOptions,
  entry: Entry,
  isLast: boolean
): Delivery<any>["transaction"] =>
(effect) =>
  Effect.suspend(() => {
    // an earlier part cannot finish what later parts still belong to
    if (!isLast) return store.transaction(effect)
    const lost = () => new LeaseLost({ subscription, position: entry.claimed.position as never })
    if (entry.isLost || entry.isFinished) return Effect.fail(lost())
    // what is committed is noted, whatever interrupts
    const finish = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        restore(store.storage.subscriptions.finishWith(id, entry.held, effect, StorageTime.of(clock))),
        (answer) => {
          if (Option.isNone(answer)) return Effect.fail(lost())
          onFinished(entry)
          return Effect.succeed(answer.value)
        }
      )
    )
    return Effect.flatMap(store.storage.inTransaction, (isOpen) => isOpen ? Effect.fail(notInside()) : finish)
  })

/** Whether it is finished is known when the outermost transaction ends, and that is not in its hands. */
const notInside = () =>
  new InvalidInput({ field: "transaction", problem: "of a delivery cannot be a part of another one that is open" })
