import { Effect } from "effect"
import { InvalidInput } from "../../Store/StoreError.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { Declaration, Source } from "../PersistentSubscription.ts"
import type { KeyOf } from "./filler.ts"
import type { Decode } from "./source.ts"

/** Most UTF-16 code units of a key. */
const maxLength = 512

/** By what events are kept in order. */
export const keysOf = (
  ordering: Declaration<Source>["ordering"],
  decode: Decode,
  parkedBlocks: boolean
): KeyOf<InvalidInput | DecodeError> => {
  if (ordering === "none") return () => null
  if (typeof ordering !== "function") return ({ streamId }) => streamId

  const keyOf = (
    stored: StoredEvent,
    recorded: Recorded<any> | undefined
  ): string | null | Effect.Effect<never, InvalidInput> => {
    // an event that an upcaster dropped is finished at once
    if (recorded === undefined) return null
    let key: string
    try {
      key = String(ordering(recorded as never))
    } catch (cause) {
      return refuse(stored, `threw: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
    return key.length > 0 && key.length <= maxLength && key.isWellFormed() && !key.includes("\0")
      ? key
      : refuse(stored, `answered a text that has not 1 to ${maxLength} characters, or has a NUL or a lone surrogate`)
  }

  return (stored) => {
    const parts: Array<Recorded<any>> = []
    const waiting = decode(stored, parts)
    if (waiting === undefined) return keyOf(stored, parts[0])
    return Effect.matchEffect(waiting, {
      // it is parked when it is delivered; where that blocks others, it has to be known which ones
      onFailure: (error) => parkedBlocks ? Effect.fail(error) : Effect.succeed(null),
      onSuccess: () => {
        const key = keyOf(stored, parts[0])
        return Effect.isEffect(key) ? key : Effect.succeed(key)
      }
    })
  }
}

const refuse = (stored: StoredEvent, problem: string): Effect.Effect<never, InvalidInput> =>
  Effect.fail(
    new InvalidInput({ field: "ordering", problem: `${problem} (for the event at position ${stored.position})` })
  )
