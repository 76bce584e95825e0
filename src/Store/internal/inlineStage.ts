import { Clock, Effect, Exit, Option } from "effect"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { AppendCommand, AppendedEntry, AppendEntry, AppendRefused, LogStorage } from "../LogStorage.ts"
import {
  AppendConditionFailed,
  EventIdConflict,
  type InvalidInput,
  type StoreError,
  StreamTombstoned,
  WrongExpectedVersion
} from "../StoreError.ts"
import type { AppendExit } from "./coalescer.ts"

type StageFailure = AppendRefused | InvalidInput | StoreError

/** What became of commands that were staged in one transaction, and their events in the order in which they will stand. */
export interface Staged {
  /** A command that is refused here is refused for good, if the transaction is stored. */
  readonly answers: Map<AppendCommand, AppendExit>
  readonly events: Array<StoredEvent>
}

/** Whether a command has events that wait for the end of the transaction: a repeated one stands in the log already. */
export const isStaged = ({ entries }: AppendCommand, appended: ReadonlyArray<AppendedEntry>): boolean =>
  appended.some(({ position }, i) => position === 0 && entries[i]!.events.length > 0)

/**
 * Stages commands in the transaction that is open. `isRepeated` looks for their event ids in the log, whoever chose them.
 * Fails where the transaction may be broken: then nothing is known of any of them.
 */
export const stageAll = Effect.fnUntraced(function*(
  storage: LogStorage,
  commands: ReadonlyArray<AppendCommand>,
  isRepeated: boolean
): Effect.fn.Return<Staged, StageFailure> {
  const clock = yield* Clock.Clock
  const now = clock.currentTimeMillisUnsafe()
  const staged: Staged = { answers: new Map(), events: [] }
  const { pack, rest } = isRepeated ? { pack: undefined, rest: commands } : packed(commands)
  let alone = rest
  if (pack !== undefined) {
    const exit = yield* Effect.exit(storage.append(pack.command))
    if (Exit.isSuccess(exit)) {
      pushEvents(staged.events, pack.command, exit.value, now)
      for (const { command, entry, offset } of pack.shares) {
        const { firstVersion } = exit.value[entry]!
        const first = firstVersion + offset
        const version = first + command.entries[0]!.events.length - 1
        staged.answers.set(command, Exit.succeed([{ firstVersion: first, version, firstPosition: 0, position: 0 }]))
      }
    } else {
      if (!isVerdict(exit)) return yield* Effect.failCause(exit.cause)
      // one of them is refused: each is asked for itself
      alone = commands
    }
  }
  for (const command of alone) {
    const exit = yield* Effect.exit(storage.append(isRepeated ? { ...command, repeatable: true } : command))
    if (Exit.isFailure(exit) && !isVerdict(exit)) return yield* Effect.failCause(exit.cause)
    staged.answers.set(command, exit)
    if (Exit.isSuccess(exit) && isStaged(command, exit.value)) pushEvents(staged.events, command, exit.value, now)
  }
  return staged
})

/** Refused by what the log holds, not by trouble: the transaction goes on as if the command had never been. */
const isVerdict = (exit: Exit.Failure<unknown, StageFailure>): boolean =>
  Option.exists(
    Exit.findErrorOption(exit),
    (error) =>
      error instanceof WrongExpectedVersion || error instanceof StreamTombstoned || error instanceof EventIdConflict ||
      error instanceof AppendConditionFailed
  )

const pushEvents = (
  into: Array<StoredEvent>,
  { entries }: AppendCommand,
  appended: ReadonlyArray<AppendedEntry>,
  recordedAt: number
) => {
  for (const [i, { events, streamId }] of entries.entries()) {
    const { firstVersion } = appended[i]!
    for (const [n, event] of events.entries()) {
      into.push({
        position: 0,
        streamId,
        streamVersion: firstVersion + n,
        eventId: event.eventId,
        type: event.type,
        schemaVersion: event.schemaVersion,
        data: event.data,
        metadata: event.metadata,
        tags: event.tags,
        recordedAt
      })
    }
  }
}

/** Several commands as one, and where the events of each stand in it. */
interface Pack {
  readonly command: AppendCommand
  readonly shares: ReadonlyArray<{
    readonly command: AppendCommand
    readonly entry: number
    readonly offset: number
  }>
}

/**
 * Packs those that go to one stream each and can be told apart by their answer alone: a statement and a verdict at COMMIT
 * for all of them instead of one each. The rest comes after it, so what would overtake one of the same stream is left there, too.
 */
const packed = (
  commands: ReadonlyArray<AppendCommand>
): { readonly pack: Pack | undefined; readonly rest: ReadonlyArray<AppendCommand> } => {
  const entries: Array<AppendEntry & { readonly events: Array<AppendEntry["events"][number]> }> = []
  const indexes = new Map<string, number>()
  const shares: Array<Pack["shares"][number]> = []
  const rest: Array<AppendCommand> = []
  const behind = new Set<string>()
  let bytes = 0
  for (const command of commands) {
    const [entry, another] = command.entries
    const known = entry === undefined ? undefined : indexes.get(entry.streamId)
    if (
      entry === undefined || another !== undefined || entry.events.length === 0 || command.condition !== undefined ||
      command.repeatable || known !== undefined && entry.expected !== "any" || behind.has(entry.streamId)
    ) {
      rest.push(command)
      for (const { streamId } of command.entries) behind.add(streamId)
      continue
    }
    const index = known ?? entries.length
    if (known === undefined) {
      indexes.set(entry.streamId, index)
      entries.push({ ...entry, events: [] })
    }
    const { events } = entries[index]!
    shares.push({ command, entry: index, offset: events.length })
    for (const event of entry.events) events.push(event)
    bytes += command.bytes
  }
  return shares.length < 2
    ? { pack: undefined, rest: commands }
    : { pack: { command: { entries, condition: undefined, bytes, repeatable: false }, shares }, rest }
}
