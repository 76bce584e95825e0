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
  /** Bytes of one event's data, and of its metadata, as JSON in UTF-8. Default 1 MiB. */
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
