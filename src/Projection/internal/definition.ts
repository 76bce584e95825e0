import { type Array as Arr, Effect } from "effect"
import type { EventStore } from "../../Store/EventStore.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { ProjectionDefinition } from "../../Store/ProjectionStorage.ts"
import type { InvalidInput } from "../../Store/StoreError.ts"
import type { Decode } from "../../Stream/Decode.ts"
import type { Recorded } from "../../Stream/Recorded.ts"

/** What a projection is for those who run it, whatever it keeps. */
export interface Definition {
  readonly name: string
  readonly version: number
  readonly kind: ProjectionDefinition["kind"]
  readonly isInline: boolean
  /** Whether applying may append events: what others see at once has to be durable at once. */
  readonly appends?: boolean | undefined
  readonly schema: string | null
  readonly start: "start" | "end" | number
  readonly filter: Effect.Effect<LogFilter, InvalidInput>
  readonly decode: Decode<any, any>
  /**
   * What the events are kept in order by, and parked by: the stream where it is left out. An event with several keys goes to
   * all of their partitions; one without any to none.
   */
  readonly keysOf: ((recorded: Recorded<any>) => ReadonlyArray<string>) | undefined
  /** Whether it can run here at all: asked before it is made known. */
  readonly check?: ((store: EventStore["Service"]) => Effect.Effect<void, unknown, any>) | undefined
  /** Runs once a version, in a transaction. */
  readonly setUp: (target: Target) => Effect.Effect<unknown, unknown, any>
  /** Makes its indexes, if it has any: once a version, in a transaction, when it has caught up and before anybody reads it. */
  readonly index?: ((target: Target) => Effect.Effect<unknown, unknown, any>) | undefined
  /** The same with its tables in another database schema; there for those that have tables. */
  readonly inSchema?: ((schema: string) => Definition) | undefined
  /** Whether it is read only: a rehearsal, under the name that the storage has for it. */
  readonly isRehearsal?: boolean | undefined
  /** Puts events into the read model. Runs in the transaction that moves the checkpoint, or in that of an append. */
  readonly apply: (
    target: Target,
    events: Arr.NonEmptyReadonlyArray<Recorded<any>>
  ) => Effect.Effect<unknown, unknown, any>
}

/** What a projection is applied to: one version of it, or one partition of that. */
export interface Target {
  readonly store: EventStore["Service"]
  readonly id: number
  /** Whether a key belongs to the partition. Events of one transaction may have others as well. */
  readonly owns: (key: string) => boolean
  /** Whether it has not caught up yet. */
  readonly isRebuild: boolean
  /** Whether it is applied in the transaction of an append: events have no positions then. */
  readonly isInline: boolean
  /**
   * What its owner keeps from one transaction to the next: nobody else writes what belongs to the partition meanwhile. Empty
   * where that does not hold, and after each transaction that failed. A savepoint of a middleware may be rolled back alone, so
   * nothing is put here that was saved within one: see {@link mayKeep}.
   */
  readonly kept?: Map<string, unknown> | undefined
}

/** Whether what is saved now stands or falls with the transaction that moves the checkpoint, and no sooner. */
export const mayKeep = ({ kept, store }: Target): Effect.Effect<boolean> =>
  kept === undefined ? Effect.succeed(false) : Effect.map(store.storage.transactionDepth, (depth) => depth === 1)
