/**
 * An event on its way into the store, with what goes along with it.
 *
 * @since 0.1.0
 */
import type { EventId } from "./EventId.ts"
import type { EventMetadata } from "./EventMetadata.ts"

/**
 * An event with an id, tags or metadata of its own. Where an append needs none of these, it takes the bare event.
 *
 * @category models
 * @since 0.1.0
 */
export class EventData<out E> {
  readonly event: E
  readonly id: EventId | undefined
  readonly tags: ReadonlyArray<string> | undefined
  readonly metadata: EventMetadata | undefined

  constructor(event: E, options: EventDataOptions) {
    this.event = event
    this.id = options.id
    this.tags = options.tags
    this.metadata = options.metadata
  }
}

/**
 * What may go along with an event: `id` makes the append repeatable, `tags` (besides those that the event declares) are
 * what `appendIf` and filters ask for, `metadata` is merged over that of the fibre.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventDataOptions {
  readonly id?: EventId | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly metadata?: EventMetadata | undefined
}

/**
 * Gives an event an id, tags or metadata of its own.
 *
 * **Example**
 * ```ts
 * import { EventData } from "effect-eventstore"
 *
 * export const seat = EventData.make({ _tag: "SeatTaken", seat: "12a" }, { tags: ["seat:12a", "flight:7"] })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const make = <E>(event: E, options: EventDataOptions): EventData<E> => new EventData(event, options)
