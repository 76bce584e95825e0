import { DateTime, Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Snapshot } from "../../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../../Snapshot/SnapshotStore.ts"
import { EventStore, type ReadError } from "../../../Store/EventStore.ts"
import type { SnapshotInfo } from "../../../Store/SnapshotStorage.ts"
import { rawStream } from "../../../Stream/Category.ts"
import type { AnyDecider } from "../../App.ts"
import { Application } from "../frame/application.ts"
import { group, storeCommand } from "../frame/command.ts"
import { confirm, yes } from "../frame/confirming.ts"
import { deciderOf } from "../frame/declared.ts"
import { answer, answerRows } from "../frame/output.ts"
import { during } from "../frame/progress.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { type Column, counted, numberOf, printable } from "../frame/table.ts"

const iso = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

const json = ({ savedAt, ...info }: SnapshotInfo) => ({ ...info, savedAt: iso(savedAt) })

const columns: ReadonlyArray<Column<SnapshotInfo>> = [
  { title: "stream", value: ({ streamId }) => streamId },
  { title: "name", value: ({ name }) => name },
  { title: "at version", value: ({ streamVersion }) => streamVersion, align: "right" },
  { title: "shape", value: ({ schemaVersion }) => schemaVersion, align: "right" },
  { title: "bytes", value: ({ bytes }) => bytes, align: "right" },
  { title: "saved", value: ({ savedAt }) => iso(savedAt) },
  {
    title: "holds",
    value: ({ holds }) => holds ? "yes" : "no",
    style: ({ holds }) => holds ? undefined : "yellow"
  }
]

/** Which snapshots are meant. */
const which = {
  category: Flag.String("category").pipe(Flag.withDescription("Only of streams of one category"), Flag.optional),
  stream: Flag.String("stream").pipe(Flag.withDescription("Only of one stream"), Flag.optional),
  name: Flag.String("name").pipe(Flag.withDescription("Only those of this name"), Flag.optional)
}

const filterOf = ({ category, name, stream }: { readonly [K in keyof typeof which]: Option.Option<string> }) => ({
  category: valueOf(category),
  stream: Option.isNone(stream) ? undefined : rawStream(stream.value),
  snapshot: valueOf(name)
})

const list = storeCommand(
  "list",
  {
    ...which,
    stale: Flag.Boolean("stale").pipe(
      Flag.withDescription("Only those that do not hold: the stream is not what it was"),
      Flag.withDefault(false)
    ),
    limit: natural("limit").pipe(Flag.withDescription("Most snapshots"), Flag.withDefault(100))
  },
  {
    description: "Lists snapshots by stream: saved states, which may always be thrown away.",
    examples: [
      { command: "eventstore snapshots list --category cart" },
      { command: "eventstore snapshots list --stale --json" }
    ]
  },
  Effect.fnUntraced(function*({ limit, stale, ...which }) {
    yield* answerRows(
      SnapshotStore.list(filterOf(which)).pipe(Stream.filter(({ holds }) => !stale || !holds), Stream.take(limit)),
      { columns, json, empty: "There is no such snapshot." }
    )
  })
)

const show = storeCommand(
  "show",
  {
    stream: Argument.String("stream").pipe(Argument.withDescription("Full name of the stream")),
    name: which.name
  },
  {
    description: "Shows the snapshots of a stream, with their states as they are stored.",
    examples: [{ command: "eventstore snapshots show cart-42" }]
  },
  Effect.fnUntraced(function*({ name, stream }) {
    const { storage } = yield* EventStore
    const found = yield* Stream.runCollect(
      SnapshotStore.list({ stream: rawStream(stream), snapshot: valueOf(name) })
    )
    if (found.length === 0) return yield* answerIsNo(`There is no snapshot of the stream ${stream}`)
    const shown = yield* Effect.forEach(found, (info) =>
      Effect.map(
        // without events: the smallest page there is
        storage.snapshots.load(info.streamId, info.name, { to: Number.MAX_SAFE_INTEGER, limit: 1, bytes: 1 }),
        ({ snapshot }) => ({
          ...json(info),
          state: snapshot === undefined ? null : JSON.parse(snapshot.state) as unknown
        })
      ))
    yield* answer(
      { streamId: stream, snapshots: shown },
      ({ snapshots }, { paint }) =>
        snapshots.map(({ bytes, eventId, holds, name, position, savedAt, schemaVersion, state, streamVersion }) =>
          [
            paint("bold", `${name} of ${printable(stream)}`),
            `  at version ${streamVersion}, position ${numberOf(position)}, event ${eventId}`,
            `  shape ${schemaVersion}, ${numberOf(bytes)} bytes, saved ${savedAt}`,
            ...(holds ? [] : [paint("yellow", "  does not hold: the stream is not what it was, and it is not used")]),
            ...(state === null && !holds
              ? []
              : JSON.stringify(state, null, 2).split("\n").map((line) => `  ${printable(line)}`))
          ].join("\n")
        ).join("\n")
    )
  })
)

const drop = storeCommand(
  "drop",
  {
    ...which,
    all: Flag.Boolean("all").pipe(Flag.withDescription("All snapshots of the log"), Flag.withDefault(false)),
    yes
  },
  {
    description: "Removes snapshots. Nothing is lost: states are folded from the events again.",
    examples: [
      { command: "eventstore snapshots drop --stream cart-42" },
      { command: "eventstore snapshots drop --category cart --name totals --yes" }
    ]
  },
  Effect.fnUntraced(function*({ all, yes, ...which }) {
    const filter = filterOf(which)
    const isNarrow = Object.values(filter).some((part) => part !== undefined)
    if (isNarrow === all) {
      return yield* isNarrow
        ? wrongInput("--all means all snapshots, and a filter some of them", "give one of the two")
        : wrongInput("It is not said which snapshots", "--stream, --category or --name, or --all")
    }
    const count = yield* Stream.runCount(SnapshotStore.list(filter))
    if (count > 0) yield* confirm(`Remove ${counted(count, "snapshot")}?`, { yes })
    const snapshots = yield* SnapshotStore.drop(filter)
    yield* answer({ snapshots }, () => `${counted(snapshots, "snapshot")} removed`)
  })
)

const rebuild = storeCommand(
  "rebuild",
  {
    category: Argument.String("category").pipe(
      Argument.withDescription("Category of the decider that the application declares")
    ),
    stream: which.stream,
    yes
  },
  {
    description:
      "Drops the snapshots of a category, folds its streams from their first event on with the declared decider, and saves their states.",
    examples: [
      { command: "eventstore snapshots rebuild cart" },
      { command: "eventstore snapshots rebuild cart --stream cart-42 --yes" }
    ]
  },
  Effect.fnUntraced(function*({ category, stream, yes }) {
    const { app } = yield* Application
    const decider = yield* deciderOf(app, category)
    const { savedAs } = decider
    if (savedAs === undefined || savedAs.policy._tag === "Never") {
      return yield* wrongInput(
        `The decider of ${category} saves no states`,
        "declare one with snapshot: Snapshot.make({ ... })"
      )
    }
    const only = valueOf(stream)
    if (only !== undefined && Option.isNone(decider.category.idOf(only))) {
      return yield* wrongInput(`${JSON.stringify(only)} is no stream of the category ${category}`)
    }
    yield* confirm(
      `Fold ${
        only ?? `all streams of ${category}`
      } anew and replace the snapshots ${savedAs.name}? Programs that fold in an older way may save their states behind this`,
      { yes }
    )
    const rebuilt = only === undefined
      ? yield* rebuildAll(decider, savedAs, category)
      : yield* rebuildOne(decider, savedAs, only)
    yield* answer(
      { category, name: savedAs.name, ...rebuilt },
      ({ kept, refused }) =>
        `${counted(kept, "snapshot")} ${savedAs.name} saved${
          refused === 0 ? "" : `, ${numberOf(refused)} are not: a later one was there each time`
        }`
    )
  })
)

/** What it needs besides the store is what the application declares, and is there. */
const rebuildAll = (decider: AnyDecider, savedAs: Snapshot<any, any>, category: string) =>
  Effect.suspend(() => {
    let begun = 0
    const rebuilding = SnapshotStore.rebuild(savedAs, decider.category, {
      initial: (streamId) => decider.initial(Option.getOrThrow(decider.category.idOf(streamId))),
      evolve: (state, { event }) => decider.evolve(state, event),
      isMeant: (streamId) => {
        const isMeant = Option.isSome(decider.category.idOf(streamId))
        if (isMeant) begun++
        return isMeant
      }
    }) as Effect.Effect<SnapshotStore.Rebuilt, ReadError, EventStore>
    return during({ label: category }, (report) =>
      Effect.raceFirst(
        Effect.tap(rebuilding, () => report(begun)),
        Effect.forever(Effect.andThen(Effect.sleep("100 millis"), Effect.suspend(() => report(begun))))
      ))
  })

const rebuildOne = (decider: AnyDecider, savedAs: Snapshot<any, any>, stream: string) =>
  Effect.gen(function*() {
    yield* SnapshotStore.drop({ stream: rawStream(stream), snapshot: savedAs })
    const id = Option.getOrThrow<unknown>(decider.category.idOf(stream))
    const isKept = yield* decider.snapshot(id) as Effect.Effect<boolean, ReadError, EventStore>
    return { kept: isKept ? 1 : 0, refused: 0 }
  })

export const snapshots = group("snapshots", "Lists, shows, drops and rebuilds snapshots.").pipe(
  Command.withSubcommands([list, show, drop, rebuild])
)
