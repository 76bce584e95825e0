import { Effect, Schema } from "effect"
import type { Chain } from "../../Event/Event.ts"
import * as JsonCodec from "../../Event/JsonCodec.ts"
import * as ShapeChain from "../../Event/ShapeChain.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { StreamId } from "../../Stream/StreamId.ts"
import { StreamVersion } from "../../Stream/StreamVersion.ts"
import type { Moved } from "./processEvents.ts"

/**
 * The state that is kept of a process cannot be read: it does not fit its schema, an upcaster failed, or a newer program
 * wrote it (`stateVersion` above `known`).
 *
 * @category errors
 * @since 0.1.0
 */
export class StateDecodeFailed extends Schema.TaggedError<StateDecodeFailed>()("StateDecodeFailed", {
  streamId: StreamId,
  streamVersion: StreamVersion,
  stateVersion: Schema.Int,
  /** The newest version that this program knows. */
  known: Schema.Int,
  issue: Schema.String
}) {
  override get message(): string {
    return `The state of process ${this.streamId}, version ${this.stateVersion} (event ${this.streamVersion} of its ` +
      `stream), does not decode: ${this.issue}`
  }
}

/** Both directions between the state of a process and what is kept of it. */
export interface StateCodec {
  readonly version: number
  /** Fails with the reason why it cannot be kept. */
  readonly encode: (state: unknown) => Effect.Effect<Schema.Json, string>
  readonly decode: (moved: Recorded<Moved>) => Effect.Effect<unknown, StateDecodeFailed, any>
}

/** Makes the codec of a schema, or of a chain of them, the newest last. */
export const stateCodec = (schema: Schema.Constraint | Chain<any, any>): StateCodec => {
  const { shapes, steps } = "steps" in schema ? schema : { shapes: [schema], steps: [] }
  const decoders = shapes.map(JsonCodec.decoderOf)
  const version = shapes.length
  const encode = Schema.encodeUnknownEffect(Schema.toCodecJson(shapes[version - 1] as unknown as Schema.Codec<unknown>))
  return {
    version,
    encode: (state) =>
      Effect.flatMap(
        Effect.mapError(encode(state), ({ message }) => message),
        (json) => isJson(json) ? Effect.succeed(json) : Effect.fail("it has no JSON form")
      ),
    decode: (moved) => {
      const { event: { state, stateVersion }, streamId, streamVersion } = moved
      const fail = (issue: string) =>
        Effect.fail(new StateDecodeFailed({ streamId, streamVersion, stateVersion, known: version, issue }))
      const decode = decoders[stateVersion - 1]
      if (decode === undefined) return fail(`known are the versions 1 to ${version}`)
      const stored = { ...moved, schemaVersion: stateVersion }
      return Effect.catch(
        ShapeChain.upcast(steps, stateVersion, decode(state), stored),
        (error) => fail(error instanceof Error ? error.message : String(error))
      )
    }
  }
}

const isJson = Schema.is(Schema.Json)
