import { DateTime, Effect, Option, type Schema, Stream } from "effect"
import { Argument, Flag } from "effect/cli"
import type { Queried } from "../../../Aggregate/Decider.ts"
import { EventStore, type ReadError } from "../../../Store/EventStore.ts"
import { rawStream } from "../../../Stream/Category.ts"
import type { Recorded } from "../../../Stream/Recorded.ts"
import { category as categoryOf, problemOf } from "../../../Stream/StreamId.ts"
import type { AnyDecider } from "../../App.ts"
import { Application } from "../frame/application.ts"
import { storeCommand } from "../frame/command.ts"
import { deciderOf } from "../frame/declared.ts"
import { answer, note, Output, writeLines } from "../frame/output.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { numberOf, printable } from "../frame/table.ts"
import { timeFlag, timeOf } from "../frame/times.ts"
import { changesOf, changeText, type JsonChange } from "../jsonChanges.ts"
import { plainJson } from "../plainJson.ts"
import { prettyJson } from "../prettyJson.ts"
import { stateEncoderOf } from "../stateJson.ts"

const asOf = {
  atVersion: natural("at-version").pipe(Flag.withDescription("As it was at this version of the stream"), Flag.optional),
  atPosition: natural("at-position").pipe(
    Flag.withDescription("As it was at this position of the log"),
    Flag.optional
  ),
  at: timeFlag("at", "As it was then")
}

const steps = {
  history: Flag.Boolean("history").pipe(
    Flag.withDescription("Step by step: what each event changed"),
    Flag.withDefault(false)
  ),
  from: natural("from", 1).pipe(Flag.withDescription("With --history: the first version that is shown"), Flag.optional),
  to: natural("to", 1).pipe(Flag.withDescription("With --history: the last version that is shown"), Flag.optional),
  full: Flag.Boolean("full").pipe(
    Flag.withDescription("With --history: the events and the whole state after each as well"),
    Flag.withDefault(false)
  )
}

export const state = storeCommand(
  "state",
  {
    stream: Argument.String("stream").pipe(Argument.withDescription("Full name of the stream")),
    ...asOf,
    ...steps
  },
  {
    description:
      "Shows the state of a stream, folded by the decider that the application declares for its category: now, as it was, or step by step.",
    examples: [
      { command: "eventstore state cart-42" },
      { command: "eventstore state cart-42 --at-version 7" },
      { command: "eventstore state cart-42 --at \"2 days\"" },
      { command: "eventstore state cart-42 --history", description: "how did it get there?" },
      { command: "eventstore state cart-42 --history --from 100 --json" }
    ]
  },
  Effect.fnUntraced(function*({ at, atPosition, atVersion, from, full, history, stream, to }) {
    const { app } = yield* Application
    const store = yield* EventStore
    const problem = problemOf(stream)
    if (problem !== undefined) return yield* wrongInput(`The stream ${JSON.stringify(stream)} ${problem}`)
    const time = yield* timeOf("at", at)
    const past = { version: valueOf(atVersion), position: valueOf(atPosition), time }
    if (history && Object.values(past).some((given) => given !== undefined)) {
      return yield* wrongInput(
        "--history shows all states: --at, --at-version and --at-position mean one",
        "--from and --to bound the history"
      )
    }
    if (!history && (Option.isSome(from) || Option.isSome(to) || full)) {
      return yield* wrongInput("--from, --to and --full are about the history", "add --history, or use --at-version")
    }
    const decider = yield* deciderOf(app, categoryOf(stream))
    const id = decider.category.idOf(stream)
    if (Option.isNone(id)) {
      return yield* wrongInput(
        `${JSON.stringify(stream)} is no stream of the category ${decider.category.name}: its id does not decode`
      )
    }
    const info = yield* store.info(rawStream(stream))
    if (info.status === "new") return yield* answerIsNo(`There is no stream ${stream}`)
    // what it needs besides the store is what the application declares, and is there
    const query = (asOf: typeof past) =>
      decider.query(id.value, asOf) as Effect.Effect<Queried<unknown>, ReadError, EventStore>
    if (history) {
      const first = Option.getOrElse(from, () => 1)
      const before = first === 1
        ? decider.initial(id.value)
        : (yield* query({ version: first - 1, position: undefined, time: undefined })).state
      return yield* showHistory(decider, { id: id.value, stream, first, last: valueOf(to), before, full })
    }
    const { position, state, version } = yield* query(past)
    const json = yield* stateEncoderOf(decider)(state)
    yield* answer(
      { streamId: stream, version, position, streamVersion: info.version, status: info.status, state: json },
      ({ state, status, streamVersion, version }, { paint }) =>
        [
          `${paint("bold", stream)}  at version ${numberOf(version)} of ${numberOf(streamVersion)}, position ${
            numberOf(position)
          }${status === "active" ? "" : `, ${status}`}`,
          prettyJson(JSON.stringify(state), paint)
        ].join("\n")
    )
  })
)

/** An event, and what it changed. */
interface Step {
  readonly recorded: Recorded<unknown>
  readonly changes: ReadonlyArray<JsonChange>
  readonly state: Schema.Json
}

const showHistory = (
  decider: AnyDecider,
  { before, first, full, id, last, stream }: {
    readonly id: unknown
    readonly stream: string
    readonly first: number
    readonly last: number | undefined
    readonly before: unknown
    readonly full: boolean
  }
) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const { isJson, paint } = yield* Output
    const encode = stateEncoderOf(decider)
    const events = store.read(decider.category.stream(id), { from: first, to: last }) as Stream.Stream<
      Recorded<unknown>,
      ReadError
    >
    let count = 0
    const found = events.pipe(
      Stream.mapAccumEffect(
        () => ({ state: before, json: undefined as Schema.Json | undefined }),
        (known, recorded) =>
          Effect.gen(function*() {
            count++
            const json = known.json === undefined ? yield* encode(known.state) : known.json
            const state = decider.evolve(known.state, recorded.event)
            const after = yield* encode(state)
            const step: Step = { recorded, changes: changesOf(json, after), state: after }
            return [{ state, json: after }, [step]] as const
          })
      ),
      Stream.map((step) => isJson ? JSON.stringify(stepJson(step, full)) : stepText(step, full, paint))
    )
    yield* writeLines(found)
    if (count === 0) yield* note(`There is no such event of the stream ${stream}.`)
  })

const stepJson = (
  { changes, recorded: { event, eventId, part, parts, position, recordedAt, streamVersion, type }, state }: Step,
  full: boolean
) => ({
  version: streamVersion,
  position,
  eventId,
  type,
  recordedAt: DateTime.formatIso(recordedAt),
  ...(parts > 1 ? { part, parts } : {}),
  event: plainJson(event),
  changes,
  ...(full ? { state } : {})
})

const stepText = (
  { changes, recorded: { event, part, parts, position, recordedAt, streamVersion, type }, state }: Step,
  full: boolean,
  paint: Output["Service"]["paint"]
): string => {
  const indented = (text: string) => text.split("\n").map((line) => `    ${line}`)
  return [
    `${paint("bold", `version ${numberOf(streamVersion)}`)}  ${paint("cyan", printable(type))}${
      parts > 1 ? ` (${part + 1} of ${parts})` : ""
    }  ${paint("dim", `${DateTime.formatIso(recordedAt)}, position ${numberOf(position)}`)}`,
    ...(full ? [paint("dim", "  event"), ...indented(prettyJson(JSON.stringify(plainJson(event)), paint))] : []),
    ...(full ? [paint("dim", "  changed")] : []),
    ...(changes.length === 0
      ? [paint("dim", "  nothing changed")]
      : changes.map((change) => `  ${full ? "  " : ""}${changeText(change, paint)}`)),
    ...(full ? [paint("dim", "  state"), ...indented(prettyJson(JSON.stringify(state), paint))] : [])
  ].join("\n")
}
