import { type Array as Arr, Clock, Context, Effect, Exit, Option } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import { type ExpectedVersion, isMetBy } from "../../Stream/ExpectedVersion.ts"
import type { Position } from "../../Stream/Position.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import * as StreamId from "../../Stream/StreamId.ts"
import { type LogFilter, matches } from "../LogFilter.ts"
import type {
  AppendCommand,
  AppendedEntry,
  AppendRefused,
  LogStorage,
  NewEvent,
  Page,
  PageRange,
  StreamChange,
  StreamState
} from "../LogStorage.ts"
import {
  AppendConditionFailed,
  EventIdConflict,
  type InvalidInput,
  StoreError,
  StreamTombstoned,
  type Violation,
  type WrongExpectedVersion,
  wrongExpectedVersion
} from "../StoreError.ts"
import { MemoryLocks } from "./memoryLocks.ts"
import { firstAfter, page } from "./memoryPage.ts"
import { logLock, makeMemoryProjections } from "./memoryProjections.ts"
import { makeMemorySnapshots } from "./memorySnapshots.ts"
import { makeMemorySubscriptions } from "./memorySubscriptions.ts"
import { Transaction, transactionEnded } from "./memoryTransaction.ts"
import { noChangeInTransaction, violation } from "./verdict.ts"

interface MemoryStream {
  readonly streamId: StreamId.StreamId
  readonly events: Array<StoredEvent>
  /** The events of its whole category, in the order of positions. */
  readonly category: Array<StoredEvent>
  truncatedBefore: number
  tombstoned: boolean
  metadata: string | null
}

/** The events that a transaction sees besides those of the log: what the ones around it staged, then its own. */
const stagedEvents = (staged: Transaction | undefined): ReadonlyArray<StoredEvent> =>
  staged === undefined ? noEvents : staged.outer === undefined ? staged.events : [
    ...stagedEvents(staged.outer),
    ...staged.events
  ]

const noEvents: ReadonlyArray<StoredEvent> = []

/** A log in memory. JavaScript runs one piece at a time: what happens between two yields is as good as locked. */
export const makeMemoryStorage = (): LogStorage => {
  const log: Array<StoredEvent> = []
  const streams = new Map<string, MemoryStream>()
  const byCategory = new Map<string, Array<StoredEvent>>()
  const ids = new Map<EventId, StoredEvent>()
  /** Events up to here are in `ids`: few programs ask for one by id, so it is brought up to date when they do. */
  let indexed = 0
  /** Stream ids in code point order, made when somebody asks for them. */
  let sorted: Array<string> | undefined

  const locks = new MemoryLocks()
  const Current = Context.Reference<Transaction | undefined>(
    `effect-eventstore/Store/memory/${++storages}`,
    { defaultValue: () => undefined }
  )

  const byId = (eventId: EventId): StoredEvent | undefined => {
    for (; indexed < log.length; indexed++) ids.set(log[indexed]!.eventId, log[indexed]!)
    return ids.get(eventId)
  }

  const isHidden = (event: StoredEvent) => {
    const stream = streams.get(event.streamId)!
    return stream.tombstoned || event.streamVersion < stream.truncatedBefore
  }

  const stateOf = (streamId: string, staged: Transaction | undefined): StreamState => {
    const stream = streams.get(streamId)
    const pending = staged === undefined
      ? 0
      : stagedEvents(staged).filter((event) => event.streamId === streamId).length
    return {
      streamId,
      version: (stream?.events.length ?? 0) + pending,
      truncatedBefore: stream?.truncatedBefore ?? 0,
      tombstoned: stream?.tombstoned ?? false,
      metadata: stream?.metadata ?? null
    }
  }

  /** Why a command cannot be stored now, or what it answered before, or `undefined` where it can be stored. */
  const judge = (
    command: AppendCommand,
    staged: Transaction | undefined
  ): AppendRefused | ReadonlyArray<AppendedEntry> | undefined => {
    // a repetition wins over everything: its answer was given before
    const repeated = command.repeatable ? judgeRepeated(command, staged) : undefined
    if (repeated !== undefined) return repeated
    let violations: Arr.NonEmptyArray<Violation> | undefined
    for (const { expected, streamId } of command.entries) {
      const state = stateOf(streamId, staged)
      if (state.tombstoned) return new StreamTombstoned({ streamId })
      if (!isMetBy(expected, { version: state.version, exists: exists(state) })) {
        const violated = violation(streamId, expected, state.version)
        if (violations === undefined) violations = [violated]
        else violations.push(violated)
      }
    }
    if (violations !== undefined) return wrongExpectedVersion(violations)
    if (command.condition !== undefined) {
      const { after, items } = command.condition
      const breaks = (event: StoredEvent) =>
        items.some(({ tags, types }) =>
          (types === undefined || types.includes(event.type)) &&
          (tags === undefined || tags.every((tag) => event.tags?.includes(tag)))
        )
      const position = stagedEvents(staged).some(breaks)
        ? log.length + 1
        : log.findLast((event) => event.position > after && breaks(event))?.position ?? 0
      if (position > after) {
        return new AppendConditionFailed({ after: after as Position, position: position as Position })
      }
    }
    return undefined
  }

  /** A repeated append stands where it would have put its events, whole and with the same content; or it is another one. */
  const judgeRepeated = (
    command: AppendCommand,
    staged: Transaction | undefined
  ): EventIdConflict | ReadonlyArray<AppendedEntry> | undefined => {
    const stagedIds = new Set(stagedEvents(staged).map((event) => event.eventId))
    const isKnown = ({ eventId }: NewEvent) => byId(eventId) !== undefined || stagedIds.has(eventId)
    const known = command.entries.find(({ events }) => events.some(isKnown))
    if (known === undefined) return undefined
    const conflict = { eventId: known.events.find(isKnown)!.eventId, streamId: known.streamId }
    const answers: Array<AppendedEntry> = []
    for (const { events, expected, streamId } of command.entries) {
      const first = events[0] === undefined ? undefined : byId(events[0].eventId)
      for (let i = 0; i < events.length; i++) {
        const stored = byId(events[i]!.eventId)
        const stands = first !== undefined && stored !== undefined && stored.streamId === streamId &&
          stored.streamVersion === first.streamVersion + i &&
          (typeof expected !== "number" || first.streamVersion === expected + 1) && hasContent(stored, events[i]!)
        if (!stands) return new EventIdConflict(conflict)
      }
      answers.push(
        first === undefined ? headOf(streamId) : {
          firstVersion: first.streamVersion,
          version: first.streamVersion + events.length - 1,
          firstPosition: first.position,
          position: byId(events[events.length - 1]!.eventId)!.position
        }
      )
    }
    return answers
  }

  const headOf = (streamId: string): AppendedEntry => {
    const version = streams.get(streamId)?.events.length ?? 0
    return { firstVersion: version, version, firstPosition: log.length, position: log.length }
  }

  const store = (command: AppendCommand, now: number): ReadonlyArray<AppendedEntry> => {
    const answers: Array<AppendedEntry> = []
    for (const { events, streamId } of command.entries) {
      const stream = events.length === 0 ? undefined : open(streamId)
      for (const event of events) {
        const stored = toStored(event, streamId, stream!.events.length + 1, log.length + 1, now)
        log.push(stored)
        if (stream!.events.push(stored) === 1) sorted = undefined
        stream!.category.push(stored)
      }
      const head = headOf(streamId)
      const more = Math.max(0, events.length - 1)
      answers.push({ ...head, firstVersion: head.version - more, firstPosition: head.position - more })
    }
    return answers
  }

  const open = (streamId: StreamId.StreamId): MemoryStream => {
    const known = streams.get(streamId)
    if (known !== undefined) return known
    const name = StreamId.category(streamId)
    const category = byCategory.get(name) ?? []
    byCategory.set(name, category)
    const stream = { streamId, events: [], category, truncatedBefore: 0, tombstoned: false, metadata: null }
    streams.set(streamId, stream)
    return stream
  }

  /** Takes back the newest events down to a length of the log: the end of a transaction that cannot be stored whole. */
  const takeBack = (length: number) => {
    while (log.length > length) {
      const event = log.pop()!
      const stream = streams.get(event.streamId)!
      stream.events.pop()
      stream.category.pop()
      ids.delete(event.eventId)
    }
    indexed = Math.min(indexed, length)
    sorted = undefined
  }

  const stage = (command: AppendCommand, staged: Transaction, now: number): ReadonlyArray<AppendedEntry> => {
    staged.commands.push(command)
    return command.entries.map(({ events, streamId }) => {
      const version = stateOf(streamId, staged).version
      for (const [i, event] of events.entries()) {
        staged.events.push(toStored(event, streamId, version + i + 1, 0, now))
      }
      const last = version + events.length
      return { firstVersion: Math.min(version + 1, last), version: last, firstPosition: 0, position: 0 }
    })
  }

  /** Stores what was staged, or hands it to the transaction around it. */
  const end = (staged: Transaction, now: number): Exit.Exit<void, AppendRefused | StoreError> => {
    if (staged.outer === undefined) return commit(staged, now)
    if (staged.outer.isOver) return Exit.fail(transactionEnded("transaction"))
    staged.joinOuter(staged.outer)
    return Exit.void
  }

  const commit = (staged: Transaction, now: number): Exit.Exit<void, AppendRefused | StoreError> => {
    if (!staged.endings.every((ending) => ending.isPossible(now))) return Exit.fail(endingLost())
    const length = log.length
    for (const command of staged.commands) {
      const judged = judge(command, undefined) ?? projections.judgeInline(command, staged)
      if (judged === undefined) store(command, now)
      else if (!isAnswer(judged)) {
        takeBack(length)
        return Exit.fail(judged)
      }
    }
    // what was put into a read model has to be stored by this transaction, and as it was handed over
    const isAsHanded = ({ eventId, streamVersion }: StoredEvent) => {
      const stored = byId(eventId)!
      return stored.position > length && stored.streamVersion === streamVersion
    }
    if (
      staged.inline.size > 0 &&
      staged.events.some((event) => projections.isApplied(event, staged) && !isAsHanded(event))
    ) {
      takeBack(length)
      return Exit.fail(handedOtherwise())
    }
    staged.settleDrafts()
    for (const ending of staged.endings) ending.run(now)
    return Exit.void
  }

  /** Runs an effect whose appends are staged, and then, in one piece, what becomes of them. */
  const staging = <A, E, R, B, E2>(
    effect: (staged: Transaction) => Effect.Effect<A, E, R>,
    finish: (answer: A, staged: Transaction, now: number) => Exit.Exit<B, E2>
  ): Effect.Effect<B, E | E2 | StoreError, R> =>
    Effect.withFiber((fiber) => {
      const staged = new Transaction(fiber.getRef(Current))
      const close = Effect.sync(() => {
        staged.closed = true
      })
      const ended = Effect.flatMap(
        Effect.ensuring(Effect.provideService(effect(staged), Current, staged), close),
        (answer) => {
          const end = () => finish(answer, staged, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())
          return staged.outer === undefined && staged.commands.length > 0
            ? locks.whenFree("transaction", staged, logLock, end)
            : end()
        }
      )
      return staged.outer === undefined
        ? Effect.ensuring(ended, Effect.sync(() => locks.release(staged)))
        : staged.outer.nested.withPermit(ended)
    })

  const eventAt = (position: number): StoredEvent | undefined => {
    const event = log[position - 1]
    return event === undefined || isHidden(event) ? undefined : event
  }

  const logPage = (filter: LogFilter, range: PageRange): Page => {
    const only = filter.categories?.length === 1 ? byCategory.get(filter.categories[0]!) ?? [] : log
    return page(only, range, (event) => event.position, (event) => matches(filter, event) && !isHidden(event))
  }

  const streamPage = (streamId: string, range: PageRange, staged: Transaction | undefined): Page => {
    const stream = streams.get(streamId)
    const stored = stream?.events ?? noEvents
    const pending = stagedEvents(staged).filter((event) => event.streamId === streamId)
    const hidden = stream?.truncatedBefore ?? 0
    // what others stored meanwhile stands before what is staged
    const events = pending.length === 0 ? stored : [
      ...stored,
      ...pending.map((event, i) => ({ ...event, streamVersion: stored.length + i + 1 }))
    ]
    return page(events, range, (event) => event.streamVersion, (event) => event.streamVersion >= hidden)
  }

  const inTransaction = Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(Current) !== undefined))

  const snapshots = makeMemorySnapshots({
    stream: (streamId) => stateOf(streamId, undefined),
    eventAt: (streamId, version) => streams.get(streamId)?.events[version - 1],
    pageFrom: (streamId, from, range) =>
      Effect.withFiber((fiber) =>
        Effect.succeed(streamPage(streamId, { ...range, direction: "forward", from }, fiber.getRef(Current)))
      ),
    inTransaction
  })

  const subscriptions = makeMemorySubscriptions({
    eventAt,
    idAt: (position) => log[position - 1]?.eventId,
    transactionWith: (effect, ending) =>
      staging(() => effect, (answer, staged, now) => {
        if (!ending.isPossible(now)) return Exit.succeed(Option.none())
        staged.endings.push(ending)
        return Exit.map(end(staged, now), () => Option.some(answer))
      })
  })

  const projections = makeMemoryProjections({
    locks,
    transactionOf: (fiber) => fiber.getRef(Current),
    head: () => ({ position: log.length, eventId: log[log.length - 1]?.eventId ?? null }),
    eventAt,
    idAt: (position) => log[position - 1]?.eventId,
    eventsAfter: (filter, position, limit) =>
      logPage(filter, { direction: "forward", from: position + 1, to: log.length, limit, bytes: Infinity }).events,
    pageOf: (positions, range) =>
      page(
        positions.flatMap((position) => log[position - 1] ?? []),
        range,
        (event) => event.position,
        (event) => !isHidden(event)
      ),
    transactionIf: (effect, ending) =>
      staging(effect, (answer, staged, now) => {
        const last = Option.isNone(answer) ? Option.none() : ending(staged, now)
        if (Option.isNone(last)) return Exit.succeed(Option.none())
        if (!last.value.isPossible(now)) return Exit.succeed(Option.none())
        staged.endings.push(last.value)
        return Exit.map(end(staged, now), () => answer)
      })
  })

  const change = (
    streamId: StreamId.StreamId,
    change: StreamChange,
    expected: ExpectedVersion
  ): Effect.Effect<void, StreamTombstoned | WrongExpectedVersion> => {
    const state = stateOf(streamId, undefined)
    if (state.tombstoned) return Exit.fail(new StreamTombstoned({ streamId }))
    if (!isMetBy(expected, { version: state.version, exists: exists(state) })) {
      return Exit.fail(wrongExpectedVersion([violation(streamId, expected, state.version)]))
    }
    const stream = open(streamId)
    const hide = (before: number) => {
      if (state.version > 0) {
        stream.truncatedBefore = Math.max(stream.truncatedBefore, Math.min(before, state.version + 1))
      }
    }
    switch (change._tag) {
      case "TruncateBefore":
        hide(change.version)
        break
      case "Delete":
        hide(state.version + 1)
        break
      case "Tombstone":
        stream.tombstoned = true
        break
      case "SetMetadata":
        stream.metadata = change.metadata
    }
    return Exit.void
  }

  return {
    system: "memory",

    append: (command) =>
      Effect.withFiber((fiber): Effect.Effect<ReadonlyArray<AppendedEntry>, AppendRefused | StoreError> => {
        const staged = fiber.getRef(Current)
        if (staged?.isOver === true) return Exit.fail(transactionEnded("append"))
        const append = () => {
          const judged = judge(command, staged) ?? projections.judgeInline(command, staged)
          if (judged !== undefined) return isAnswer(judged) ? Exit.succeed(judged) : Exit.fail(judged)
          const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
          return Exit.succeed(staged === undefined ? store(command, now) : stage(command, staged, now))
        }
        return staged === undefined ? locks.whenFree("append", undefined, logLock, append) : append()
      }),

    streamPage: (streamId, range) =>
      Effect.withFiber((fiber) =>
        streams.get(streamId)?.tombstoned === true
          ? Exit.fail(new StreamTombstoned({ streamId }))
          : Exit.succeed(streamPage(streamId, range, fiber.getRef(Current)))
      ),

    logPage: (filter, range) => Effect.sync(() => logPage(filter, range)),

    event: (eventId) =>
      Effect.sync(() => Option.filter(Option.fromNullishOr(byId(eventId)), (event) => !isHidden(event))),

    positions: (eventIds) =>
      Effect.sync(() => {
        const found = new Map<EventId, number>()
        for (const eventId of eventIds) {
          const stored = byId(eventId)
          if (stored !== undefined) found.set(eventId, stored.position)
        }
        return found
      }),

    head: Effect.sync(() => log.length),

    stream: (streamId) => Effect.withFiber((fiber) => Exit.succeed(stateOf(streamId, fiber.getRef(Current)))),

    streams: ({ after, limit, prefix }) =>
      Effect.sync(() => {
        sorted ??= [...streams.keys()].sort(StreamId.compare)
        const found: Array<StreamState> = []
        for (let i = firstAfter(sorted, after); i < sorted.length && found.length < limit; i++) {
          if (!sorted[i]!.startsWith(prefix)) continue
          const state = stateOf(sorted[i]!, undefined)
          if (state.version > 0) found.push(state)
        }
        return found
      }),

    change: (streamId, changed, expected) =>
      Effect.withFiber((fiber): Effect.Effect<void, StreamTombstoned | WrongExpectedVersion | InvalidInput> =>
        fiber.getRef(Current) === undefined
          ? change(streamId, changed, expected)
          : Exit.fail(noChangeInTransaction())
      ),

    transaction: (effect) => staging(() => effect, (answer, staged, now) => Exit.map(end(staged, now), () => answer)),

    inTransaction,

    transactionDepth: Effect.withFiber((fiber) => Effect.succeed(fiber.getRef(Current)?.depth ?? 0)),

    identity: (position) => Effect.sync(() => ({ head: log.length, eventId: log[position - 1]?.eventId })),

    listen: undefined,

    pollMillis: 60_000,

    patienceMillis: 0,

    projections: projections.storage,

    snapshots,

    subscriptions
  }
}

/** A transaction around one that finished a delivery, or moved a projection, took so long that this is somebody else's. */
const endingLost = () =>
  new StoreError({
    operation: "transaction",
    isRetryable: true,
    outcome: "not-stored",
    cause: new Error("what this transaction finished or moved is held by somebody else by now")
  })

/** Others changed the streams of events that an inline projection was handed, past its locks. */
const handedOtherwise = () =>
  new StoreError({
    operation: "transaction",
    isRetryable: true,
    outcome: "not-stored",
    cause: new Error(
      "events that this transaction put into a read model would be stored with other versions, or were before"
    )
  })

const isAnswer = (
  judged: AppendRefused | StoreError | ReadonlyArray<AppendedEntry>
): judged is ReadonlyArray<AppendedEntry> => Array.isArray(judged)

/** Numbers the storages of this process, so that the transaction of one is not taken for that of another. */
let storages = 0

/** Whether a stream has an event to read. */
const exists = (state: StreamState): boolean =>
  state.version > 0 && state.version >= state.truncatedBefore && !state.tombstoned

const toStored = (
  event: NewEvent,
  streamId: string,
  streamVersion: number,
  position: number,
  recordedAt: number
): StoredEvent => ({
  position,
  streamId,
  streamVersion,
  eventId: event.eventId,
  type: event.type,
  schemaVersion: event.schemaVersion,
  data: event.data,
  metadata: event.metadata,
  tags: event.tags,
  recordedAt
})

const hasContent = (stored: StoredEvent, event: NewEvent): boolean =>
  stored.type === event.type && stored.schemaVersion === event.schemaVersion && stored.data === event.data &&
  (stored.tags ?? []).join("\0") === (event.tags ?? []).join("\0")
