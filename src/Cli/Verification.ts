/**
 * Is a log whole? Looks at everything a log is made of, and names what is not as it should be.
 *
 * A verification reads, and changes nothing. It looks at the log as it was when it began, page by page, while the log is in
 * use: what is merely happening is never a finding. What is damaged is: rows that somebody removed or changed who may do
 * anything, constraints and triggers that are off, checkpoints beyond the log, states that are not what the events say.
 *
 * @since 0.1.0
 */
import { Effect, Option, Schema, Stream } from "effect"
import type * as Decider from "../Aggregate/Decider.ts"
import type * as Projection from "../Projection/Projection.ts"
import type * as Snapshot from "../Snapshot/Snapshot.ts"
import type { EventStore } from "../Store/EventStore.ts"
import { InvalidInput, type StoreError } from "../Store/StoreError.ts"
import type * as Category from "../Stream/Category.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { StreamId } from "../Stream/StreamId.ts"
import type { Source } from "./internal/archive/importSource.ts"
import type { LogTables } from "./internal/frame/logSql.ts"
import { checkArchive } from "./internal/verify/verifyArchive.ts"
import { checkCheckpoints } from "./internal/verify/verifyCheckpoints.ts"
import { checkDefences } from "./internal/verify/verifyDefences.ts"
import { checkEvents } from "./internal/verify/verifyEvents.ts"
import { checking, type LogCheck } from "./internal/verify/verifying.ts"
import { checkPositions } from "./internal/verify/verifyPositions.ts"
import { checkProjections } from "./internal/verify/verifyProjections.ts"
import { checkSnapshots, type SnapshotFold } from "./internal/verify/verifySnapshots.ts"
import { selectState } from "./internal/verify/verifySql.ts"
import { checkStreams } from "./internal/verify/verifyStreams.ts"
import { checkVersions } from "./internal/verify/verifyVersions.ts"

/**
 * The checks, in the order in which they are made:
 *
 * - `defences`: constraints, triggers and functions of the database are those of a fresh install
 * - `positions`: they follow one another from the first to the head, and none is doubled
 * - `versions`: those of each stream go from 1 without a hole, and rise with the positions
 * - `events`: ids are unique, names are allowed, metadata fits, and what belongs to a given category decodes
 * - `streams`: what is noted of streams beyond their events makes sense
 * - `checkpoints`: readers stand within the log, and what they keep of events is of events that there are
 * - `snapshots`: they were taken at events that are there, and say what a fresh fold says
 * - `projections`: the live version of each that is given keeps what a fresh one would
 * - `archive`: all that is in an archive is in the log, byte by byte, and the archive is whole
 *
 * @category models
 * @since 0.1.0
 */
export const CheckName = Schema.Literals([
  "defences",
  "positions",
  "versions",
  "events",
  "streams",
  "checkpoints",
  "snapshots",
  "projections",
  "archive"
])

/**
 * @category models
 * @since 0.1.0
 */
export type CheckName = typeof CheckName.Type

/**
 * What a finding is about: those of the fields that name it.
 *
 * @category models
 * @since 0.1.0
 */
export const About = Schema.Struct({
  streamId: Schema.optionalKey(Schema.String),
  streamVersion: Schema.optionalKey(Schema.Number),
  /** The last one of several versions that begin with `streamVersion`. */
  streamVersionTo: Schema.optionalKey(Schema.Number),
  position: Schema.optionalKey(Schema.Number),
  /** The last one of several positions that begin with `position`. */
  positionTo: Schema.optionalKey(Schema.Number),
  eventId: Schema.optionalKey(Schema.String),
  /** Name of the event's stored type. */
  type: Schema.optionalKey(Schema.String),
  projection: Schema.optionalKey(Schema.String),
  projectionVersion: Schema.optionalKey(Schema.Number),
  subscription: Schema.optionalKey(Schema.String),
  snapshot: Schema.optionalKey(Schema.String),
  timer: Schema.optionalKey(Schema.String),
  /** Key of a document, a link, a parked event or a process. */
  key: Schema.optionalKey(Schema.String),
  /** Something of the database: a table, with its constraint or trigger, a function, a setting. */
  object: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type About = typeof About.Type

/**
 * What is wrong, by its kind.
 *
 * @category models
 * @since 0.1.0
 */
export const Kind = Schema.Literals([
  "ConstraintMissing",
  "ConstraintChanged",
  "TriggerMissing",
  "TriggerDisabled",
  "TriggerChanged",
  "TriggersOff",
  "FunctionMissing",
  "FunctionChanged",
  "StagedLeft",
  "LogUnknown",
  "FloorAhead",
  "PositionMissing",
  "PositionDoubled",
  "PositionImpossible",
  "VersionMissing",
  "VersionDoubled",
  "VersionImpossible",
  "OrderBroken",
  "EventIdDoubled",
  "NameNotAllowed",
  "TypeNotAllowed",
  "TagNotAllowed",
  "DataNotAllowed",
  "MetadataUndecodable",
  "TimeAbsurd",
  "TypeUnknown",
  "DataUndecodable",
  "StateDoubled",
  "TruncationAhead",
  "CheckpointAhead",
  "CheckpointDiffers",
  "DeliveryDangling",
  "DeliveryUnreachable",
  "ParkedDangling",
  "LinkDangling",
  "TimerDangling",
  "SnapshotAhead",
  "SnapshotDangling",
  "SnapshotUndecodable",
  "SnapshotUnfoldable",
  "SnapshotDiffers",
  "ProjectionDiffers",
  "ProjectionUnbuildable",
  "ArchivedMissing",
  "ArchivedDiffers",
  "ArchiveDamaged"
])

/**
 * @category models
 * @since 0.1.0
 */
export type Kind = typeof Kind.Type

/**
 * Something that is not as it should be. `message` is a sentence; `expected` and `actual` are there where two values are to be
 * told apart.
 *
 * @category models
 * @since 0.1.0
 */
export const Finding = Schema.Struct({
  check: CheckName,
  kind: Kind,
  about: About,
  message: Schema.String,
  expected: Schema.optionalKey(Schema.Json),
  actual: Schema.optionalKey(Schema.Json)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Finding = typeof Finding.Type

/**
 * What a check did: how many things it looked at, what it found, and what it passed over and why. A check that was not made
 * looked at nothing, and says why.
 *
 * @category models
 * @since 0.1.0
 */
export const Summary = Schema.Struct({
  check: CheckName,
  looked: Schema.Number,
  found: Schema.Number,
  skipped: Schema.Array(Schema.Struct({ reason: Schema.String, count: Schema.Number }))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Summary = typeof Summary.Type

/**
 * What a verification came to: the head of the log when it began, and a summary for each check.
 *
 * @category models
 * @since 0.1.0
 */
export const Verified = Schema.Struct({
  log: Schema.Number,
  head: Schema.Number,
  found: Schema.Number,
  checks: Schema.Array(Summary)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Verified = typeof Verified.Type

/**
 * What a verification tells as it goes: how far a check is (`total` is `null` where nobody knows), what it found, its summary,
 * and in the end what all came to.
 *
 * @category models
 * @since 0.1.0
 */
export type Step =
  | { readonly _tag: "Progress"; readonly check: CheckName; readonly done: number; readonly total: number | null }
  | { readonly _tag: "Found"; readonly finding: Finding }
  | { readonly _tag: "Checked"; readonly summary: Summary }
  | { readonly _tag: "Verified"; readonly verified: Verified }

/**
 * A verification with its findings.
 *
 * @category models
 * @since 0.1.0
 */
export const Report = Schema.Struct({
  ...Verified.fields,
  /** The first ones of each check, if there are very many. */
  findings: Schema.Array(Finding)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Report = typeof Report.Type

/**
 * How the state of a snapshot is folded that no decider has. Made with {@link snapshot}.
 *
 * @category models
 * @since 0.1.0
 */
export interface VerifiedSnapshot<out R> extends SnapshotFold {
  readonly _R?: R
}

/**
 * Says how the state of a snapshot follows from the events of a category, so that it can be compared. The snapshots of deciders
 * need no such thing.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Snapshot } from "effect-eventstore"
 * import * as Verification from "effect-eventstore/Cli/Verification"
 *
 * class Deposited extends Schema.TaggedClass<Deposited>()("Deposited", { cents: Schema.Int }) {}
 * const Account = Category.make("account", { id: Schema.String, events: [Deposited] })
 * const Balance = Snapshot.make({ name: "balance", state: Schema.Int })
 *
 * export const balances = Verification.snapshot(Balance, Account, {
 *   initial: () => 0,
 *   evolve: (sum, { event }) => sum + event.cents
 * })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const snapshot = <S, R, const C extends Category.Any>(
  snapshot: Snapshot.Snapshot<S, R>,
  category: C,
  options: {
    readonly initial: (streamId: StreamId) => NoInfer<S>
    readonly evolve: (state: NoInfer<S>, recorded: Recorded<Category.Out<C>>) => NoInfer<S>
  }
): VerifiedSnapshot<R | Category.Services<C>> => ({ snapshot, category, ...options, isMeant: () => true })

/**
 * What is to be verified: where the tables of the log are, and what the application declares of what is in it. Everything that
 * is declared is checked more closely; what is not is passed over, and the summaries say so.
 *
 * - `checks`: only these; default is all of them
 * - `categories`: their events have to decode. Where one passes over types that it does not declare, so does this
 * - `deciders`: those with a `snapshot` have their snapshots folded again
 * - `snapshots`: how those are folded that no decider has, see {@link snapshot}
 * - `projections`: the live versions of these are built once more beside, compared and dropped, which has to write
 * - `archive`: what the log is compared with, made with `Archive.fromArchive` of one that was opened
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  Categories extends ReadonlyArray<Category.Any> = ReadonlyArray<Category.Any>,
  Deciders extends ReadonlyArray<AnyFold> = ReadonlyArray<AnyFold>,
  Snapshots extends ReadonlyArray<VerifiedSnapshot<any>> = ReadonlyArray<VerifiedSnapshot<any>>,
  Projections extends ReadonlyArray<Projection.Any> = ReadonlyArray<Projection.Any>,
  E = never,
  R = never
> {
  readonly tables: LogTables
  readonly checks?: ReadonlyArray<CheckName> | undefined
  readonly categories?: Categories | undefined
  readonly deciders?: Deciders | undefined
  readonly snapshots?: Snapshots | undefined
  readonly projections?: Projections | undefined
  readonly archive?: Source<E, R> | undefined
}

/**
 * How streams become states, whatever the types.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyFold = Decider.Fold<any, any, any, any, any>

/** What a part of the declarations needs. */
type ServicesOf<A> = A extends Category.Any ? Category.Services<A>
  : A extends Projection.Projection<infer R> ? R
  : A extends VerifiedSnapshot<infer R> ? R
  : A extends Decider.Fold<any, any, any, any, infer R> ? R
  : never

/**
 * Why a verification cannot be made or ended. What is wrong with the log is no error.
 *
 * @category errors
 * @since 0.1.0
 */
export type VerifyError = InvalidInput | StoreError

/**
 * Verifies a log: tells how far it is, what it finds, and in the end what all came to. Reads one page at a time, so neither the
 * length of the log nor the number of findings matters to memory. Interrupting it leaves nothing behind.
 *
 * **Details** Needs a role that may read the tables (`PgMigrations.grants`). No lock is held that anybody waits for; a
 * transaction is open only while a projection is compared, and on PGlite, which has one connection, everybody waits for that.
 * `tables.sql` has to be the client of the event store.
 *
 * **Gotchas** The newest events of a log are missed only by those who remember them: where the last rows were removed, the log
 * ends earlier, and checkpoints, deliveries, snapshots or an archive say that there was more, if there are any. In the same
 * way data that was changed into other data that decodes is seen by snapshots, projections and archives only.
 *
 * **Example** (Whether a log is whole)
 * ```ts
 * import { Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 * import * as Verification from "effect-eventstore/Cli/Verification"
 *
 * export const isWhole = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   const { found } = yield* Verification.report({ tables: { sql, schema: "eventstore", log: 1 } })
 *   return found === 0
 * })
 * ```
 * @category operations
 * @since 0.1.0
 */
export const run = <
  const Categories extends ReadonlyArray<Category.Any> = readonly [],
  const Deciders extends ReadonlyArray<AnyFold> = readonly [],
  const Snapshots extends ReadonlyArray<VerifiedSnapshot<any>> = readonly [],
  const Projections extends ReadonlyArray<Projection.Any> = readonly [],
  E = never,
  R = never
>(
  options: Options<Categories, Deciders, Snapshots, Projections, E, R>
): Stream.Stream<
  Step,
  VerifyError | E,
  EventStore | R | ServicesOf<Categories[number] | Deciders[number] | Snapshots[number] | Projections[number]>
> =>
  Stream.unwrap(Effect.gen(function*() {
    const { archive, categories = [], checks, deciders = [], projections = [], snapshots = [], tables } =
      options as Options<
        ReadonlyArray<Category.Any>,
        ReadonlyArray<AnyFold>,
        ReadonlyArray<VerifiedSnapshot<any>>,
        ReadonlyArray<Projection.Any>,
        E,
        R
      >
    const unknown = checks?.find((check) => !CheckName.literals.includes(check))
    if (unknown !== undefined) {
      return yield* new InvalidInput({
        field: "checks",
        problem: `have ${JSON.stringify(unknown)}, which is none of ${CheckName.literals.join(", ")}`
      })
    }
    const log = yield* selectState(tables)
    const verifying = { tables, log }
    const all: Record<CheckName, (...of: Parameters<LogCheck>) => Stream.Stream<Step, StoreError | E, any>> = {
      defences: checkDefences,
      positions: checkPositions,
      versions: checkVersions,
      events: checkEvents(categories),
      streams: checkStreams,
      checkpoints: checkCheckpoints,
      snapshots: checkSnapshots([...deciders.flatMap(foldOf), ...snapshots]),
      projections: checkProjections(projections),
      archive: checkArchive(archive)
    }
    const summaries: Array<Summary> = []
    const steps = CheckName.literals.map((check) =>
      checking(check, (tally) => {
        if (checks === undefined || checks.includes(check)) return all[check](verifying, tally)
        tally.skip("it was not asked for", 0)
        return Stream.empty
      })
    )
    return Stream.fromIterable(steps).pipe(
      Stream.flatMap((steps) => steps),
      Stream.map((step) => {
        if (step._tag === "Checked") summaries.push(step.summary)
        return step
      }),
      Stream.concat(Stream.sync((): Step => ({
        _tag: "Verified",
        verified: {
          log: tables.log,
          head: log.head,
          found: summaries.reduce((sum, { found }) => sum + found, 0),
          checks: summaries
        }
      })))
    )
  }))

/** The snapshots of a decider, if it has any. */
const foldOf = ({ category, evolve, initial, savedAs }: AnyFold): ReadonlyArray<SnapshotFold> =>
  savedAs === undefined ? [] : [{
    snapshot: savedAs,
    category: category as never,
    initial: (streamId) => initial(Option.getOrThrow(category.idOf(streamId))),
    evolve: (state, { event }) => evolve(state, event),
    isMeant: (streamId) => Option.isSome(category.idOf(streamId))
  }]

/**
 * Verifies a log and keeps what it finds, at most `limit` findings of a check (default 1000); `found` counts all of them.
 *
 * @category operations
 * @since 0.1.0
 */
export const report = <
  const Categories extends ReadonlyArray<Category.Any> = readonly [],
  const Deciders extends ReadonlyArray<AnyFold> = readonly [],
  const Snapshots extends ReadonlyArray<VerifiedSnapshot<any>> = readonly [],
  const Projections extends ReadonlyArray<Projection.Any> = readonly [],
  E = never,
  R = never
>(
  options: Options<Categories, Deciders, Snapshots, Projections, E, R> & { readonly limit?: number | undefined }
): Effect.Effect<
  Report,
  VerifyError | E,
  EventStore | R | ServicesOf<Categories[number] | Deciders[number] | Snapshots[number] | Projections[number]>
> =>
  Effect.suspend(() => {
    const limit = options.limit ?? 1000
    const findings: Array<Finding> = []
    const kept = new Map<CheckName, number>()
    let verified: Verified | undefined
    return Effect.map(
      Stream.runForEach(run(options), (step) =>
        Effect.sync(() => {
          if (step._tag === "Verified") verified = step.verified
          if (step._tag !== "Found") return
          const { finding } = step
          const count = kept.get(finding.check) ?? 0
          if (count < limit) {
            kept.set(finding.check, count + 1)
            findings.push(finding)
          }
        })),
      (): Report => ({ ...verified!, findings })
    )
  })
