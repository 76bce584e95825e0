import { DateTime, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { EventStore, type StreamInfo } from "../../../Store/EventStore.ts"
import { rawStream } from "../../../Stream/Category.ts"
import { expected } from "../expected.ts"
import { factLines, sizeOf } from "../facts.ts"
import { Application } from "../frame/application.ts"
import { group, storeCommand } from "../frame/command.ts"
import { confirm, yes } from "../frame/confirming.ts"
import { undeclaredText } from "../frame/declared.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer, answerRows } from "../frame/output.ts"
import { answerIsNo } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { type Column, counted, numberOf, printable, tableText } from "../frame/table.ts"
import { selectTypes, type TypeCount } from "../streamSql.ts"

const stream = Argument.String("stream").pipe(Argument.withDescription("Its full name: cart-42"))

const columns: ReadonlyArray<Column<StreamInfo>> = [
  { title: "stream", value: ({ streamId }) => streamId },
  { title: "version", value: ({ version }) => version, align: "right" },
  { title: "status", value: ({ status }) => status, style: ({ status }) => status === "active" ? undefined : "yellow" }
]

const list = storeCommand(
  "list",
  {
    category: Flag.String("category").pipe(Flag.withDescription("Only those of one category"), Flag.optional),
    prefix: Flag.String("prefix").pipe(Flag.withDescription("Only those whose name begins so"), Flag.optional),
    after: Flag.String("after").pipe(Flag.withDescription("Begin behind this stream"), Flag.optional),
    limit: natural("limit").pipe(Flag.withDescription("Most streams"), Flag.withDefault(100)),
    deleted: Flag.Boolean("deleted").pipe(
      Flag.withDescription("Also those that have no event any more"),
      Flag.withDefault(false)
    )
  },
  {
    description: "Lists streams, sorted by code point.",
    examples: [
      { command: "eventstore streams list --category cart" },
      { command: "eventstore streams list --prefix cart-2026 --limit 1000 --json" }
    ]
  },
  Effect.fnUntraced(function*({ after, category, deleted, limit, prefix }) {
    const store = yield* EventStore
    const { app } = yield* Application
    const undeclared = undeclaredText(app, { categories: Option.toArray(category), types: [] })
    yield* answerRows(
      store.streams({
        category: valueOf(category),
        prefix: valueOf(prefix),
        after: valueOf(after),
        limit,
        deleted
      }),
      { columns, json: rowOf, empty: ["There is no such stream.", undeclared].join("\n").trimEnd() }
    )
  })
)

const show = storeCommand(
  "show",
  { stream },
  {
    description: "Shows what a stream is: its version, what is hidden, times, size, and its events by type.",
    examples: [{ command: "eventstore streams show cart-42" }]
  },
  Effect.fnUntraced(function*({ stream }) {
    const store = yield* EventStore
    const info = yield* found(store, stream)
    // a tombstone hides all there are
    const first = info.status === "tombstoned" ? Number.MAX_SAFE_INTEGER : Math.max(1, info.truncatedBefore)
    const types = yield* selectTypes(yield* OpenLog, stream, first)
    const events = types.reduce((sum, { events }) => sum + events, 0)
    const summary = {
      ...rowOf(info),
      events,
      hidden: info.version - events,
      bytes: types.reduce((sum, { bytes }) => sum + bytes, 0),
      firstRecordedAt: types.length === 0
        ? null
        : isoOf(Math.min(...types.map(({ firstRecordedAt }) => firstRecordedAt))),
      lastRecordedAt: types.length === 0 ? null : isoOf(Math.max(...types.map(({ lastRecordedAt }) => lastRecordedAt))),
      types: types.map(({ events, schemaVersion, type }) => ({ type, schemaVersion, events }))
    }
    yield* answer(summary, ({ bytes, events, firstRecordedAt, hidden, lastRecordedAt, metadata }, output) =>
      [
        output.paint("bold", printable(stream)),
        ...factLines(
          [
            ["status", info.status],
            ["version", info.version],
            ["events", events],
            [
              "hidden",
              hidden === 0 ? undefined : `${numberOf(hidden)}, below version ${numberOf(info.version - events + 1)}`
            ],
            ["first", firstRecordedAt ?? undefined],
            ["last", lastRecordedAt ?? undefined],
            ["size", events === 0 ? undefined : `${sizeOf(bytes)} of data and metadata, as they are stored`],
            ["metadata", metadata === null ? undefined : JSON.stringify(metadata)]
          ],
          output.paint,
          "  "
        ),
        ...(types.length === 0 ? [] : ["", tableText(types, typeColumns, output)])
      ].join("\n"))
  })
)

const isoOf = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

const typeColumns: ReadonlyArray<Column<TypeCount>> = [
  { title: "type", value: ({ type }) => type, style: () => "cyan" },
  { title: "shape", value: ({ schemaVersion }) => schemaVersion, align: "right" },
  { title: "events", value: ({ events }) => events, align: "right" },
  { title: "size", value: ({ bytes }) => sizeOf(bytes), align: "right" }
]

const found = (store: EventStore["Service"], stream: string) =>
  Effect.gen(function*() {
    const info = yield* store.info(rawStream(stream))
    return info.status === "new" ? yield* answerIsNo(`There is no stream ${stream}`) : info
  })

/** What is known of a stream that can be changed. */
const changeable = (store: EventStore["Service"], stream: string) =>
  Effect.gen(function*() {
    const info = yield* found(store, stream)
    return info.status === "tombstoned"
      ? yield* answerIsNo(`Stream ${stream} is tombstoned: it has ended for ever`)
      : info
  })

const visible = ({ status, truncatedBefore, version }: StreamInfo): number =>
  status === "active" ? version - Math.max(1, truncatedBefore) + 1 : 0

const changed = (store: EventStore["Service"], stream: string, text: (info: StreamInfo) => string) =>
  Effect.flatMap(store.info(rawStream(stream)), (info) => answer(rowOf(info), () => text(info)))

const truncate = storeCommand(
  "truncate",
  {
    stream,
    before: natural("before", 1).pipe(Flag.withDescription("The first version that can be read from then on")),
    expected,
    yes
  },
  {
    description: "Hides the oldest events of a stream from every read, for good. They are not removed from the disk.",
    examples: [{ command: "eventstore streams truncate cart-42 --before 100" }]
  },
  Effect.fnUntraced(function*({ before, expected, stream, yes }) {
    const store = yield* EventStore
    const info = yield* changeable(store, stream)
    const hidden = Math.min(before, info.version + 1) - Math.max(1, info.truncatedBefore)
    if (info.status !== "active" || hidden <= 0) {
      return yield* answerIsNo(`Nothing of ${stream} can be read below version ${before} as it is`)
    }
    yield* confirm(`Hide ${counted(hidden, "event")} of ${stream}, below version ${numberOf(before)}, for good?`, {
      yes
    })
    yield* store.truncateBefore(rawStream(stream), before, { expected })
    yield* changed(store, stream, (info) => `${stream}: ${counted(visible(info), "event")} can be read`)
  })
)

const remove = storeCommand(
  "delete",
  { stream, expected, yes },
  {
    description:
      "Hides all events of a stream, for good. It can be appended to again, and goes on counting its versions. They are not " +
      "removed from the disk.",
    examples: [{ command: "eventstore streams delete cart-42 --expected 7" }]
  },
  Effect.fnUntraced(function*({ expected, stream, yes }) {
    const store = yield* EventStore
    const info = yield* changeable(store, stream)
    if (info.status !== "active") return yield* answerIsNo(`Stream ${stream} is deleted already`)
    yield* confirm(`Delete ${stream}, with ${counted(visible(info), "event")}?`, { yes })
    yield* store.delete(rawStream(stream), { expected })
    yield* changed(store, stream, ({ version }) => `${stream} is deleted, at version ${numberOf(version)}`)
  })
)

const tombstone = storeCommand(
  "tombstone",
  { stream, expected, yes },
  {
    description: "Ends a stream for ever: nothing can be read from it or appended to it any more.",
    examples: [{ command: "eventstore streams tombstone cart-42" }]
  },
  Effect.fnUntraced(function*({ expected, stream, yes }) {
    const store = yield* EventStore
    const info = yield* changeable(store, stream)
    yield* confirm(
      `End ${stream} for ever, with ${counted(visible(info), "event")}? Nothing can be appended to it again.`,
      { yes }
    )
    yield* store.tombstone(rawStream(stream), { expected })
    yield* changed(store, stream, () => `${stream} has ended`)
  })
)

const rowOf = ({ metadata, ...info }: StreamInfo) => ({ ...info, metadata: Option.getOrNull(metadata) })

export const streams = group("streams", "Lists and shows streams, and hides what is in them.").pipe(
  Command.withSubcommands([list, show, truncate, remove, tombstone])
)
