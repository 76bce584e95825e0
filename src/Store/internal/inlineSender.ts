import { Duration, Effect, Exit, Option, Schedule } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import type { AppendCommand, AppendedEntry, LogStorage } from "../LogStorage.ts"
import { isPassing, StoreError } from "../StoreError.ts"
import type { AppendExit, AppendFailure, SendOptions, Sent } from "./coalescer.ts"
import { Held } from "./heldAppends.ts"
import { isStaged } from "./inlineStage.ts"
import { transactInline } from "./inlineTransaction.ts"
import type { InlineVersions } from "./inlineVersions.ts"
import { recordBatch } from "./telemetry.ts"

/** What became of commands; one that was withdrawn before it was sent is not in it. */
type Answers = ReadonlyMap<AppendCommand, AppendExit<AppendFailure>>

/**
 * How often an append begins anew because what is applied changed meanwhile. Each time somebody activated a projection or
 * stopped one between two statements.
 */
const turns = 5

/** How often it begins anew at least because others were in its way: a deadlock, or a change of the streams past its locks. */
const collisions = 8

/** Stores groups of appends, each with inline projections in one transaction, and finds out what became of lost ones. */
export const makeInlineSender = (storage: LogStorage, versions: InlineVersions, isClosing: () => boolean) => {
  const waits = Schedule.min([Schedule.exponential("20 millis"), Schedule.spaced("1 second")]).pipe(Schedule.jittered)
  const patience = Schedule.min([
    Schedule.upTo(waits, { duration: Duration.millis(storage.patienceMillis) }),
    Schedule.upTo(waits, { times: collisions })
  ])

  /** `wasLost`: an earlier transaction was sent, and its answer lost, so the commands may be stored. */
  const send = (
    commands: ReadonlyArray<AppendCommand>,
    group: Group,
    wasLost: boolean
  ): Effect.Effect<Answers> =>
    Effect.suspend(() => {
      const { isWaiting, isWanted } = group
      let mayBeStored = wasLost
      let wanted = commands
      const attempt = Effect.suspend(() => {
        wanted = wanted.filter(isWanted)
        return wanted.length === 0
          ? Effect.succeed({ answers: new Map<AppendCommand, AppendExit>(), held: [] })
          : transactInline(storage, versions, wanted, { isRepeated: mayBeStored, isWaiting })
      })
      return attempt.pipe(
        whileActivated(versions),
        Effect.tapError((error) => {
          mayBeStored ||= isUnknown(error)
          return mayPass(error)
            ? Effect.logWarning("An append with inline projections failed for now and is repeated", error.message)
            : Effect.void
        }),
        Effect.retry({ while: (error) => mayPass(error) && !isClosing(), schedule: patience }),
        Effect.matchEffect({
          onSuccess: ({ answers, held }) => {
            for (const command of held) group.held.set(command, new Held(mayBeStored ? lostFor(command) : undefined))
            const hasStaged = [...answers].some(([command, exit]) =>
              Exit.isSuccess(exit) && isStaged(command, exit.value)
            )
            // what was staged beside it had no position yet: only now can be said which event breaks the condition
            const again = hasStaged ? [...answers.keys()].filter((command) => isBroken(answers.get(command)!)) : []
            return again.length === 0
              ? placed(answers)
              : Effect.zipWith(
                placed(answers),
                send(again, group, false),
                (first, second) => new Map([...first, ...second])
              )
          },
          onFailure: (error) => afterFailure(wanted, group, mayBeStored, error)
        })
      )
    })

  const afterFailure = (
    commands: ReadonlyArray<AppendCommand>,
    group: Group,
    mayBeStored: boolean,
    error: AppendFailure
  ): Effect.Effect<Answers> => {
    const [, another] = commands
    // the storage had all the time it was given: one by one would give it as much again for each
    if (another === undefined || mayPass(error)) {
      return Effect.succeed(
        new Map(commands.map((command) => [
          command,
          Exit.fail(mayBeStored && error instanceof StoreError ? doubtful(command, error.cause) : error)
        ]))
      )
    }
    // one bad command never fails its neighbours: the half without it goes through whole
    const half = commands.length >>> 1
    return Effect.zipWith(
      send(commands.slice(0, half), group, mayBeStored),
      send(commands.slice(half), group, mayBeStored),
      (first, second) => new Map([...first, ...second])
    )
  }

  /** Asks where the events stand that were staged: they have positions only now. */
  const placed = (answers: ReadonlyMap<AppendCommand, AppendExit>): Effect.Effect<Answers> => {
    const staged = [...answers].filter(([command, exit]) => Exit.isSuccess(exit) && isStaged(command, exit.value))
    if (staged.length === 0) return Effect.succeed(answers)
    return storage.positions(staged.map(([command]) => firstOf(command))).pipe(
      Effect.retry({ while: (error) => isPassing(error) && !isClosing(), schedule: patience }),
      Effect.match({
        onSuccess: (positions) =>
          new Map([
            ...answers,
            ...staged.map(([command, exit]) =>
              [command, Exit.map(exit, (appended) => placedAt(positions, command, appended))] as const
            )
          ]),
        // they are stored, and nobody can say where
        onFailure: ({ cause }) =>
          new Map<AppendCommand, AppendExit<AppendFailure>>([
            ...answers,
            ...staged.map(([command]) => [command, Exit.fail(doubtful(command, cause))] as const)
          ])
      })
    )
  }

  return (
    commands: ReadonlyArray<AppendCommand>,
    isWanted: (command: AppendCommand) => boolean,
    { isWaiting, mayBeStored }: SendOptions
  ): Effect.Effect<ReadonlyArray<Sent<AppendFailure>>> =>
    Effect.suspend(() => {
      const held: Group["held"] = new Map()
      return Effect.andThen(
        recordBatch(commands.length),
        Effect.map(
          send(commands, { held, isWaiting, isWanted }, mayBeStored),
          (answers) => commands.map((command) => held.get(command) ?? answers.get(command) ?? Exit.interrupt())
        )
      )
    })
}

/** Commands that travel together. */
interface Group extends Pick<SendOptions, "isWaiting"> {
  readonly isWanted: (command: AppendCommand) => boolean
  /** Those that have to wait for their streams. */
  readonly held: Map<AppendCommand, Held<AppendExit<AppendFailure>>>
}

const lostFor = (command: AppendCommand): AppendExit<AppendFailure> =>
  Exit.fail(doubtful(command, new Error("the answer to its transaction was lost")))

/** Begins anew where the only projections that are missing are some that can be applied here. */
export const whileActivated = (versions: InlineVersions) => <A>(self: Effect.Effect<A, AppendFailure>) =>
  Effect.mapError(
    Effect.retry(self, {
      times: turns,
      while: (error) => error._tag === "InlineProjectionMissing" && versions.recognize(error)
    }),
    (error) => error._tag === "InlineProjectionMissing" ? versions.explain(error) : error
  )

const isBroken = (exit: AppendExit): boolean =>
  Option.exists(Exit.findErrorOption(exit), (error) => error._tag === "AppendConditionFailed")

const isUnknown = (error: AppendFailure): boolean => error._tag === "StoreError" && error.outcome === "unknown"

const mayPass = (error: AppendFailure): boolean => isPassing(error) || isUnknown(error)

const doubtful = ({ repeatable }: AppendCommand, cause: unknown) =>
  new StoreError({ operation: "append", isRetryable: repeatable, outcome: "unknown", cause })

const firstOf = ({ entries }: AppendCommand): EventId =>
  entries.find(({ events }) => events.length > 0)!.events[0]!.eventId

/** The events of a command stand one behind another. */
const placedAt = (
  positions: ReadonlyMap<EventId, number>,
  command: AppendCommand,
  appended: ReadonlyArray<AppendedEntry>
): ReadonlyArray<AppendedEntry> => {
  let last = positions.get(firstOf(command))! - 1
  return command.entries.map(({ events }, i) => {
    const before = last
    last += events.length
    return { ...appended[i]!, firstPosition: events.length === 0 ? last : before + 1, position: last }
  })
}
