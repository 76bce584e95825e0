import { Clock, Effect, Exit, type Fiber, Option } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import { type LogFilter, matches } from "../LogFilter.ts"
import type { AppendCommand, AppendRefused, Page, PageRange } from "../LogStorage.ts"
import type { ProjectionState, ProjectionStorage } from "../ProjectionStorage.ts"
import { InlineProjectionMissing, InvalidInput, StoreError } from "../StoreError.ts"
import type { MemoryLocks } from "./memoryLocks.ts"
import {
  activate,
  advance,
  claim,
  deactivate,
  discard,
  fenceAll,
  forgetError,
  freeAll,
  isAllowed,
  isAt,
  isCaughtUp,
  makeVersion,
  parkedAfter,
  type Place,
  progressOf,
  release,
  replay,
  replayFailed,
  reset,
  type SetUp,
  stateOf,
  type Version,
  wantPartitions
} from "./memoryProjection.ts"
import { MemoryTimers } from "./memoryTimers.ts"
import { type Ending, type Transaction } from "./memoryTransaction.ts"

/** What projections need of the log in memory. */
export interface ProjectedLog {
  readonly locks: MemoryLocks
  readonly transactionOf: (fiber: Fiber.Fiber<any, any>) => Transaction | undefined
  /** The newest event there has ever been. */
  readonly head: () => Place
  /** The event at a position, unless it is hidden. */
  readonly eventAt: (position: number) => StoredEvent | undefined
  /** The id of the event at a position, also of a hidden one. */
  readonly idAt: (position: number) => EventId | undefined
  /** The first events behind a position that match, without hidden ones. */
  readonly eventsAfter: (filter: LogFilter, position: number, limit: number) => ReadonlyArray<StoredEvent>
  /** A page of the events at some positions, without hidden ones. */
  readonly pageOf: (positions: ReadonlyArray<number>, range: PageRange) => Page
  /** Runs an effect as a transaction that ends with something else. Nothing is stored where either of them says `None`. */
  readonly transactionIf: <A, E, R>(
    effect: (transaction: Transaction) => Effect.Effect<Option.Option<A>, E, R>,
    ending: (transaction: Transaction, now: number) => Option.Option<Ending>
  ) => Effect.Effect<Option.Option<A>, E | AppendRefused | InvalidInput | StoreError, R>
}

/** What keeps everybody from storing events, while it is held. */
export const logLock = "log"

/** Projections in memory, and what appends have to know of those that are applied inline. */
export interface MemoryProjections {
  readonly storage: ProjectionStorage
  /** Why a command cannot be stored, or staged, by a transaction: inline projections that it does not apply, or no more. */
  readonly judgeInline: (
    command: AppendCommand,
    transaction: Transaction | undefined
  ) => InlineProjectionMissing | StoreError | undefined
  /** Whether a transaction has put a staged event into a read model. */
  readonly isApplied: (event: StoredEvent, transaction: Transaction) => boolean
}

/** Whatever does not wait runs in one piece, so only what transactions keep from others needs locks. */
export const makeMemoryProjections = (log: ProjectedLog): MemoryProjections => {
  const { locks } = log
  const byId = new Map<number, Version>()
  const byName = new Map<string, Map<number, Version>>()
  /** Versions that were live before the ones that are. */
  const previous = new Map<string, Version>()
  const applied = new Set<Version>()
  const timers = new Map<string, MemoryTimers>()
  let ids = 0
  let activations = 0
  let timerIds = 0

  /** Runs something in one piece, at the time of the fibre's clock where none is given. */
  const run = <A>(effect: (transaction: Transaction | undefined, now: number) => A, given?: number): Effect.Effect<A> =>
    Effect.withFiber((fiber) => Effect.succeed(effect(log.transactionOf(fiber), given ?? timeOf(fiber))))

  /** The same, as a part of the transaction that is open, with locks that it holds from then on. */
  const runLocked = <A>(
    operation: string,
    names: ReadonlyArray<string>,
    effect: (transaction: Transaction | undefined) => A
  ): Effect.Effect<A, StoreError> =>
    Effect.withFiber((fiber) => {
      const transaction = log.transactionOf(fiber)
      return locks.run(operation, transaction, names, () => Exit.succeed(effect(transaction)))
    })

  /** What an operator does; `false` where there is no such version. */
  const operate = (id: number, effect: (version: Version) => void): Effect.Effect<boolean> =>
    Effect.sync(() => {
      const version = byId.get(id)
      if (version === undefined) return false
      effect(version)
      return true
    })

  const liveOf = (name: string): Version | undefined =>
    [...(byName.get(name)?.values() ?? [])].find(({ isLive }) => isLive)

  const statesOf = (name: string, transaction: Transaction | undefined, now: number): ReadonlyArray<ProjectionState> =>
    [...(byName.get(name)?.values() ?? [])]
      .sort((a, b) => a.definition.version - b.definition.version)
      .map((version) => stateOf(version, now, log.head(), transaction))

  const statesOfAll = (now: number | undefined, isWanted: (state: ProjectionState) => boolean) =>
    run(
      (transaction, now) =>
        [...byName.keys()].sort(StreamId.compare).flatMap((name) => statesOf(name, transaction, now)).filter(isWanted),
      now
    )

  const stopApplying = (version: Version): void => {
    applied.delete(version)
    deactivate(version, log.head())
  }

  /** What was wanted to be live before somebody decided otherwise is wanted no more. */
  const forgetWishes = ({ definition }: Version): void => {
    for (const version of byName.get(definition.name)?.values() ?? []) version.isSwitchWanted = false
  }

  /** Makes a version live, and the live one the previous. */
  const makeLive = (version: Version): void => {
    const live = liveOf(version.definition.name)
    forgetWishes(version)
    if (live === version) return
    if (live !== undefined) {
      stopApplying(live)
      live.isLive = false
      previous.set(version.definition.name, live)
    }
    version.isLive = true
  }

  /** The same, and those who work on the two look again. */
  const switchLive = (version: Version): void => {
    const live = liveOf(version.definition.name)
    makeLive(version)
    fenceAll(version)
    if (live !== undefined) fenceAll(live)
  }

  const isBehind = (version: Version): boolean => {
    const live = liveOf(version.definition.name)
    const head = log.head().position
    return live !== undefined && live !== version && progressOf(live, head) > progressOf(version, head)
  }

  /** What is done once for a version, by whoever comes first. Answers whether it was done now. */
  const once = <E, R>(id: number, what: SetUp, effect: Effect.Effect<unknown, E, R>) => {
    const isWanted = (transaction: Transaction) =>
      byId.get(id) !== undefined && byId.get(id)!.setUp.get(transaction, what) !== true
    return Effect.map(
      log.transactionIf(
        (transaction) =>
          locks.run(
            what,
            transaction,
            [versionLock(id)],
            () => isWanted(transaction) ? Effect.asSome(effect) : Effect.succeedNone
          ),
        (transaction) => {
          const version = byId.get(id)
          if (version === undefined) return Option.none()
          version.setUp.set(transaction, what, true)
          return Option.some(nothingElse)
        }
      ),
      Option.isSome
    )
  }

  const documents: ProjectionStorage["documents"] = {
    load: (id, keys, { isLocking }) => {
      const load = (transaction: Transaction | undefined): ReadonlyMap<string, string> => {
        const found = new Map<string, string>()
        for (const key of keys) {
          const state = byId.get(id)?.documents.get(transaction, key)
          if (state !== undefined) found.set(key, state)
        }
        return found
      }
      return isLocking ? runLocked("load", keys.map((key) => documentLock(id, key)), load) : run(load)
    },

    save: (id, changes) =>
      runLocked("save", changes.map(({ key }) => documentLock(id, key)), (transaction) => {
        for (const { key, state } of changes) byId.get(id)?.documents.set(transaction, key, state ?? undefined)
      }),

    read: (name, keys) =>
      run((transaction) => {
        const version = liveOf(name)
        if (version === undefined) return undefined
        const found = new Map<string, string>()
        for (const key of keys) {
          const state = version.documents.get(transaction, key)
          if (state !== undefined) found.set(key, state)
        }
        return { id: version.id, version: version.definition.version, found }
      }),

    page: (id, options) =>
      run((transaction) =>
        (byId.get(id)?.documents.page(transaction, options) ?? []).map(([key, state]) => ({ key, state }))
      )
  }

  const links: ProjectionStorage["links"] = {
    add: (id, added) =>
      runLocked("link", [], (transaction) => {
        for (const { key, position } of added) byId.get(id)?.links.add(transaction, key, position)
      }),

    page: (id, key, range) =>
      run((transaction) => log.pageOf(byId.get(id)?.links.positions(transaction, key) ?? [], range)),

    list: (id, options) =>
      run((transaction) =>
        byId.get(id)?.links.list(transaction, {
          ...options,
          isVisible: (position) => log.eventAt(position) !== undefined
        }) ?? []
      ),

    keys: (id, options) => run((transaction) => byId.get(id)?.links.keys(transaction, options) ?? [])
  }

  const timersOf = (owner: string): MemoryTimers => {
    let known = timers.get(owner)
    if (known === undefined) timers.set(owner, known = new MemoryTimers())
    return known
  }

  const timersStorage: ProjectionStorage["timers"] = {
    change: (owner, changes) =>
      runLocked("change timers", changes.map(({ key }) => timersLock(owner, key)), (transaction) => {
        for (const { at, key, name } of changes) {
          if (at === null) timersOf(owner).remove(transaction, { key, name })
          else timersOf(owner).set(transaction, { id: ++timerIds, key, name, at })
        }
      }),

    clear: (owner, key) =>
      runLocked("clear timers", [timersLock(owner, key)], (transaction) => timersOf(owner).clear(transaction, key)),

    due: (owner, limit, now) =>
      run((transaction, now) => {
        const all = timersOf(owner).sorted(transaction)
        const waiting = all.find(({ at }) => at > now)
        return {
          timers: all.filter(({ at }) => at <= now).slice(0, limit),
          nextIn: waiting && waiting.at - now
        }
      }, now),

    take: (owner, timer) =>
      runLocked(
        "take a timer",
        [timersLock(owner, timer.key)],
        (transaction) => timersOf(owner).take(transaction, timer)
      ),

    list: (owner, limit) => run((transaction) => timersOf(owner).sorted(transaction).slice(0, limit))
  }

  const storage: ProjectionStorage = {
    hasTables: false,

    register: (definition, partitions, start) =>
      Effect.suspend(() => {
        if (definition.kind === "tables") return Effect.fail(noTables())
        const versions = byName.get(definition.name) ?? new Map<number, Version>()
        byName.set(definition.name, versions)
        let version = versions.get(definition.version)
        if (version === undefined) {
          version = makeVersion(definition, ++ids, partitions, start, versions.size === 0)
          versions.set(definition.version, version)
          byId.set(version.id, version)
        }
        const known = version
        return run((transaction, now) => stateOf(known, now, log.head(), transaction))
      }),

    states: (name, now) =>
      name === undefined
        ? statesOfAll(now, ({ rehearsal }) => rehearsal === undefined)
        : run((transaction, now) => statesOf(name, transaction, now), now),

    rehearsals: (now) => statesOfAll(now, ({ rehearsal }) => rehearsal !== undefined),

    progress: (name) =>
      run((transaction) => {
        const version = liveOf(name)
        return version &&
          { version: version.definition.version, position: progressOf(version, log.head().position, transaction) }
      }),

    claim: (asked) =>
      run((_, now) => {
        const version = byId.get(asked.id)
        return version && claim(version, asked, now)
      }, asked.now),

    release: (id, runner, partitions) =>
      Effect.sync(() => {
        const version = byId.get(id)
        if (version !== undefined) release(version, runner, partitions)
      }),

    advanceWith: <A, E, R>(asked: Parameters<ProjectionStorage["advanceWith"]>[0], effect?: Effect.Effect<A, E, R>) => {
      const isPossible = (transaction: Transaction) => {
        const version = byId.get(asked.id)
        const { eventId, from, to } = asked
        return version !== undefined && isAllowed(version, asked, transaction) &&
          (eventId === null || to === from || log.idAt(to) === eventId)
      }
      return log.transactionIf<A | undefined, E, R>(
        (transaction) =>
          !isPossible(transaction)
            ? Effect.succeedNone
            : effect === undefined
            ? Effect.succeed(Option.some(undefined))
            : Effect.map(effect, Option.some),
        (transaction, now) =>
          isPossible(transaction)
            ? Option.some(advance(byId.get(asked.id)!, asked, transaction, asked.now ?? now))
            : Option.none()
      )
    },

    setUpWith: (id, effect) => once(id, "isSetUp", effect),

    indexWith: (id, effect) =>
      Effect.suspend(() => {
        const version = byId.get(id)
        if (version === undefined) return Effect.succeed(false)
        if (version.setUp.get(undefined, "isIndexed") === true) return Effect.succeed(true)
        if (!isCaughtUp(version)) return Effect.succeed(false)
        return Effect.as(once(id, "isIndexed", effect), true)
      }),

    completeWith: (id, { isSwitching }, effect) =>
      Effect.suspend(() => {
        const version = byId.get(id)
        if (version === undefined) return Effect.succeed(false)
        const { definition, partitions } = version
        // what is ready is made live by who asks for it: a runner that is late must not undo what an operator did since
        const maySwitch = () => version.stage === "building" || version.isSwitchWanted || version.isLive
        const isApplying = isSwitching && definition.isInline
        const isDone = () =>
          version.stage === "ready" && (!isSwitching || !maySwitch() || version.isLive) &&
          (!isApplying || !maySwitch() || version.activation !== undefined)
        const isPossible = () =>
          byId.has(id) && isCaughtUp(version) && (!isSwitching || maySwitch() && (isApplying || !isBehind(version)))
        let missing: ReadonlyArray<StoredEvent> = []
        const complete = () => {
          version.stage = "ready"
          if (!isSwitching) return
          makeLive(version)
          if (!isApplying) return
          activate(version, ++activations, log.head(), missing.length)
          applied.add(version)
        }
        let wasDone = false
        const completed = log.transactionIf(
          (transaction) =>
            locks.run("complete", transaction, [versionLock(id), ...(isApplying ? [logLock] : [])], () => {
              wasDone = isDone()
              if (wasDone || !isPossible()) return Effect.succeedNone
              if (isApplying) {
                const { position } = partitions.get(transaction, 0)!
                missing = log.eventsAfter(definition.filter, position, mostMissing + 1)
                if (missing.length > mostMissing) return Effect.succeedNone
              }
              return Effect.asSome(effect(missing))
            }),
          () => isPossible() ? Option.some({ isPossible, run: complete }) : Option.none()
        )
        return Effect.map(completed, (completed) => wasDone || Option.isSome(completed))
      }),

    report: (partition, { error, isFatal, position }) =>
      Effect.sync(() => {
        const version = byId.get(partition.id)
        if (!isAt(version, partition)) return
        version.error = error
        version.errorPosition = position
        if (!isFatal) return
        version.status = "failed"
        freeAll(version)
      }),

    pause: (id) =>
      operate(id, (version) => {
        stopApplying(version)
        version.status = "paused"
        freeAll(version)
      }),

    resume: (id) =>
      operate(id, (version) => {
        if (version.status === "running") return
        version.status = "running"
        forgetError(version)
        fenceAll(version)
      }),

    reset: (id) =>
      Effect.withFiber((fiber) =>
        // what is set up at the moment has to be, and then is no longer
        locks.whenFree("reset", log.transactionOf(fiber), versionLock(id), () =>
          operate(id, (version) => {
            applied.delete(version)
            reset(version)
          }))
      ),

    repartition: (id, partitions) => operate(id, (version) => wantPartitions(version, partitions)),

    switchTo: (id) =>
      Effect.sync(() => {
        const version = byId.get(id)
        if (version === undefined) return "unknown"
        if (version.isLive) {
          forgetWishes(version)
          return "switched"
        }
        if (version.stage === "building") return "behind"
        if (version.definition.isInline) {
          forgetWishes(version)
          version.isSwitchWanted = true
          fenceAll(version)
          return "wanted"
        }
        if (isBehind(version)) return "behind"
        switchLive(version)
        return "switched"
      }),

    rollBack: (name) =>
      Effect.sync(() => {
        const version = previous.get(name)
        if (version === undefined) return undefined
        switchLive(version)
        return version.definition.version
      }),

    drop: (id) =>
      Effect.sync(() => {
        const version = byId.get(id)
        if (version === undefined) return "unknown"
        const { name } = version.definition
        const versions = byName.get(name)!
        // the only one can go where nobody works on it: then there is no such projection any more
        if (version.isLive && (versions.size > 1 || version.status === "running")) return "live"
        byId.delete(id)
        versions.delete(version.definition.version)
        if (versions.size === 0) byName.delete(name)
        if (previous.get(name) === version) previous.delete(name)
        return "dropped"
      }),

    parked: (id, options) =>
      Effect.sync(() => {
        const version = byId.get(id)
        if (version === undefined) return []
        return parkedAfter(version, options).map((parked) => ({
          ...parked,
          isReplayWanted: version.replays.get(undefined, parked.key) === true,
          event: log.eventAt(parked.position)
        }))
      }),

    replay: (id, keys) => Effect.sync(() => byId.has(id) ? replay(byId.get(id)!, keys) : 0),

    discard: (id, keys) => Effect.sync(() => byId.has(id) ? discard(byId.get(id)!, keys) : 0),

    replayFailed: (partition, failure) =>
      Effect.sync(() => {
        const version = byId.get(partition.id)
        if (isAt(version, partition)) replayFailed(version, failure)
      }),

    documents,
    links,
    timers: timersStorage,

    beginInline: (ids, streamIds, { isWaiting }) =>
      Effect.withFiber((fiber) => {
        const transaction = log.transactionOf(fiber)
        if (transaction === undefined) return Exit.fail(noTransaction())
        const held = isWaiting ? [] : streamIds.filter((streamId) => locks.isTaken(streamLock(streamId), transaction))
        const free = held.length === 0 ? streamIds : streamIds.filter((streamId) => !held.includes(streamId))
        const begin = () => {
          const applied = ids.filter((id) => {
            const activation = byId.get(id)?.activation
            if (activation !== undefined) transaction.inline.set(id, activation)
            return activation !== undefined
          })
          return Exit.succeed({ applied, held })
        }
        return locks.run("append", transaction, free.map(streamLock), () =>
          locks.whenFree("append", transaction, logLock, begin))
      })
  }

  const judgeInline: MemoryProjections["judgeInline"] = (command, transaction) => {
    const missing = [...applied]
      .filter((version) =>
        transaction?.begunInline(version.id) !== version.activation && isMatched(version.definition.filter, command)
      )
      .map(({ definition: { name, version } }) => ({ name, version }))
    if (isNonEmpty(missing)) return new InlineProjectionMissing({ projections: missing })
    for (let one = transaction; one !== undefined; one = one.outer) {
      for (const id of one.inline.keys()) {
        const version = byId.get(id)
        if (
          version?.activation === undefined && (version === undefined || isMatched(version.definition.filter, command))
        ) {
          return inlineEnded()
        }
      }
    }
    return undefined
  }

  const isApplied: MemoryProjections["isApplied"] = (event, transaction) =>
    [...transaction.inline.keys()].some((id) => {
      const version = byId.get(id)
      return version !== undefined && matches(version.definition.filter, event)
    })

  return { storage, judgeInline, isApplied }
}

/** Events that an inline projection may not have handled when it is made live: nothing can be stored meanwhile. */
const mostMissing = 1000

const documentLock = (id: number, key: string): string => `document/${id}/${key}`
const streamLock = (streamId: string): string => `stream/${streamId}`
const timersLock = (owner: string, key: string): string => `timers/${owner}/${key}`
const versionLock = (id: number): string => `version/${id}`

const nothingElse: Ending = { isPossible: () => true, run: () => {} }

const timeOf = (fiber: Fiber.Fiber<any, any>): number => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()

/** Whether an inline projection may want an event of a command, by category and type: as databases tell it. */
const isMatched = ({ categories, types }: LogFilter, command: AppendCommand): boolean =>
  command.entries.some(({ events, streamId }) =>
    (categories === null || categories.includes(StreamId.category(streamId))) &&
    events.some(({ type }) => types === null || types.includes(type))
  )

const isNonEmpty = <A>(items: ReadonlyArray<A>): items is readonly [A, ...ReadonlyArray<A>] => items.length > 0

const noTables = () =>
  new InvalidInput({
    field: "projection",
    problem: "keeps tables, which there are none of in memory: take PgliteEventStore.layer() or PgEventStore.layer()"
  })

const noTransaction = () =>
  new StoreError({
    operation: "append",
    isRetryable: false,
    outcome: "not-stored",
    cause: new Error("inline projections are applied in a transaction, and none is open")
  })

/** A transaction applied an inline projection that is applied no longer, and would handle the events once more. */
const inlineEnded = () =>
  new StoreError({
    operation: "append",
    isRetryable: true,
    outcome: "not-stored",
    cause: new Error("an inline projection that this transaction applied was paused or replaced meanwhile")
  })
