import { Effect, Stream } from "effect"
import { Flag } from "effect/cli"
import * as Projection from "../../../Projection/Projection.ts"
import { storeCommand } from "../command.ts"
import { confirm, yes } from "../confirming.ts"
import { answer, answerRows, note, Output } from "../output.ts"
import { parkedText } from "../parkedText.ts"
import { name, version } from "../projectionArguments.ts"
import { parkedColumns, parkedJson } from "../projectionRows.ts"
import { wrongInput } from "../refusal.ts"
import { natural, valueOf } from "../settings.ts"
import { counted } from "../table.ts"

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

/** What is done with parked events, and how it is told. */
const changingParked = <E, R>(
  command: "replay-parked" | "discard-parked",
  flags: { readonly yes?: typeof yes },
  help: { readonly description: string; readonly question?: string; readonly done: string },
  change: (
    name: string,
    options: Projection.OfVersion & { readonly keys?: ReadonlyArray<string> | undefined }
  ) => Effect.Effect<number, E, R>
) =>
  storeCommand(
    command,
    { name, version, key: keys, ...flags },
    {
      description: help.description,
      examples: [
        { command: `eventstore projections ${command} totals` },
        { command: `eventstore projections ${command} totals --key cart-42 --key cart-43` }
      ]
    },
    Effect.fnUntraced(function*({ key, name, version: asked, yes = false }) {
      const { parkedEvents, version } = yield* Projection.status(name, { version: valueOf(asked) })
      if (key.some((key) => key === "")) return yield* wrongInput("A key is no empty text")
      if (help.question !== undefined && parkedEvents > 0) {
        const which = key.length === 0
          ? `all that is parked (${counted(parkedEvents, "event")})`
          : `the parked events of ${key.join(", ")}`
        yield* confirm(help.question.replace("{which}", which), { yes })
      }
      const events = yield* change(name, { version, keys: key.length === 0 ? undefined : key })
      yield* answer({ name, version, events }, () => `${counted(events, "parked event")} ${help.done}`)
    })
  )

export const replayParked = changingParked("replay-parked", {}, {
  description: "Lets parked events be handled again, by the processes that run the projection.",
  done: "to be handled again, where somebody runs it"
}, Projection.replay)

export const discardParked = changingParked("discard-parked", { yes }, {
  description:
    "Gives parked events up, and lets their keys go on. The read model lacks what they would have done to it.",
  question: "Give up {which}, so that the read model will never have them?",
  done: "given up"
}, Projection.discard)
