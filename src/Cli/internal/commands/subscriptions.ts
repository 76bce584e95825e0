import { Array as Arr, Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { EventStore } from "../../../Store/EventStore.ts"
import * as PersistentSubscription from "../../../Subscription/PersistentSubscription.ts"
import { SubscriptionNotFound } from "../../../Subscription/SubscriptionError.ts"
import { group, storeCommand } from "../frame/command.ts"
import { confirm, yes } from "../frame/confirming.ts"
import { eventIdOf } from "../frame/eventIds.ts"
import { answer, answerRows, note, Output } from "../frame/output.ts"
import { answerIsNo, wrongInput } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import { counted, numberOf, tableOf } from "../frame/table.ts"
import { showing, watch } from "../frame/watching.ts"
import { parkedText } from "../parkedText.ts"
import { parkedJson } from "../recordedJson.ts"
import { parkedColumns, subscriptionColumns, subscriptionLines } from "../subscriptionRows.ts"

const name = Argument.String("name").pipe(Argument.withDescription("Name of the subscription"))

const list = storeCommand(
  "list",
  watch,
  {
    description: "Lists persistent subscriptions: how far they are, what waits, what is in flight and parked.",
    examples: [
      { command: "eventstore subscriptions list" },
      { command: "eventstore subscriptions list --watch" },
      { command: "eventstore subscriptions list --json" }
    ]
  },
  Effect.fnUntraced(function*(options) {
    const output = yield* Output
    const nobody = "There is no persistent subscription. A program creates one when it first runs it."
    if (!output.isJson && !options.watch && (yield* PersistentSubscription.list).length === 0) {
      return yield* note(nobody)
    }
    yield* showing(
      options,
      Effect.map(
        PersistentSubscription.list,
        (infos) =>
          output.isJson ? infos.map((info) => JSON.stringify(info)) : tableOf(subscriptionColumns, output).lines(infos)
      )
    )
  })
)

/** What a subscription is; refused where there is none. */
const infoOf = (name: string) =>
  Effect.flatMap(
    PersistentSubscription.info(name),
    Option.match({
      onNone: () => Effect.fail(new SubscriptionNotFound({ subscription: name })),
      onSome: Effect.succeed
    })
  )

const show = storeCommand(
  "show",
  { name },
  {
    description: "Shows what a subscription is.",
    examples: [{ command: "eventstore subscriptions show mails" }]
  },
  Effect.fnUntraced(function*({ name }) {
    yield* answer(yield* infoOf(name), (info, { paint }) => subscriptionLines(info, paint).join("\n"))
  })
)

const lag = storeCommand(
  "lag",
  {
    name: name.pipe(Argument.optional),
    max: natural("max").pipe(
      Flag.withDescription("Exit with 1 where one is further behind, for monitors"),
      Flag.optional
    )
  },
  {
    description: "Tells how many positions subscriptions are behind the end of the log.",
    examples: [
      { command: "eventstore subscriptions lag" },
      { command: "eventstore subscriptions lag mails --max 1000" }
    ]
  },
  Effect.fnUntraced(function*({ max, name }) {
    const infos = Option.isSome(name) ? [yield* infoOf(name.value)] : yield* PersistentSubscription.list
    yield* answerRows(Stream.fromIterable(infos), {
      columns: subscriptionColumns.filter(({ title }) => ["name", "checkpoint", "lag", "parked"].includes(title)),
      json: ({ checkpoint, lag, name, parked }) => ({ name, checkpoint, lag, parked }),
      empty: "There is no persistent subscription."
    })
    const most = valueOf(max)
    const late = most === undefined ? undefined : infos.find(({ lag }) => lag > most)
    if (late !== undefined) {
      return yield* answerIsNo(`The subscription ${late.name} is ${counted(late.lag, "position")} behind`)
    }
  })
)

/** Which parked events are meant. */
const which = {
  position: natural("position", 1).pipe(
    Flag.withDescription("Only the one at this position; may be repeated"),
    Flag.atLeast(0)
  ),
  type: Flag.String("type").pipe(Flag.withDescription("Only of this type; may be repeated"), Flag.atLeast(0)),
  stream: Flag.String("stream").pipe(Flag.withDescription("Only of this stream"), Flag.optional),
  key: Flag.String("key").pipe(Flag.withDescription("Only of this key"), Flag.optional),
  reason: Flag.String("reason").pipe(Flag.withDescription("Only where the reason holds this text"), Flag.optional)
}

interface Which {
  readonly position: ReadonlyArray<number>
  readonly type: ReadonlyArray<string>
  readonly stream: Option.Option<string>
  readonly key: Option.Option<string>
  readonly reason: Option.Option<string>
}

/** `undefined` where all of them are meant. */
const filterOf = ({ key, position, reason, stream, type }: Which): PersistentSubscription.ParkedFilter | undefined => {
  const filter: PersistentSubscription.ParkedFilter = {
    ...(position.length === 0 ? {} : { positions: position }),
    ...(type.length === 0 ? {} : { types: type }),
    ...(Option.isNone(stream) ? {} : { streamId: stream.value }),
    ...(Option.isNone(key) ? {} : { key: key.value }),
    ...(Option.isNone(reason) ? {} : { reason: reason.value })
  }
  return Object.keys(filter).length === 0 ? undefined : filter
}

const parked = storeCommand(
  "parked",
  {
    name,
    ...which,
    limit: natural("limit").pipe(Flag.withDescription("Most events"), Flag.withDefault(100)),
    full: Flag.Boolean("full").pipe(
      Flag.withDescription("With the data of the events and the whole error"),
      Flag.withDefault(false)
    )
  },
  {
    description: "Shows the events that were set aside: given up after some attempts, or parked by the handler.",
    examples: [
      { command: "eventstore subscriptions parked mails" },
      { command: "eventstore subscriptions parked mails --type Paid --reason address --full" }
    ]
  },
  Effect.fnUntraced(function*({ full, limit, name, ...which }) {
    const { isJson, paint } = yield* Output
    const rows = PersistentSubscription.parked(name, filterOf(which)).pipe(Stream.take(limit), Stream.map(parkedJson))
    const empty = `No such event of the subscription ${name} is parked.`
    if (!full || isJson) return yield* answerRows(rows, { columns: parkedColumns, empty })
    const count = yield* Stream.runFoldEffect(rows, () => 0, (count, row) =>
      Effect.as(
        answer(row, () => parkedText(row, row.error === null ? row.reason : `${row.reason}: ${row.error}`, paint)),
        count + 1
      ))
    if (count === 0) yield* note(empty)
  })
)

const replay = storeCommand(
  "replay",
  { name, ...which },
  {
    description:
      "Lets parked events be delivered again, with no attempt counted, to the processes that run the subscription.",
    examples: [
      { command: "eventstore subscriptions replay mails" },
      { command: "eventstore subscriptions replay mails --reason \"no such address\"" }
    ]
  },
  Effect.fnUntraced(function*({ name, ...which }) {
    const events = yield* PersistentSubscription.replay(name, filterOf(which))
    yield* answer(
      { name, events },
      () => `${counted(events, "parked event")} to be delivered again, where somebody runs it`
    )
  })
)

const discard = storeCommand(
  "discard",
  { name, ...which, yes },
  {
    description: "Gives parked events up, for good.",
    examples: [
      { command: "eventstore subscriptions discard mails --position 4711" },
      { command: "eventstore subscriptions discard mails --type Paid --yes" }
    ]
  },
  Effect.fnUntraced(function*({ name, yes, ...which }) {
    const filter = filterOf(which)
    const positions = yield* PersistentSubscription.parked(name, filter).pipe(
      Stream.map(({ position }) => position),
      Stream.runCollect
    )
    if (positions.length > 0) {
      const all = filter === undefined ? "all " : ""
      const subject = `${all}${counted(positions.length, "parked event")} of the subscription ${name}`
      yield* confirm(`Give up ${subject}, for good?`, { yes })
    }
    // what is parked while somebody thinks about it was not agreed to
    let events = 0
    for (const some of Arr.chunksOf(positions, 500)) {
      events += yield* PersistentSubscription.discard(name, { ...filter, positions: some })
    }
    yield* answer({ name, events }, () => `${counted(events, "parked event")} given up`)
  })
)

const remove = storeCommand(
  "remove",
  { name, yes },
  {
    description: "Removes a subscription with all that is kept of it. Processes that run it end with an error.",
    examples: [{ command: "eventstore subscriptions remove mails" }]
  },
  Effect.fnUntraced(function*({ name, yes }) {
    const { checkpoint, parked } = yield* infoOf(name)
    yield* confirm(
      `Remove the subscription ${name} at position ${numberOf(checkpoint)}, with ${counted(parked, "parked event")}?`,
      { yes }
    )
    yield* PersistentSubscription.remove(name)
    yield* answer({ name, removed: true }, () => `The subscription ${name} is gone`)
  })
)

/** The position of an event that is named by its position or its id. */
const positionOf = (target: string) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const id = eventIdOf(target)
    if (id !== undefined) {
      const found = yield* store.readEvent(id)
      if (Option.isSome(found)) return Number(found.value.position)
      return yield* answerIsNo(`There is no event ${target}, or it is hidden`)
    }
    const position = /^\d+$/.test(target) ? Number(target) : NaN
    if (Number.isSafeInteger(position) && position >= 1) return position
    return yield* wrongInput(
      `${JSON.stringify(target)} is neither a position nor the id of an event`,
      "a position is a whole number from 1, an id a UUID"
    )
  })

const skip = storeCommand(
  "skip",
  {
    name,
    event: Argument.String("event").pipe(Argument.withDescription("Position of the event in the log, or its id")),
    yes
  },
  {
    description:
      "Takes an event as finished that is not: one that fails and is tried again, waits, is in flight or parked. What stands behind it of its key goes on.",
    examples: [
      { command: "eventstore subscriptions skip mails 4711" },
      { command: "eventstore subscriptions skip mails 019a2f6b-7c1e-7d80-9f55-0c1f7e1c2a11 --yes" }
    ]
  },
  Effect.fnUntraced(function*({ event, name, yes }) {
    const before = yield* infoOf(name)
    const position = yield* positionOf(event)
    if (position > before.position) {
      return yield* answerIsNo(
        `The subscription ${name} has not come to position ${position} yet: it has looked to ${before.position}`,
        "what it has not come to cannot be taken as finished"
      )
    }
    yield* confirm(`Take the event at position ${position} as finished for the subscription ${name}, for good?`, {
      yes
    })
    if ((yield* PersistentSubscription.skip(name, [position])) === 0) {
      return yield* answerIsNo(
        `Nothing of the subscription ${name} waits at position ${position}`,
        "it is finished already, or none of its events"
      )
    }
    yield* answer(
      { name, position, skipped: true },
      () => `The event at position ${position} is taken as finished for the subscription ${name}`
    )
  })
)

export const subscriptions = group("subscriptions", "Lists, shows and operates persistent subscriptions, by name.")
  .pipe(
    Command.withSubcommands([list, show, lag, parked, replay, discard, remove, skip])
  )
