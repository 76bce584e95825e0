import { Array as Arr, Cause, Context, Effect } from "effect"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { InlineProjection } from "../Inline.ts"
import { matches } from "../LogFilter.ts"
import type { AppendCommand, LogStorage } from "../LogStorage.ts"
import { InlineProjectionFailed, StoreError } from "../StoreError.ts"
import type { AppendExit, AppendFailure } from "./coalescer.ts"
import { partByStreams } from "./heldAppends.ts"
import { stageAll } from "./inlineStage.ts"
import type { InlineVersions } from "./inlineVersions.ts"

/** Whether the fibre puts events into a read model: what is appended there would have to be applied within itself. */
export const IsApplying = Context.Reference<boolean>("effect-eventstore/Store/Inline/IsApplying", {
  defaultValue: () => false
})

/** What a transaction did with commands. */
export interface Transacted {
  readonly answers: ReadonlyMap<AppendCommand, AppendExit>
  /** Those that were left out because somebody else holds their streams. */
  readonly held: ReadonlyArray<AppendCommand>
}

/**
 * Stages commands and applies inline projections to their events, in a transaction: of its own, or a part of the one that is
 * open, so that a failure takes back what was staged with it. Where it is not to wait for streams, it leaves out those that it
 * would have to wait for.
 */
export const transactInline = (
  storage: LogStorage,
  versions: InlineVersions,
  commands: ReadonlyArray<AppendCommand>,
  { isRepeated, isWaiting }: { readonly isRepeated: boolean; readonly isWaiting: boolean }
): Effect.Effect<Transacted, AppendFailure> =>
  storage.transaction(versions.using((projections) =>
    Effect.gen(function*() {
      const streams = new Set(commands.flatMap(({ entries }) => entries.map(({ streamId }): string => streamId)))
      const ids = projections.map(({ id }) => id)
      const { applied, held: taken } = yield* storage.projections.beginInline(ids, [...streams], { isWaiting })
      versions.learn(applied)
      const { free, held } = partByStreams(commands, taken)
      if (free.length === 0) return { answers: new Map<AppendCommand, AppendExit>(), held }
      const { answers, events } = yield* stageAll(storage, free, isRepeated)
      for (const projection of projections) {
        if (!applied.includes(projection.id)) continue
        const wanted = events.filter((event) => matches(projection.filter, event))
        if (Arr.isReadonlyArrayNonEmpty(wanted)) yield* applyTo(projection, wanted)
      }
      return { answers, held }
    })
  ))

const applyTo = (
  projection: InlineProjection,
  events: Arr.NonEmptyReadonlyArray<StoredEvent>
): Effect.Effect<void, InlineProjectionFailed | StoreError> =>
  projection.apply(events).pipe(
    Effect.provideService(IsApplying, true),
    Effect.asVoid,
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.fail(failureOf(projection, Cause.squash(cause)))
    )
  )

const failureOf = ({ name, version }: InlineProjection, cause: unknown): InlineProjectionFailed | StoreError =>
  isTrouble(cause)
    ? new StoreError({ operation: "append", isRetryable: true, outcome: "not-stored", cause })
    : new InlineProjectionFailed({ projection: name, version, cause })

/** Trouble of the database that may pass, a deadlock perhaps, is no fault of the projection, whatever it made of it. */
const isTrouble = (error: unknown, depth = 0): boolean => {
  if (typeof error !== "object" || error === null || depth > 4) return false
  const { _tag, cause, isRetryable } = error as Record<string, unknown>
  return (_tag === "SqlError" || _tag === "StoreError") && isRetryable === true || isTrouble(cause, depth + 1)
}
