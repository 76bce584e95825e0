import { Effect, Option, Stream } from "effect"
import { Flag } from "effect/cli"
import { EventStore, type ReadOptions } from "../../../Store/EventStore.ts"
import * as Category from "../../../Stream/Category.ts"
import { eventBlock, eventColumns, eventLine } from "../eventLines.ts"
import { type Selection, selectionFlags, selectionOf, shownStream } from "../eventSelection.ts"
import { Application } from "../frame/application.ts"
import { storeCommand } from "../frame/command.ts"
import { categoriesOf, undeclaredText } from "../frame/declared.ts"
import { answerRows, note, Output, writeLines } from "../frame/output.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { inOneLine } from "../frame/table.ts"
import { asRead, asStored, type Showing, type Shown } from "../shownEvent.ts"

/** Events that are shown in a terminal where nobody says how many. */
const screenful = 100

export const read = storeCommand(
  "read",
  {
    ...selectionFlags,
    backward: Flag.Boolean("backward").pipe(Flag.withDescription("Newest first"), Flag.withDefault(false)),
    from: place("from", "Begin at this position (of a stream: version)"),
    to: place("to", "End at this position (of a stream: version)"),
    after: place("after", "Begin behind this position (of a stream: version)"),
    limit: natural("limit").pipe(
      Flag.withDescription(`Most events; else ${screenful} in a terminal, and all for files, pipes and --json`),
      Flag.optional
    ),
    full: Flag.Boolean("full").pipe(
      Flag.withDescription("All that is known of each event, in many lines"),
      Flag.withDefault(false)
    ),
    typed: Flag.Boolean("typed").pipe(
      Flag.withDescription(
        "As the application reads them, through the chains of its categories, and --where looks at that; else as they are stored"
      ),
      Flag.withDefault(false)
    )
  },
  {
    description: "Reads events: of a stream, of a category, or of all of the log, in the order of positions.",
    examples: [
      { command: "eventstore read cart-42", description: "A stream" },
      { command: "eventstore read cart --type Paid --since 2h", description: "What happened to carts" },
      { command: "eventstore read --backward --limit 10 --full", description: "What happened last, with all there is" },
      { command: "eventstore read cart --where 'data.items[*].sku=tea' --where 'data.cents>=1000'" },
      { command: "eventstore read --tag sku:tea --json | jq .data", description: "For programs" }
    ]
  },
  Effect.fnUntraced(function*(input) {
    const selection = yield* selectionOf(input)
    const store = yield* EventStore
    const undeclared = undeclaredText((yield* Application).app, {
      categories: [...Option.toArray(input.target), ...input.category].map((name) =>
        Category.name(Category.rawStream(name))
      ),
      types: input.type
    })
    if (selection.stream !== undefined && (yield* store.info(Category.rawStream(selection.stream))).status === "new") {
      return yield* answerIsNo(
        `There is no stream ${selection.stream}`,
        undeclared === "" ? undefined : inOneLine(undeclared)
      )
    }
    const nothing = undeclared === "" ? noEvent : `${noEvent}\n${undeclared}`
    const { columns, isJson, isWatched, paint } = yield* Output
    const from = valueOf(input.from)
    const after = valueOf(input.after)
    if (from !== undefined && after !== undefined) {
      return yield* wrongInput("--from and --after both say where to begin", "leave out one of them")
    }
    const given = valueOf(input.limit)
    const isCut = given === undefined && isWatched && !isJson
    const limit = isCut ? screenful : given
    const range: ReadOptions = {
      direction: input.backward ? "backward" : "forward",
      from: after === undefined ? from : input.backward ? after - 1 : after + 1,
      to: valueOf(input.to)
    }
    if (range.from === -1 || limit === 0) return yield* note(nothing)
    // one more than is shown tells whether there is more
    const found = selected(
      store,
      selection,
      range,
      limit && Math.min(limit + 1, Number.MAX_SAFE_INTEGER),
      yield* showing(input.typed)
    )
    let last: Shown | undefined
    let hasMore = false
    const shown = Stream.mapAccum(found, () => 0, (count, event) => {
      if (limit !== undefined && count >= limit) {
        hasMore = true
        return [count, []]
      }
      last = event
      return [count + 1, [event]]
    })
    if (input.full && !isJson) {
      yield* writeLines(Stream.map(shown, (event) => `${eventBlock(event, { paint })}\n`))
      if (last === undefined) yield* note(nothing)
    } else {
      yield* answerRows(shown, { columns: yield* eventColumns, line: eventLine, empty: nothing })
    }
    if (isCut && hasMore && last !== undefined && columns !== undefined) {
      const place = selection.stream === undefined ? last.position : last.streamVersion
      yield* note(paint("dim", `There is more: go on with --after ${place}, or say how many by --limit`))
    }
  })
)

const noEvent = "There is no such event."

function place(name: string, description: string) {
  return natural(name).pipe(Flag.withDescription(description), Flag.optional)
}

/** How events are shown: with `typed` by the categories of the application. */
export const showing = (typed: boolean) =>
  Effect.gen(function*() {
    if (!typed) return asStored
    const categories = categoriesOf((yield* Application).app)
    return categories.length === 0
      ? yield* wrongInput(
        "--typed needs categories, and no application declares any here",
        "name its configuration file with --config"
      )
      : asRead(categories)
  })

/** The events of a selection in a range, at most so many. */
export const selected = (
  store: EventStore["Service"],
  { filter, isWhole, matches, stream }: Selection,
  range: ReadOptions,
  limit: number | undefined,
  show: Showing
) => {
  const options = { ...range, limit: isWhole ? limit : undefined }
  const events = stream === undefined
    ? store.readCategory(show, { ...filter, ...options })
    : store.read(shownStream(stream, show), options)
  const matching = isWhole ? events : Stream.filter(events, matches)
  return limit === undefined ? matching : Stream.take(matching, limit)
}
