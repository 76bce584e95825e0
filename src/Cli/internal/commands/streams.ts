import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { EventStore, type StreamInfo } from "../../../Store/EventStore.ts"
import { rawStream } from "../../../Stream/Category.ts"
import { group, storeCommand } from "../command.ts"
import { answer, answerRows } from "../output.ts"
import { answerIsNo } from "../refusal.ts"
import { natural, valueOf } from "../settings.ts"
import type { Column } from "../table.ts"

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
    yield* answerRows(
      store.streams({
        category: valueOf(category),
        prefix: valueOf(prefix),
        after: valueOf(after),
        limit,
        deleted
      }),
      { columns, json: rowOf, empty: "There is no such stream." }
    )
  })
)

const show = storeCommand(
  "show",
  { stream: Argument.String("stream").pipe(Argument.withDescription("Its full name")) },
  {
    description: "Shows what a stream is.",
    examples: [{ command: "eventstore streams show cart-42" }]
  },
  Effect.fnUntraced(function*({ stream }) {
    const store = yield* EventStore
    const info = yield* store.info(rawStream(stream))
    if (info.status === "new") return yield* answerIsNo(`There is no stream ${stream}`)
    yield* answer(
      rowOf(info),
      (row) => Object.entries(row).map(([name, value]) => `${name}: ${String(value)}`).join("\n")
    )
  })
)

const rowOf = ({ metadata, ...info }: StreamInfo) => ({ ...info, metadata: Option.getOrNull(metadata) })

export const streams = group("streams", "Lists and shows streams.").pipe(Command.withSubcommands([list, show]))
