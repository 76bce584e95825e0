import { Schema } from "effect"
import { EventId } from "../../Event/EventId.ts"

/** A timer that a process waits for: when it is due, and the event that set it. */
const PendingTimer = Schema.Struct({ at: Schema.DateTimeUtc, setBy: EventId })

/** The event that a process reacted to. */
const Cause = Schema.Struct({
  eventId: EventId,
  type: Schema.String,
  streamId: Schema.String,
  position: Schema.Int,
  /** Place among the events that one stored event was split into, else 0. */
  part: Schema.Int
})

/**
 * A process moved: the whole of what it is from then on. The last one of its stream is the process.
 *
 * @category models
 * @since 0.1.0
 */
export class Moved extends Schema.TaggedClass<Moved>()("Moved", {
  cause: Cause,
  /** The JSON form of the state. */
  state: Schema.Json,
  /** Version of the state's schema, from 1. */
  stateVersion: Schema.Int,
  /** Timers that wait. */
  timers: Schema.Record(Schema.String, PendingTimer),
  /** Commands that were sent with it. */
  sent: Schema.Array(Schema.Struct({ type: Schema.String, eventId: EventId })),
  isEnd: Schema.Boolean
}) {}

/**
 * A timer of a process was due. It says nothing about whether the process still waits for it: that is seen when it is
 * handled.
 *
 * @category models
 * @since 0.1.0
 */
export class TimerFired extends Schema.TaggedClass<TimerFired>()("TimerFired", {
  name: Schema.String,
  at: Schema.DateTimeUtc
}) {}
