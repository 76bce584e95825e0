/**
 * The seam below projections: what a storage keeps of them, beside the log they read.
 *
 * A projection has a name and versions; one version is live, others are built beside it. A version has one or more
 * partitions, each with a checkpoint, an owner whose lease runs out, and an epoch that grows whenever the owner may have
 * become another one, or is to look again. Everything that moves a checkpoint names the epoch it was claimed under, and
 * does nothing where that is not the epoch any more.
 *
 * `now` is the time in milliseconds since 1970; `undefined` is the time of the storage, which is what counts wherever
 * several processes take part.
 *
 * @since 0.1.0
 */
import type { Duration, Effect, Option } from "effect"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import type { LogFilter } from "./LogFilter.ts"
import type { AppendRefused, Page, PageRange } from "./LogStorage.ts"
import type { LogPlace } from "./LogTail.ts"
import type { InvalidInput, StoreError } from "./StoreError.ts"

/**
 * What a version of a projection is. It never changes: another filter is another version.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProjectionDefinition {
  readonly name: string
  /** From 1. */
  readonly version: number
  readonly filter: LogFilter
  /** What it keeps: tables of the application, documents or links in the storage, or nothing but the events it emits. */
  readonly kind: "tables" | "documents" | "links" | "events"
  /** Whether it is applied in the transactions that append, once it has caught up. */
  readonly isInline: boolean
  /** Name of the database schema that holds its tables, where it keeps tables. */
  readonly schema: string | null
  /** What it rehearses, where it is no projection of its own. */
  readonly rehearsal?: RehearsedProjection | undefined
}

/**
 * A projection that is built once more, up to a position, beside its versions. It is kept as a projection of another name.
 *
 * @category models
 * @since 0.1.0
 */
export interface RehearsedProjection {
  readonly projection: string
  readonly version: number
  /** What was asked for: positions, and a time in milliseconds since 1970. */
  readonly from: number | null
  readonly to: number | null
  readonly until: number | null
  /** Up to where it is built. */
  readonly target: number
  /** Whether it goes when the program that made it is done with it. */
  readonly isTemporary: boolean
}

/**
 * A version of a projection, as it is at the moment.
 *
 * - `"building"`: has not caught up for the first time, or since it was reset
 * - `"ready"`: has
 *
 * @category models
 * @since 0.1.0
 */
export interface ProjectionState extends ProjectionDefinition {
  readonly id: number
  /** Behind which it began. */
  readonly startPosition: number
  readonly isLive: boolean
  /** Whether what it keeps was set up. */
  readonly isSetUp: boolean
  readonly stage: "building" | "ready"
  readonly status: "running" | "paused" | "failed"
  /** Whether appends apply it at the moment. Its checkpoint is then as good as the head of the log. */
  readonly isApplied: boolean
  /** The last failure: of the event at `errorPosition`. It stays until something is handled or it is resumed. */
  readonly error: string | null
  readonly errorPosition: number | null
  /** In order of their numbers, from 0. */
  readonly partitions: ReadonlyArray<PartitionState>
  /** What the partitions are to become, while a change of their number is under way. */
  readonly repartitionTo: number | null
  readonly parkedKeys: number
  readonly parkedEvents: number
}

/**
 * A partition of a version, as it is at the moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionState {
  readonly partition: number
  /** Everything up to here is in the read model, or parked. */
  readonly position: number
  readonly eventId: string | null
  readonly epoch: number
  /** The runner that owns it, where its lease has not run out. */
  readonly owner: string | null
  readonly isCaughtUp: boolean
  /** Events handled since it was made or reset. */
  readonly handled: number
  /** Events a second, as its owner measured last. */
  readonly rate: number
}

/**
 * A runner asks for partitions to work on, and says that it is alive.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionClaim {
  readonly id: number
  /** Names the runner: a text of its own for each. */
  readonly runner: string
  readonly lease: Duration.Duration
  readonly now: number | undefined
}

/**
 * A partition that a runner owns.
 *
 * @category models
 * @since 0.1.0
 */
export interface OwnedPartition {
  readonly partition: number
  /** How many partitions there are. */
  readonly of: number
  readonly epoch: number
  readonly position: number
  readonly eventId: string | null
  readonly isCaughtUp: boolean
  readonly handled: number
}

/**
 * The answer to a claim.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionsClaimed {
  /** All that the runner owns now, leases extended. None unless the version is `"running"`, nor while it is applied inline. */
  readonly partitions: ReadonlyArray<OwnedPartition>
  /** How many of them it should release, so that other runners have their share. */
  readonly surplus: number
  readonly status: ProjectionState["status"]
  readonly stage: ProjectionState["stage"]
  readonly isSetUp: boolean
  readonly isLive: boolean
  readonly isApplied: boolean
  /** Whether somebody asked for it to be made live as soon as it can be. */
  readonly isSwitchWanted: boolean
  /** No partition may move beyond this position: their number is to change there. */
  readonly stopAt: number | null
  /** Keys whose events are set aside. */
  readonly parkedKeys: ReadonlyArray<string>
  /** Those of them that somebody wants handled again. */
  readonly replays: ReadonlyArray<string>
  /** Milliseconds until a lease of another runner runs out. */
  readonly nextIn: number | undefined
}

/**
 * An event that is set aside. `error` is `null` where it only waits behind an earlier one of its key.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewParkedEvent {
  readonly key: string
  readonly position: number
  readonly attempts: number
  readonly error: string | null
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ParkedEvent extends NewParkedEvent {
  /** Milliseconds since 1970. */
  readonly parkedAt: number
  readonly isReplayWanted: boolean
  /** `undefined` where it is hidden or gone by now. */
  readonly event: StoredEvent | undefined
}

/**
 * Moves the checkpoint of a partition.
 *
 * @category models
 * @since 0.1.0
 */
export interface Advance {
  readonly id: number
  readonly partition: number
  readonly epoch: number
  readonly from: number
  /** Not below `from`. */
  readonly to: number
  /** The event at `to`, where that is known. */
  readonly eventId: string | null
  /** Events that were handled on the way. */
  readonly handled: number
  readonly rate: number
  readonly isCaughtUp: boolean
  /** The lease runs from now on. */
  readonly lease: Duration.Duration
  readonly now: number | undefined
  /** Events that are set aside with it. */
  readonly park?: ReadonlyArray<NewParkedEvent> | undefined
  /** Events that were set aside, and are finished with it. All of them have to be set aside still, under that key. */
  readonly unpark?: { readonly key: string; readonly positions: ReadonlyArray<number> } | undefined
  /**
   * Whether the commit need not wait for the disk: what is lost in a crash is lost together with the checkpoint, and done
   * again.
   */
  readonly isBulk?: boolean | undefined
}

/**
 * A change of a document: its JSON text, or `null` where it is removed.
 *
 * @category models
 * @since 0.1.0
 */
export interface DocumentChange {
  readonly key: string
  readonly state: string | null
}

/**
 * A key under which the event at a position is found.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProjectionLink {
  readonly key: string
  readonly position: number
}

/**
 * Where projections and their checkpoints are kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProjectionStorage {
  /** Whether it can keep the tables of an application, with a `SqlClient`. */
  readonly hasTables: boolean
  /**
   * Makes a version known, with so many partitions, behind a place of the log; does nothing where it is known. The first
   * version of a name is live at once. Answers what is known of it now: compare its definition. `InvalidInput` where
   * another projection keeps its tables in the same schema.
   */
  readonly register: (
    definition: ProjectionDefinition,
    partitions: number,
    start: { readonly position: number; readonly eventId: string | null }
  ) => Effect.Effect<ProjectionState, InvalidInput | StoreError>
  /** All versions of one name, or of all but rehearsals; sorted by name, then by version. */
  readonly states: (
    name: string | undefined,
    now: number | undefined
  ) => Effect.Effect<ReadonlyArray<ProjectionState>, StoreError>
  /** What is rehearsed, sorted by name. */
  readonly rehearsals: (now: number | undefined) => Effect.Effect<ReadonlyArray<ProjectionState>, StoreError>
  /**
   * Position up to which the live version of a projection has handled everything: the lowest of its partitions, the head of
   * the log where appends apply it. `undefined` where there is no such projection.
   */
  readonly progress: (
    name: string
  ) => Effect.Effect<{ readonly version: number; readonly position: number } | undefined, StoreError>

  /**
   * Extends the leases of a runner and hands it what is free, up to its share: partitions divided by the runners that are
   * alive. A partition that changes hands gets another epoch. Carries out a change of the number of partitions that is
   * due. Answers `undefined` where the version was dropped.
   */
  readonly claim: (claim: PartitionClaim) => Effect.Effect<PartitionsClaimed | undefined, StoreError>
  /** Gives partitions back; all of the runner's, and the runner itself, where none are named. */
  readonly release: (
    id: number,
    runner: string,
    partitions?: ReadonlyArray<number>
  ) => Effect.Effect<void, StoreError>
  /**
   * Runs an effect as one transaction (see `LogStorage.transaction`) and moves a checkpoint in it. Answers `None`, and
   * leaves nothing of the effect, where the epoch is not the one named, `from` not the position there is, `to` beyond where
   * the partition may go, the event named there is not in the log, an event to unpark is not parked any more, or the version is not running. It may ask before the effect
   * is run, too. A process that stands still in the middle of it keeps what it locked for no longer than its lease. Without
   * an effect it only moves.
   */
  readonly advanceWith: <A, E, R>(
    advance: Advance,
    effect: Effect.Effect<A, E, R> | undefined
  ) => Effect.Effect<Option.Option<A | undefined>, E | AppendRefused | InvalidInput | StoreError, R>
  /**
   * Runs an effect as one transaction that makes a version set up, unless it is: then it is not run. Others who try wait
   * for it. Answers whether it was run.
   */
  readonly setUpWith: <E, R>(
    id: number,
    effect: Effect.Effect<unknown, E, R>
  ) => Effect.Effect<boolean, E | AppendRefused | InvalidInput | StoreError, R>
  /**
   * Runs an effect as one transaction that makes the indexes of a version, unless they are made: then it is not run. Others
   * who try wait for it, and nothing else does. Answers `false` where a partition has not caught up.
   */
  readonly indexWith: <E, R>(
    id: number,
    effect: Effect.Effect<unknown, E, R>
  ) => Effect.Effect<boolean, E | AppendRefused | InvalidInput | StoreError, R>
  /**
   * Makes a version ready that has caught up with all partitions, and live where `isSwitching`; the effect runs in the
   * same transaction. Answers `false`, and leaves nothing of the effect, where a partition is not caught up, or the version
   * to be replaced is further (`isSwitching` only). Does nothing and answers `true` where it is ready (and live) already; nor is
   * a version that was ready before made live by it, unless somebody asked for that (`switchTo`): a runner that is late must
   * not undo what an operator did since.
   *
   * Where it is to be applied inline and `isSwitching`, the effect is run while nothing can be stored, with the events that
   * it has not handled yet (at most 1,000, else `false`); from then on appends apply it, and no longer the version that was
   * live before, whose checkpoint is then the head of the log. Inline versions have one partition.
   */
  readonly completeWith: <E, R>(
    id: number,
    options: { readonly isSwitching: boolean },
    effect: (missing: ReadonlyArray<StoredEvent>) => Effect.Effect<unknown, E, R>
  ) => Effect.Effect<boolean, E | AppendRefused | InvalidInput | StoreError, R>
  /**
   * Notes a failure, of the event at a position where one is to blame; with `isFatal` the version fails: nobody is handed
   * its partitions until it is resumed. Nothing happens where the epoch is not the one named.
   */
  readonly report: (
    partition: { readonly id: number; readonly partition: number; readonly epoch: number },
    failure: { readonly error: string; readonly position: number | null; readonly isFatal: boolean }
  ) => Effect.Effect<void, StoreError>

  // what operators do; each makes owners look again, and answers `false` where there is no such version
  /** An inline version is applied no longer: its checkpoint is the head of the log then. */
  readonly pause: (id: number) => Effect.Effect<boolean, StoreError>
  /** From paused or failed. */
  readonly resume: (id: number) => Effect.Effect<boolean, StoreError>
  /** Back to where it began, as if it were new: documents, links and parked events are removed, and tables are to be set up again. */
  readonly reset: (id: number) => Effect.Effect<boolean, StoreError>
  /** Changes the number of partitions, as soon as all of them have come as far as the first one. From 1 to 1,000. */
  readonly repartition: (id: number, partitions: number) => Effect.Effect<boolean, StoreError>
  /**
   * Makes a version live, and the live one the previous. `"behind"` where it is building, or has not come as far as the live
   * one; `"wanted"` where its runner has to do it, because it is inline.
   */
  readonly switchTo: (id: number) => Effect.Effect<"switched" | "wanted" | "behind" | "unknown", StoreError>
  /** Makes the version live that was live before. Answers its number, or `undefined` where there is none. */
  readonly rollBack: (name: string) => Effect.Effect<number | undefined, StoreError>
  /**
   * Removes a version and all it keeps, its tables too. `"live"`, and nothing happens, where it is: unless it is the only one
   * of its name, and not running. Where removing fails half-way, it is left paused.
   */
  readonly drop: (id: number) => Effect.Effect<"dropped" | "live" | "unknown", StoreError>

  /** In order of positions, after a position. */
  readonly parked: (
    id: number,
    options: { readonly key: string | undefined; readonly after: number; readonly limit: number }
  ) => Effect.Effect<ReadonlyArray<ParkedEvent>, StoreError>
  /** Asks for keys to be handled again, all where none are given. Answers how many events that are. */
  readonly replay: (id: number, keys: ReadonlyArray<string> | undefined) => Effect.Effect<number, StoreError>
  /** Gives parked events up, of all keys where none are given; their keys go on. Answers how many events. */
  readonly discard: (id: number, keys: ReadonlyArray<string> | undefined) => Effect.Effect<number, StoreError>
  /** A replay of a key failed. Nothing happens where the epoch is not the one named. */
  readonly replayFailed: (
    partition: { readonly id: number; readonly partition: number; readonly epoch: number },
    failure: { readonly key: string; readonly position: number; readonly error: string }
  ) => Effect.Effect<void, StoreError>

  /** Documents of a version by key. Inside a transaction it sees and makes its changes. */
  readonly documents: {
    /**
     * With `isLocking` nobody else loads or writes these keys until the transaction ends, whether there are documents or not.
     */
    readonly load: (
      id: number,
      keys: ReadonlyArray<string>,
      options: { readonly isLocking: boolean }
    ) => Effect.Effect<ReadonlyMap<string, string>, StoreError>
    readonly save: (id: number, changes: ReadonlyArray<DocumentChange>) => Effect.Effect<void, StoreError>
    /** Documents of the live version, in one answer; `undefined` where there is no such projection. */
    readonly read: (name: string, keys: ReadonlyArray<string>) => Effect.Effect<
      { readonly id: number; readonly version: number; readonly found: ReadonlyMap<string, string> } | undefined,
      StoreError
    >
    /** Sorted by key, by code point, after a key. Keys begin with the prefix. */
    readonly page: (id: number, options: {
      readonly prefix: string
      readonly after: string
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<{ readonly key: string; readonly state: string }>, StoreError>
  }

  /** Links from a key to events of the log: they cannot dangle, and are never there twice. */
  readonly links: {
    readonly add: (
      id: number,
      links: ReadonlyArray<ProjectionLink>
    ) => Effect.Effect<void, StoreError>
    /** The events that a key links to, without those that are hidden, by position. */
    readonly page: (id: number, key: string, range: PageRange) => Effect.Effect<Page, StoreError>
    /** Links to events that are not hidden, sorted by key, by code point, and position; after one of them. */
    readonly list: (
      id: number,
      options: { readonly after: ProjectionLink | undefined; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<ProjectionLink>, StoreError>
    /** Keys with how many links they have, sorted by code point, after a key. */
    readonly keys: (
      id: number,
      options: { readonly prefix: string; readonly after: string; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<{ readonly key: string; readonly count: number }>, StoreError>
  }

  /**
   * Begins to append in a transaction that is open and applies inline projections: answers which of the versions are
   * applied at the moment, and takes them for applied by this transaction from now on. Nobody else who begins so appends to
   * these streams until the transaction ends, so the versions that staged events have are the ones they will have.
   *
   * Streams that another transaction has begun for are waited for; or, where `isWaiting` is `false`, left to it: `held`.
   */
  readonly beginInline: (
    ids: ReadonlyArray<number>,
    streamIds: ReadonlyArray<string>,
    options: { readonly isWaiting: boolean }
  ) => Effect.Effect<{ readonly applied: ReadonlyArray<number>; readonly held: ReadonlyArray<string> }, StoreError>

  /** Durable timers of process managers, by owner, key and name. */
  readonly timers: {
    /** Sets (`at`, milliseconds since 1970) or cancels (`null`) timers; a part of the transaction that is open. */
    readonly change: (
      owner: string,
      changes: ReadonlyArray<{ readonly key: string; readonly name: string; readonly at: number | null }>
    ) => Effect.Effect<void, StoreError>
    /** Cancels all timers of a key; a part of the transaction that is open. */
    readonly clear: (owner: string, key: string) => Effect.Effect<void, StoreError>
    /** Timers that are due, the earliest first, and how long until the next one is. */
    readonly due: (owner: string, limit: number, now: number | undefined) => Effect.Effect<
      { readonly timers: ReadonlyArray<Timer>; readonly nextIn: number | undefined },
      StoreError
    >
    /** Removes a timer if it is still the one that was seen; a part of the transaction that is open. Answers whether it was. */
    readonly take: (owner: string, timer: Timer) => Effect.Effect<boolean, StoreError>
    /** Timers that wait, by time; for operators. */
    readonly list: (owner: string, limit: number) => Effect.Effect<ReadonlyArray<Timer>, StoreError>
  }
}

/**
 * A timer that waits. `id` tells it from another one of the same name that was set later.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timer {
  readonly id: number
  readonly key: string
  readonly name: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/**
 * Where a version goes on: for a follower of the log.
 *
 * @category getters
 * @since 0.1.0
 */
export const placeOf = (
  { eventId, position }: { readonly position: number; readonly eventId: string | null }
): LogPlace => ({ position, eventId: eventId ?? undefined })
