import { Cause, Effect, Option, Schedule, Schema } from "effect"
import * as Entity from "effect/cluster/Entity"
import * as Rpc from "effect/rpc/Rpc"
import * as EventId from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import { EventStore } from "../../Store/EventStore.ts"
import {
  EventIdConflict,
  InlineProjectionFailed,
  InlineProjectionMissing,
  InvalidInput,
  StoreError,
  StreamTombstoned,
  WrongExpectedVersion
} from "../../Store/StoreError.ts"
import { EventDecodeFailed, UnknownEventType } from "../../Stream/DecodeError.ts"
import { ExpectedVersion, isExpectedVersion } from "../../Stream/ExpectedVersion.ts"
import { Position } from "../../Stream/Position.ts"
import { StreamVersion } from "../../Stream/StreamVersion.ts"
import { AnswerHidden, CommandDecodeFailed } from "../AggregateError.ts"
import type { Aggregate, RunOptions } from "../Decider.ts"
import type { DeciderEntity, LayerOptions } from "../DeciderEntity.ts"
import { foldedOf } from "./aggregate.ts"
import { makeCommandCodec } from "./commands.ts"
import { defaultRetry } from "./retrying.ts"
import { checkCommandId, metadataOf } from "./running.ts"
import { makeTelemetry } from "./telemetry.ts"
import { makeWriter, type Writer } from "./writer.ts"

type AnyAggregate = Aggregate<any, any, any, any, any, any, any, any, any, any>

export const make = (
  decider: AnyAggregate,
  options: { readonly name?: string | undefined; readonly error?: Schema.Top | undefined } = {}
): DeciderEntity<any, any, any, any, any, any, any, any, any> => {
  const { category, declared } = decider
  const name = options.name ?? category.name
  if (declared.commands.length === 0) {
    throw new Error(`The entity ${name} needs the classes of its commands: declare them as commands of the decider`)
  }
  if (declared.state === undefined) {
    throw new Error(
      `The entity ${name} needs the schema of its state: declare it as state of the decider, or of its snapshot`
    )
  }
  const Run = protocolOf(decider, declared.state, options.error)
  const entity = Entity.make(name, [Run])
  const codec = makeCommandCodec(category.name, declared.commands)
  const encodeCommand = Schema.encodeUnknownEffect(
    Schema.toCodecJson(Schema.Union(declared.commands as ReadonlyArray<any>)) as unknown as Schema.Codec<unknown>
  )

  const send = (id: unknown, json: unknown, { commandId, expected, metadata }: RunOptions) =>
    Effect.gen(function*() {
      const { problem, streamId } = category.stream(id)
      if (problem !== undefined) return yield* new InvalidInput({ field: "id", problem })
      yield* checkCommandId(commandId)
      if (expected !== undefined && !isExpectedVersion(expected)) {
        return yield* new InvalidInput({ field: "expected", problem: `is ${String(expected)}` })
      }
      const clientOf = yield* entity.client
      const client = clientOf(streamId.slice(category.name.length + 1))
      const payload = {
        command: json as Schema.Json,
        // made here, so that one that is delivered twice is decided once
        commandId: commandId ?? (yield* EventId.make),
        metadata: EventMetadata.merge(
          yield* EventMetadata.Current,
          yield* metadataOf({ commandId, metadata })
        ),
        ...(expected === undefined ? {} : { expected })
      }
      const deliver: Effect.Effect<Effect.Effect<any, any>, Cause.Cause<any>, any> = Effect.matchCauseEffect(
        Effect.suspend(() => client.Run(payload)),
        {
          onSuccess: (ran) => Effect.succeed(Effect.succeed(ran)),
          // its owner gave it up, or has it and can answer only whom it lost: the command id makes it the same command
          onFailure: (cause) =>
            Cause.hasInterruptsOnly(cause) || cause.reasons.some((reason) =>
                reason._tag === "Fail" &&
                (reason.error as { readonly _tag?: unknown })._tag === "AlreadyProcessingMessage"
              )
              ? Effect.fail(cause)
              : Effect.succeed(Effect.failCause(cause))
        }
      )
      return yield* Effect.flatten(Effect.retry(deliver, redelivery))
    })

  return {
    name,
    entity: entity as never,
    run: (id, command, options: RunOptions = {}) =>
      Effect.flatMap(
        Effect.mapError(encodeCommand(command), ({ message }) =>
          new InvalidInput({ field: "command", problem: `does not encode: ${message}` })),
        (json) =>
          send(id, json, options)
      ),
    runUnknown: (id, input, options: RunOptions = {}) =>
      Effect.flatMap(
        Effect.mapError(encodeJson(input), () => new InvalidInput({ field: "input", problem: "is not JSON" })),
        (json) => send(id, json, options)
      ),
    toLayer: ({ batch = 256, mailboxCapacity, maxIdleTime, retry = declared.retry }: LayerOptions = {}) => {
      if (!Number.isSafeInteger(batch) || batch < 1) {
        throw new Error(`A batch of ${batch} commands: that is not a whole number from 1`)
      }
      const telemetry = makeTelemetry(category.name)
      const build = Effect.gen(function*() {
        const { entityId } = yield* Entity.CurrentAddress
        const store = yield* EventStore
        const writer: Writer<unknown> | undefined = yield* makeWriterOf(`${category.name}-${entityId}`, store)
        return {
          Run: ({ payload: { command, commandId, expected, metadata } }: any) =>
            writer === undefined
              ? Effect.fail(new InvalidInput({ field: "id", problem: `${entityId} is not one of ${category.name}` }))
              : Effect.flatMap(
                codec.decode(command),
                (command) => writer.run({ command, commandId, expected, metadata })
              )
        }
      })
      const makeWriterOf = (streamId: string, store: EventStore["Service"]) =>
        Effect.suspend(() => {
          const id = category.idOf(streamId)
          return Option.isNone(id) || category.stream(id.value).streamId !== streamId
            ? Effect.succeed(undefined)
            : makeWriter({
              store,
              folded: foldedOf(decider, id.value),
              decide: decider.decide,
              retry: retry ?? defaultRetry,
              telemetry,
              batch
            })
        })
      return entity.toLayer<any, any>(build, {
        // they wait together, to be stored together
        concurrency: "unbounded",
        // what a decision dies of is an answer like others, and nothing is lost with it
        disableFatalDefects: true,
        ...(maxIdleTime === undefined ? {} : { maxIdleTime }),
        ...(mailboxCapacity === undefined ? {} : { mailboxCapacity })
      })
    }
  }
}

/** When a command is sent again that its owner gave up: soon, then up to a second later each time, as long as somebody waits. */
const redelivery = Schedule.min([Schedule.exponential("50 millis", 1.5), Schedule.spaced("1 second")]).pipe(
  Schedule.jittered
)

const encodeJson = Schema.decodeUnknownEffect(Schema.Json)

/** The one request of an entity. */
const protocolOf = ({ category }: AnyAggregate, state: any, error: Schema.Top | undefined) => {
  const events = category.codec.types
    .flatMap(({ current }) => current === undefined ? [] : [current])
  return Rpc.make("Run", {
    payload: {
      command: Schema.Json,
      commandId: Schema.String,
      metadata: EventMetadata.EventMetadata,
      expected: Schema.optionalKey(ExpectedVersion)
    },
    success: Schema.Struct({
      state,
      events: Schema.Array(Schema.Struct({
        event: Schema.Union(events as ReadonlyArray<any>),
        eventId: EventId.EventId,
        streamVersion: StreamVersion,
        position: Position
      })),
      version: StreamVersion,
      position: Position,
      isRepeated: Schema.Boolean
    }),
    error: Schema.Union([...(error === undefined ? [] : [error]), ...storeErrors] as ReadonlyArray<any>)
  })
}

const storeErrors = [
  AnswerHidden,
  CommandDecodeFailed,
  EventDecodeFailed,
  EventIdConflict,
  InlineProjectionFailed,
  InlineProjectionMissing,
  InvalidInput,
  StoreError,
  StreamTombstoned,
  UnknownEventType,
  WrongExpectedVersion
]
