import { assert, it } from "@effect/vitest"
import { EventId, EventMetadata } from "effect-eventstore"

const eventId = EventId.fromName("cause")

it("carries the conversation of an event on to what follows from it, and nothing else", () => {
  const metadata = { correlationId: "request-7", causationId: "command-1", actor: "anna", traceparent: "00-a-b-01" }
  assert.deepStrictEqual(EventMetadata.causedBy({ eventId, metadata }), {
    correlationId: "request-7",
    causationId: eventId
  })
})

it("begins a conversation with an event that belongs to none", () => {
  assert.deepStrictEqual(EventMetadata.causedBy({ eventId, metadata: EventMetadata.empty }), {
    correlationId: eventId,
    causationId: eventId
  })
})
