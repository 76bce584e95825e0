import { type Cause, Effect } from "effect"
import { type Decode, decodeFrom } from "../../Stream/Decode.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"

/** Decodes events; `into` has what comes before one that fails, and the answer is why it does. */
export const decodeAll = <Out, R>(
  decode: Decode<Out, R>,
  events: ReadonlyArray<StoredEvent>,
  into: Array<Recorded<Out>>
): Effect.Effect<Cause.Cause<DecodeError> | undefined, never, R> => {
  const waiting = decodeFrom(decode, events, 0, into)
  return waiting === undefined
    ? Effect.succeed(undefined)
    : Effect.matchCause(waiting, { onFailure: (cause) => cause, onSuccess: () => undefined })
}
