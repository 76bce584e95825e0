import { Effect, type Schema } from "effect"
import { encoderOf, problemOf } from "../../Event/JsonCodec.ts"
import type { AnyDecider } from "../App.ts"
import { plainJson } from "./plainJson.ts"

/** Turns states of a decider into JSON: by their schema, where it has one and the state fits it, else as plain JSON. */
export const stateEncoderOf = ({ declared: { state } }: AnyDecider): (state: unknown) => Effect.Effect<Schema.Json> => {
  if (state === undefined || problemOf(state) !== undefined) return (value) => Effect.sync(() => plainJson(value))
  const encode = encoderOf(state)
  return (value) =>
    Effect.matchCause(encode(value) as Effect.Effect<Schema.Json, Schema.SchemaError>, {
      onSuccess: (json) => json,
      onFailure: () => plainJson(value)
    })
}
