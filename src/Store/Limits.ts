/**
 * How much one call may ask for.
 *
 * @since 0.1.0
 */

/**
 * How much one call may ask for; what exceeds it is refused with `InvalidInput` before anything is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /**
   * Bytes of one event's data, and of its metadata, as JSON in UTF-8. Default 1 MiB. Beyond some 15 MiB the client on a
   * database also needs a larger `maxMessageSize` to read them back.
   */
  readonly eventBytes: number
  /** Events of one append. Default 10,000. */
  readonly appendEvents: number
  /** Bytes of all data and metadata of one append. Default 16 MiB. */
  readonly appendBytes: number
  /** Streams of one append. Default 1,000. */
  readonly appendStreams: number
  /** Tags of one event, each of 1 to 256 printable characters. Default 64. */
  readonly tags: number
}

/**
 * The limits where nothing else is asked for.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: Limits = {
  eventBytes: 1024 * 1024,
  appendEvents: 10_000,
  appendBytes: 16 * 1024 * 1024,
  appendStreams: 1_000,
  tags: 64
}

/**
 * Fills in the limits that were left out.
 *
 * **Gotchas** Throws where one is not a whole number from 1: a mistake in the program, not in its input.
 *
 * @category constructors
 * @since 0.1.0
 */
export const withDefaults = (given: Partial<Limits>): Limits => {
  const limits: Limits = {
    eventBytes: given.eventBytes ?? defaults.eventBytes,
    appendEvents: given.appendEvents ?? defaults.appendEvents,
    appendBytes: given.appendBytes ?? defaults.appendBytes,
    appendStreams: given.appendStreams ?? defaults.appendStreams,
    tags: given.tags ?? defaults.tags
  }
  for (const [name, limit] of Object.entries(limits)) {
    if (!Number.isSafeInteger(limit) || limit < 1) {
      throw new Error(`The limit ${name} is ${limit}, not a whole number from 1`)
    }
  }
  return limits
}
