import { Effect, type Scope } from "effect"
import type { InlineProjections } from "../Inline.ts"
import type { AppendCommand, AppendedEntry, LogStorage } from "../LogStorage.ts"
import { InlineProjectionMissing, InvalidInput, StoreError } from "../StoreError.ts"
import { makeAppendGroups } from "./appendGroups.ts"
import type { AppendFailure } from "./coalescer.ts"
import { makeInlineSender, whileActivated } from "./inlineSender.ts"
import { IsApplying, transactInline } from "./inlineTransaction.ts"
import { InlineVersions } from "./inlineVersions.ts"

/** Appends to a storage, and applies the inline projections that are registered. */
export interface InlineAppends extends InlineProjections {
  readonly append: (command: AppendCommand) => Effect.Effect<ReadonlyArray<AppendedEntry>, AppendFailure>
  /** What a transaction fails with. */
  readonly explain: <E>(error: E) => E | InlineProjectionMissing | StoreError
}

/**
 * Appends past inline projections as long as none is believed to be applied: the storage refuses what it must not store
 * without them. Then groups of appends travel in a transaction each, one at a time, because two would only wait for what
 * they change in the same read model.
 *
 * A group does not wait for a stream that another transaction holds, for as long as it likes: what goes there waits apart.
 */
export const makeInline = (storage: LogStorage): Effect.Effect<InlineAppends, never, Scope.Scope> =>
  Effect.gen(function*() {
    const versions = new InlineVersions()
    const groups = yield* makeAppendGroups<AppendFailure>(
      { lanes: 1, heldLanes, streams: mostStreams },
      (isClosing) => makeInlineSender(storage, versions, isClosing)
    )

    const outside = (command: AppendCommand) =>
      versions.applyTo(command)
        ? groups.submit(command)
        : Effect.catchTag(storage.append(command), "InlineProjectionMissing", (missing) =>
          versions.recognize(missing) ? groups.submit(command) : Effect.fail(versions.explain(missing)))

    /** In the transaction that is open. There a refusal may break all of it, so what is applied is asked for each time. */
    const inside = (command: AppendCommand): Effect.Effect<ReadonlyArray<AppendedEntry>, AppendFailure> =>
      Effect.flatMap(IsApplying, (isApplying) =>
        isApplying
          ? Effect.fail(appendsItself())
          : Effect.flatMap(
            whileActivated(versions)(
              transactInline(storage, versions, [command], { isRepeated: false, isWaiting: true })
            ),
            ({ answers }) => answers.get(command)!
          ))

    return {
      register: (projection) => versions.register(projection),
      append: (command) =>
        versions.isEmpty
          ? storage.append(command)
          : Effect.flatMap(storage.inTransaction, (isOpen) =>
            !isOpen ? outside(command) : versions.wants(command) ? inside(command) : storage.append(command)),

      explain: (error) =>
        !(error instanceof InlineProjectionMissing)
          ? error
          : versions.recognize(error)
          ? activatedMeanwhile(error)
          : versions.explain(error)
    }
  })

/** Groups that wait for streams at a time: each of them has a connection of the application's. */
const heldLanes = 2

/** Most streams of a group: each is a lock, and of those a database has some thousands for all its connections. */
const mostStreams = 256

/** It runs here, so it can be applied to what was staged if that is done again. */
const activatedMeanwhile = (cause: InlineProjectionMissing) =>
  new StoreError({
    operation: "transaction",
    isRetryable: true,
    outcome: "not-stored",
    cause: new Error("an inline projection came into force while the transaction was open", { cause })
  })

const appendsItself = () =>
  new InvalidInput({ field: "transaction", problem: "puts events into an inline projection: that cannot append" })
