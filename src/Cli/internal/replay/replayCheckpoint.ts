import { Effect, FileSystem, Option, Schema } from "effect"
import { answerIsNo, type Refused, wrongInput } from "../frame/refusal.ts"

const OptionalText = Schema.NullOr(Schema.String)

const Checkpoint = Schema.Struct({
  format: Schema.Literal(1),
  subscription: Schema.String,
  /** The database, its schema and the log, for people and to tell it from others. */
  log: Schema.String,
  /** What was asked for, as it was typed: a length of time before now means another time later. */
  asked: Schema.Struct({ from: OptionalText, to: OptionalText, since: OptionalText, until: OptionalText }),
  /** The first and the last position, as they were when it was begun. */
  from: Schema.Int,
  to: Schema.Int,
  /** Everything up to here is done, or passed over. */
  position: Schema.Int,
  /** The event there, where there is one: it tells this log from one that was restored. */
  eventId: OptionalText,
  handled: Schema.Int,
  /** Events that could not be handled and were passed over: how many, and the first of them. */
  failed: Schema.Struct({
    count: Schema.Int,
    first: Schema.Array(Schema.Struct({ position: Schema.Int, error: Schema.String }))
  })
})

/** How far the replay of a handler is, as it is kept in a file. */
export type Checkpoint = typeof Checkpoint.Type

const Text = Schema.fromJsonString(Checkpoint)

/** What a file keeps; `undefined` where there is none. */
export const readCheckpoint = (path: string): Effect.Effect<Checkpoint | undefined, Refused, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    if (!(yield* Effect.orElseSucceed(fs.exists(path), () => false))) return undefined
    const text = yield* Effect.mapError(
      fs.readFileString(path),
      (error) => wrongInput(`The checkpoint ${path} cannot be read: ${error.message}`)
    )
    return yield* Effect.mapError(
      Schema.decodeEffect(Text)(text),
      () =>
        wrongInput(`The file ${path} is no checkpoint of a replay`, "name another one with --checkpoint, or remove it")
    )
  })

/** Puts a checkpoint in the place of the one before: whoever dies meanwhile leaves one of the two. */
export const writeCheckpoint = (
  path: string,
  checkpoint: Checkpoint
): Effect.Effect<void, Refused, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.orDie(Schema.encodeEffect(Text)(checkpoint))
    const beside = `${path}.new`
    yield* fs.writeFileString(beside, `${text}\n`)
    yield* fs.rename(beside, path)
  }).pipe(
    Effect.uninterruptible,
    Effect.mapError((error) => answerIsNo(`The checkpoint ${path} cannot be written: ${error.message}`))
  )

/** Removes the checkpoint of a replay that is done. */
export const removeCheckpoint = (path: string): Effect.Effect<void, never, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.ignore(fs.remove(path, { force: true })))

/** Refuses a checkpoint of something else. */
export const checkSame = (
  path: string,
  kept: Checkpoint,
  asked: Pick<Checkpoint, "subscription" | "log" | "asked">
): Effect.Effect<void, Refused> => {
  const show = (range: Checkpoint["asked"]) =>
    Object.entries(range).flatMap(([flag, value]) => value === null ? [] : [`--${flag} ${value}`]).join(" ")
  const other = kept.subscription !== asked.subscription
    ? `of the subscription ${kept.subscription}`
    : kept.log !== asked.log
    ? `of another log, ${kept.log}`
    : show(kept.asked) !== show(asked.asked)
    ? `of another range: ${show(kept.asked)}`
    : undefined
  return other === undefined ? Effect.void : Effect.fail(
    wrongInput(
      `The checkpoint ${path} is ${other}`,
      "repeat what was begun, name another file with --checkpoint, or remove this one"
    )
  )
}

/** Failures that are kept with what they were: the file is written often. */
const mostFailures = 20

/** The same after an event was handled, or passed over because of an error. */
export const movedOn = (
  checkpoint: Checkpoint,
  place: { readonly position: number; readonly eventId: string },
  error: string | undefined
): Checkpoint => {
  const { failed: { count, first }, handled } = checkpoint
  return {
    ...checkpoint,
    ...place,
    ...(error === undefined ? { handled: handled + 1 } : {
      failed: {
        count: count + 1,
        first: first.length < mostFailures ? [...first, { position: place.position, error }] : first
      }
    })
  }
}

/** The range as it was typed, for a file. */
export const askedOf = (
  { from, since, to, until }: {
    readonly from: Option.Option<number>
    readonly to: Option.Option<number>
    readonly since: Option.Option<string>
    readonly until: Option.Option<string>
  }
): Checkpoint["asked"] => ({
  from: Option.getOrNull(Option.map(from, String)),
  to: Option.getOrNull(Option.map(to, String)),
  since: Option.getOrNull(since),
  until: Option.getOrNull(until)
})
