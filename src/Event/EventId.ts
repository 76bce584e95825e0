/**
 * Identity of one event: a UUID, version 7 where this library makes it.
 *
 * @since 0.1.0
 */
import { Clock, Effect, Random, Schema } from "effect"
import { createHash } from "node:crypto"

/**
 * Identity of one event, a lower-case UUID of any version. It makes an append repeatable: a second append of the same
 * ids stores nothing and answers what the first one answered.
 *
 * @category models
 * @since 0.1.0
 */
export const EventId = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, { expected: "a lower-case UUID" })
).pipe(Schema.brand("EventId"))

/**
 * @category models
 * @since 0.1.0
 */
export type EventId = typeof EventId.Type

/**
 * Tells whether a value is a lower-case UUID.
 *
 * @category guards
 * @since 0.1.0
 */
export const isEventId: (value: unknown) => value is EventId = Schema.is(EventId)

const hex = Array.from({ length: 0x10000 }, (_, i) => i.toString(16).padStart(4, "0"))

/**
 * Makes a UUID version 7 (RFC 9562, section 5.7) from a time in milliseconds since 1970 and two random numbers in
 * `[0, 1)`. Ids of one millisecond are in no particular order.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeUnsafe = (millis: number, random: Random.Random): EventId => {
  const high = Math.floor(millis / 0x10000)
  const a = word(random)
  const b = word(random)
  const c = word(random)
  return (hex[(high >>> 16) & 0xffff]! + hex[high & 0xffff]! + "-" + hex[millis & 0xffff]! + "-" +
    hex[0x7000 | (a & 0xfff)]! + "-" + hex[0x8000 | ((a >>> 16) & 0x3fff)]! + "-" + hex[b >>> 16]! + hex[b & 0xffff]! +
    hex[c & 0xffff]!) as EventId
}

/** 32 random bits. */
const word = (random: Random.Random): number => (random.nextDoubleUnsafe() * 0x100000000) >>> 0

/**
 * Makes a UUID version 7 by `Clock` and `Random`.
 *
 * **When to use** Make the ids before the first try of an append that may be repeated, for example after a time-out.
 *
 * **Gotchas** With a seeded `Random` and a fixed `Clock` the ids repeat, and an append with repeated ids is a retry.
 *
 * **Example**
 * ```ts
 * import { Effect } from "effect"
 * import { EventId } from "effect-eventstore"
 *
 * export const program = Effect.map(EventId.make, (id) => id[14] === "7") // => true
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<EventId> = Effect.withFiber((fiber) =>
  Effect.succeed(makeUnsafe(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe(), fiber.getRef(Random.Random)))
)

/**
 * Makes the event id that belongs to a name: the same parts give the same id, on every machine and in every run. A UUID
 * version 8 (RFC 9562, section 5.8) of the SHA-256 of the parts.
 *
 * **When to use** For imports and reactions, which may run again and shall store nothing twice: name the id for the row of
 * the source, or for the event that is reacted to.
 *
 * **Example**
 * ```ts
 * import { EventId } from "effect-eventstore"
 *
 * export const id = EventId.fromName("legacy-orders", "4711", "Opened")
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const fromName = (...parts: readonly [string, ...ReadonlyArray<string>]): EventId => {
  const hash = createHash("sha256")
  for (const part of parts) {
    // with its length before it, no part can pass for the end of another
    const bytes = Buffer.from(part, "utf8")
    hash.update(`${bytes.length}:`).update(bytes)
  }
  const digest = hash.digest()
  digest[6] = (digest[6]! & 0x0f) | 0x80
  digest[8] = (digest[8]! & 0x3f) | 0x80
  const text = digest.toString("hex", 0, 16)
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join(
    "-"
  ) as EventId
}
