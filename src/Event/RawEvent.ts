/**
 * An event as it is stored, without a schema: for tools, copies and types that nobody knows any more.
 *
 * @since 0.1.0
 */
import type { Schema } from "effect"

/**
 * An event as it is stored: the name of its type (1 to 256 printable characters), the version of its stored shape (1 to
 * 32767) and its data, the event's fields without `_tag`.
 *
 * @category models
 * @since 0.1.0
 */
export class RawEvent {
  readonly _tag = "RawEvent"
  readonly type: string
  readonly schemaVersion: number
  readonly data: Schema.Json

  constructor(options: { readonly type: string; readonly schemaVersion: number; readonly data: Schema.Json }) {
    this.type = options.type
    this.schemaVersion = options.schemaVersion
    this.data = options.data
  }
}

/**
 * Makes a raw event. It is checked when it is appended.
 *
 * **Example**
 * ```ts
 * import { RawEvent } from "effect-eventstore"
 *
 * export const imported = RawEvent.make({ type: "Opened", schemaVersion: 1, data: { customer: "c-1" } })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly type: string
  readonly schemaVersion: number
  readonly data: Schema.Json
}): RawEvent => new RawEvent(options)
