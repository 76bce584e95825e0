import { Effect, Stream } from "effect"
import { Flag } from "effect/cli"
import * as Projection from "../../../Projection/Projection.ts"
import { storeCommand } from "../frame/command.ts"
import { confirm, yes } from "../frame/confirming.ts"
import { answer, answerRows, note, Output } from "../frame/output.ts"
import { wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { counted } from "../frame/table.ts"
import { parkedText } from "../parkedText.ts"
import { name, version } from "../projectionArguments.ts"
import { parkedColumns } from "../projectionRows.ts"
import { parkedJson } from "../recordedJson.ts"

const keys = Flag.String("key").pipe(
  Flag.withDescription("Only of this key; may be repeated"),
  Flag.atLeast(0)
)

export const parked = storeCommand(
  "parked",
  {
    name,
    version,
    key: Flag.String("key").pipe(Flag.withDescription("Only of this key"), Flag.optional),
    limit: natural("limit").pipe(Flag.withDescription("Most events"), Flag.withDefault(100)),
    full: Flag.Boolean("full").pipe(
      Flag.withDescription("With the data of the events and the whole error"),
      Flag.withDefault(false)
    )
  },
  {
    description: "Shows the events that a projection could not handle and set aside, and those that wait behind them.",
    examples: [
      { command: "eventstore projections parked totals" },
      { command: "eventstore projections parked totals --key cart-42 --full" }
    ]
  },
  Effect.fnUntraced(function*({ full, key, limit, name, version }) {
    const { isJson, paint } = yield* Output
    const rows = Projection.parked(name, { version: valueOf(version), key: valueOf(key) }).pipe(
      Stream.take(limit),
      Stream.map(parkedJson)
    )
    const empty = `Nothing of the projection ${name} is parked.`
    if (!full || isJson) return yield* answerRows(rows, { columns: parkedColumns, empty })
    const count = yield* Stream.runFoldEffect(
      rows,
      () => 0,
      (count, row) =>
        Effect.as(
          answer(row, () => parkedText(row, row.error ?? "it waits behind an earlier one of its key", paint)),
          count + 1
        )
    )
    if (count === 0) yield* note(empty)
  })
)

/** Parked events that are meant: of some keys, or of all where none are given. */
const flags = { name, version, key: keys }

const examplesOf = (command: string) => [
  { command: `eventstore projections ${command} totals` },
  { command: `eventstore projections ${command} totals --key cart-42 --key cart-43` }
]

/** The version that is meant, whichever is live later. */
const versionOf = (name: string, asked: number | undefined, keys: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    if (keys.includes("")) return yield* wrongInput("A key is no empty text")
    return (yield* Projection.status(name, { version: asked })).version
  })

export const replayParked = storeCommand(
  "replay-parked",
  flags,
  {
    description: "Lets parked events be handled again, by the processes that run the projection.",
    examples: examplesOf("replay-parked")
  },
  Effect.fnUntraced(function*({ key, name, version: asked }) {
    const version = yield* versionOf(name, valueOf(asked), key)
    const events = yield* Projection.replay(name, { version, keys: key.length === 0 ? undefined : key })
    yield* answer(
      { name, version, events },
      () => `${counted(events, "parked event")} to be handled again, where somebody runs it`
    )
  })
)

export const discardParked = storeCommand(
  "discard-parked",
  { ...flags, yes },
  {
    description:
      "Gives parked events up, and lets their keys go on. The read model lacks what they would have done to it.",
    examples: examplesOf("discard-parked")
  },
  Effect.fnUntraced(function*({ key, name, version: asked, yes }) {
    const version = yield* versionOf(name, valueOf(asked), key)
    // a key is given up as a whole: of those that are parked while somebody thinks about it, none was agreed to
    const found = new Set<string>()
    let count = 0
    for (const one of key.length === 0 ? [undefined] : new Set(key)) {
      yield* Stream.runForEach(Projection.parked(name, { version, key: one }), ({ key }) =>
        Effect.sync(() => {
          found.add(key)
          count++
        }))
    }
    let events = 0
    if (count > 0) {
      yield* confirm(
        `Give up ${key.length === 0 ? "all " : ""}${counted(count, "parked event")} of ${
          key.length === 0 ? counted(found.size, "key") : `the keys ${[...found].join(", ")}`
        }, so that the read model will never have them?`,
        { yes }
      )
      events = yield* Projection.discard(name, { version, keys: [...found] })
    }
    yield* answer({ name, version, events }, () => `${counted(events, "parked event")} given up`)
  })
)
