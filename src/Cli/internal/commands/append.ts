import { Effect, Option, Result, Stream } from "effect"
import { Argument, Flag } from "effect/cli"
import type { EventMetadata } from "../../../Event/EventMetadata.ts"
import { type Appended, EventStore } from "../../../Store/EventStore.ts"
import type { ExpectedVersion } from "../../../Stream/ExpectedVersion.ts"
import { type Checked, checking, type Identified } from "../appendChecking.ts"
import { type AppendInput, inputLines, jsonArgument, type Line } from "../appendInput.ts"
import { partly, stored, storedText } from "../appendStoring.ts"
import { expected } from "../expected.ts"
import { Application } from "../frame/application.ts"
import { storeCommand } from "../frame/command.ts"
import { categoriesOf } from "../frame/declared.ts"
import { eventIdOf } from "../frame/eventIds.ts"
import { answer, note } from "../frame/output.ts"
import { during } from "../frame/progress.ts"
import { wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { counted } from "../frame/table.ts"

export const append = storeCommand(
  "append",
  {
    stream: Argument.String("stream").pipe(Argument.withDescription("Its full name: cart-42")),
    type: text(
      "type",
      "Type of the one event to append; without it the standard input has them, a line of JSON for each"
    ),
    data: text("data", "With --type: its fields, as JSON, @file or - for the standard input (else it has none)"),
    id: text("id", "With --type: its id, a UUID, so that the same command run again stores nothing"),
    schemaVersion: natural("schema-version", 1).pipe(
      Flag.withDescription("With --type: the shape that data has; an event that is checked has today's"),
      Flag.optional
    ),
    tag: Flag.String("tag").pipe(
      Flag.withDescription("A tag of the events, besides those that they declare (repeatable)"),
      Flag.atLeast(0)
    ),
    correlation: text("correlation", "The conversation that the events belong to"),
    causation: text("causation", "The event or command that led to them"),
    actor: text("actor", "Who did it"),
    expected,
    raw: Flag.Boolean("raw").pipe(
      Flag.withDescription("Do not check them against the category that the application declares"),
      Flag.withDefault(false)
    ),
    batch: natural("batch", 1).pipe(
      Flag.withDescription("Append so many at a time; what was appended before a mistake stays. Else all or none"),
      Flag.optional
    )
  },
  {
    description:
      "Appends events to a stream, all or none. Where the application declares its category they are checked first: nothing is " +
      "written where one does not fit.",
    examples: [
      { command: "eventstore append cart-42 --type Paid --data '{\"cents\": 1250}' --expected 3" },
      {
        command: "eventstore append cart-42 --expected no-stream < events.jsonl",
        description:
          "Lines of {\"type\", \"data\", \"metadata\", \"tags\", \"id\", \"schemaVersion\"}; all but the type may be left out"
      }
    ]
  },
  Effect.fnUntraced(function*(input) {
    const { app } = yield* Application
    const store = yield* EventStore
    const checked = yield* checking(input.stream, {
      categories: categoriesOf(app),
      raw: input.raw,
      metadata: metadataOf(input)
    })
    const tagged = (event: AppendInput): AppendInput =>
      input.tag.length === 0 ? event : { ...event, tags: [...input.tag, ...event.tags ?? []] }
    const { appendBytes, appendEvents } = store.limits
    // JSON may take more room as it is written than as it is stored
    const longest = 2 * appendBytes
    const one = yield* oneEvent(input, longest)
    const batch = valueOf(input.batch)
    const expectation = input.expected
    if (one !== undefined) {
      if (batch !== undefined) return yield* wrongInput("--batch is for events on the standard input")
      const event = yield* Effect.mapError(checked.eventOf(tagged(one)), (problem) => refuse(problem, checked))
      return yield* answered(yield* stored(store, checked, [event], expectation), 1, checked)
    }
    if (batch !== undefined && batch > appendEvents) {
      return yield* wrongInput(`--batch is at most ${appendEvents}, which is what one append takes`)
    }
    const lines = Stream.map(
      yield* inputLines(longest),
      (line): Line => "input" in line ? { ...line, input: tagged(line.input) } : line
    )
    if (batch !== undefined) {
      const appended = yield* inBatches(store, lines, checked, { batch, expected: expectation })
      return yield* answered(appended.all, appended.count, checked)
    }
    const taken: Array<Line> = []
    let bytes = 0
    const isTooMuch = () => taken.length > appendEvents || bytes > longest
    yield* Stream.runForEachWhile(lines, (line) =>
      Effect.sync(() => {
        taken.push(line)
        bytes += line.bytes
        return !isTooMuch()
      }))
    if (isTooMuch()) {
      return yield* wrongInput(
        `This is more than one append takes: ${counted(appendEvents, "event")}, and ${
          counted(appendBytes, "byte")
        } of them`,
        "--batch 1000 appends them in several: then some are stored where others fail"
      )
    }
    const events = yield* eventsOf(taken, checked)
    if (events.length === 0) return yield* wrongInput("There is no event on the standard input")
    return yield* answered(
      yield* stored(store, checked, events, expectation),
      events.length,
      checked
    )
  })
)

function text(name: string, description: string) {
  return Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)
}

interface One {
  readonly type: Option.Option<string>
  readonly data: Option.Option<string>
  readonly id: Option.Option<string>
  readonly schemaVersion: Option.Option<number>
}

/** The event that the flags describe; none where the standard input has the events. */
const oneEvent = ({ data, id, schemaVersion, type }: One, longest: number) =>
  Effect.gen(function*() {
    if (Option.isNone(type)) {
      const alone = Object.entries<Option.Option<unknown>>({ data, id, "schema-version": schemaVersion }).find((
        [, given]
      ) => Option.isSome(given))
      return alone === undefined ? undefined : yield* wrongInput(`--${alone[0]} goes with --type`)
    }
    const eventId = Option.isNone(id) ? undefined : eventIdOf(id.value)
    if (Option.isSome(id) && eventId === undefined) return yield* wrongInput(`--id ${id.value} is no UUID`)
    const event: AppendInput = {
      type: type.value,
      ...(Option.isNone(data) ? {} : { data: yield* jsonArgument(data.value, longest) }),
      ...(eventId === undefined ? {} : { id: eventId }),
      ...(Option.isNone(schemaVersion) ? {} : { schemaVersion: schemaVersion.value })
    }
    return event
  })

const metadataOf = (input: {
  readonly correlation: Option.Option<string>
  readonly causation: Option.Option<string>
  readonly actor: Option.Option<string>
}): EventMetadata => ({
  ...(Option.isNone(input.correlation) ? {} : { correlationId: input.correlation.value }),
  ...(Option.isNone(input.causation) ? {} : { causationId: input.causation.value }),
  ...(Option.isNone(input.actor) ? {} : { actor: input.actor.value })
})

/** Most mistakes in an input that are named at a time. */
const named = 5

/** Checks events; refuses all where one does not fit, and names the first few of those. */
const eventsOf = (lines: ReadonlyArray<Line>, checked: Checked, whole = "it") =>
  Effect.gen(function*() {
    const events: Array<Identified> = []
    const problems: Array<string> = []
    for (const line of lines) {
      const event = "problem" in line ? Result.fail(line.problem) : yield* Effect.result(checked.eventOf(line.input))
      if (Result.isSuccess(event)) events.push(event.success)
      else problems.push(`line ${line.line}: ${event.failure}`)
      if (problems.length > named) break
    }
    if (problems.length > 0) {
      const more = problems.length > named ? "\nand more" : ""
      return yield* refuse(problems.slice(0, named).join("\n") + more, checked, whole)
    }
    return events
  })

const refuse = (problem: string, { isChecked }: Checked, whole = "it") =>
  wrongInput(problem, `nothing of ${whole} was stored${isChecked ? "; --raw does not ask the category" : ""}`)

/** What is appended so far. */
interface SoFar {
  readonly count: number
  readonly all: Appended | undefined
}

/** Appends so many events at a time. Each batch expects what the one before left, unless any version will do. */
const inBatches = <E, R>(
  store: EventStore["Service"],
  lines: Stream.Stream<Line, E, R>,
  checked: Checked,
  { batch, expected }: { readonly batch: number; readonly expected: ExpectedVersion }
) =>
  during({ label: `append to ${checked.stream.streamId}` }, (report) => {
    let soFar: SoFar = { count: 0, all: undefined }
    return Stream.grouped(lines, batch).pipe(
      Stream.runForEach((group) =>
        Effect.gen(function*() {
          const events = yield* eventsOf(group, checked, "this batch")
          const before = soFar.all
          const expectation = expected === "any" || before === undefined ? expected : before.version
          const appended = yield* stored(store, checked, events, expectation)
          const { firstPosition, firstVersion } = before ?? appended
          soFar = { count: soFar.count + events.length, all: { ...appended, firstPosition, firstVersion } }
          yield* report(soFar.count)
        })
      ),
      Effect.mapError((error) => soFar.all === undefined ? error : partly(error, soFar.count, soFar.all.version)),
      Effect.onInterrupt(() =>
        soFar.all === undefined ? Effect.void : note(storedText(soFar.count, soFar.all.version))
      ),
      Effect.flatMap(() =>
        soFar.all === undefined
          ? wrongInput("There is no event on the standard input")
          : Effect.succeed({ count: soFar.count, all: soFar.all })
      )
    )
  })

const answered = (
  { firstPosition, firstVersion, position, version }: Appended,
  events: number,
  { isChecked, stream: { streamId } }: Checked
) =>
  answer(
    { streamId, events, firstVersion, version, firstPosition, position, checked: isChecked },
    () =>
      `${streamId}: ${counted(events, "event")}, ${placeOf("version", firstVersion, version)}, ` +
      placeOf("position", firstPosition, position)
  )

const placeOf = (what: string, first: number, last: number): string =>
  first === last ? `${what} ${last}` : `${what}s ${first} to ${last}`
