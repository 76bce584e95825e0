import { DateTime, Effect } from "effect"
import { Argument, Flag } from "effect/cli"
import { EventStore } from "../../../Store/EventStore.ts"
import * as Json from "../archive/exactJson.ts"
import { type Cause, causesOf, type Followed, followersOf } from "../causation.ts"
import { eventBlock, eventLine, headOf } from "../eventLines.ts"
import { storeCommand } from "../frame/command.ts"
import { eventIdOf } from "../frame/eventIds.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer, type Output } from "../frame/output.ts"
import { during } from "../frame/progress.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural } from "../frame/settings.ts"
import { counted, numberOf, printable } from "../frame/table.ts"
import { eventAt, eventById, type Shown } from "../shownEvent.ts"

export const event = storeCommand(
  "event",
  {
    event: Argument.String("event").pipe(Argument.withDescription("Its id, or its position")),
    within: natural("within").pipe(
      Flag.withDescription(
        "How many positions behind it are looked through for what followed: a second or so for a million. 0 looks for nothing"
      ),
      Flag.withDefault(100_000)
    ),
    limit: natural("limit", 1).pipe(Flag.withDescription("Most events that followed"), Flag.withDefault(1000))
  },
  {
    description:
      "Shows one event with all there is, what led to it (the causation of its metadata, and so on), and what followed from it, " +
      "as a tree.",
    examples: [
      { command: "eventstore event 0199f1c2-6d3e-7a41-8f0e-2b1c9d3e4f5a" },
      { command: "eventstore event 4711 --within 1000000" }
    ]
  },
  Effect.fnUntraced(function*({ event: named, limit, within }) {
    const store = yield* EventStore
    const log = yield* OpenLog
    const shown = yield* found(store, named)
    const head = yield* store.head()
    const causes = yield* causesOf(store, shown)
    const end = Math.min(head, shown.position + within)
    const { count, followed, to } = yield* during(
      { label: "look for what followed", total: end - shown.position, isKept: false },
      (report) => followersOf(log, shown, { to: end, limit, report })
    )
    const isCut = count >= limit
    yield* answer(
      {
        event: Json.parse(eventLine(shown)),
        causes: causes.map(({ causationId, event }) => ({
          causationId,
          event: event === undefined ? null : Json.parse(eventLine(event))
        })),
        followed: followed.map(jsonOf),
        searched: { after: shown.position, to, whole: to >= head && !isCut }
      },
      (_, { paint }) =>
        [
          eventBlock(shown, { paint }),
          "",
          ...treeOf(causes, shown, followed, paint),
          "",
          paint(
            "dim",
            isCut
              ? `It ends after ${counted(limit, "event")} that followed: --limit shows more`
              : to >= head
              ? "What followed was looked for up to the end of the log"
              : `What followed was looked for up to position ${numberOf(to)} of ${
                numberOf(head)
              }: --within looks further`
          )
        ].join("\n")
    )
  })
)

const found = (store: EventStore["Service"], named: string) =>
  Effect.gen(function*() {
    const isPosition = /^\d{1,15}$/.test(named)
    const id = eventIdOf(named)
    if (!isPosition && id === undefined) {
      return yield* wrongInput(`${JSON.stringify(named)} is neither the id of an event nor a position`)
    }
    const shown = id === undefined ? yield* eventAt(store, Number(named)) : yield* eventById(store, id)
    return shown ?? (yield* answerIsNo(
      isPosition ? `There is no event at position ${named}` : `There is no event ${named}`,
      "or it is hidden: its stream was deleted, truncated or tombstoned"
    ))
  })

const jsonOf = ({ followed, recordedAt, ...event }: Followed): unknown => ({
  ...event,
  recordedAt: DateTime.formatIso(DateTime.makeUnsafe(recordedAt)),
  followed: followed.map(jsonOf)
})

/** The causes each below the one before, the event below its own, and what followed below the event. */
const treeOf = (
  causes: ReadonlyArray<Cause>,
  shown: Shown,
  followed: ReadonlyArray<Followed>,
  paint: Output["Service"]["paint"]
): ReadonlyArray<string> => {
  const above = causes.map(({ causationId, event }) =>
    event === undefined
      ? `${printable(causationId)}  ${paint("dim", "no event that can be read in this log")}`
      : headOf(event, paint)
  )
  const chain = [...above, `${headOf(shown, paint)}  ${paint("bold", "(this one)")}`]
  const lines = chain.map((line, depth) => depth === 0 ? line : `${"   ".repeat(depth - 1)}└─ ${line}`)
  return [...lines, ...branchesOf(followed, "   ".repeat(chain.length - 1), paint)]
}

const branchesOf = (
  followed: ReadonlyArray<Followed>,
  indent: string,
  paint: Output["Service"]["paint"]
): ReadonlyArray<string> =>
  followed.flatMap((event, i) => {
    const isLast = i === followed.length - 1
    const { position, schemaVersion, streamId, streamVersion, type } = event
    const shape = schemaVersion === 1 ? "" : ` v${schemaVersion}`
    return [
      `${indent}${isLast ? "└─" : "├─"} ${paint("bold", String(position))}  ${
        printable(streamId)
      } version ${streamVersion}  ${paint("cyan", printable(type) + shape)}`,
      ...branchesOf(event.followed, `${indent}${isLast ? "   " : "│  "}`, paint)
    ]
  })
