/**
 * `tail -f` for a log: what is stored, a line when that is all, and then what comes. Ctrl-C ends it.
 *
 *     node examples/tail.ts --url postgres://localhost/shop --category cart --type Paid --after 1200
 *     node examples/tail.ts --dir ./data --after end
 *     node examples/tail.ts                             a little log in memory, for a moment
 *
 * Shows how a tool reads events without knowing their schemas, and how `Subscription.signals` tells where the end is.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Console, DateTime, Effect, FileSystem, Layer, Option, type Redacted, Schema, Stream } from "effect"
import {
  Category,
  type EventStore,
  PgEventStore,
  PgliteEventStore,
  type RawEvent,
  type Recorded,
  Subscription
} from "effect-eventstore"
import { Command, Flag } from "effect/cli"
import { printable } from "./demo/escape.ts"
import { bold, faint, green } from "./demo/screen.ts"
import { isClosingTime, sellMore, shop } from "./tail/shop.ts"

class Wrong extends Schema.TaggedError<Wrong>()("Wrong", { problem: Schema.String }) {
  override get message(): string {
    return this.problem
  }
}

const flags = {
  url: Flag.Redacted("url").pipe(Flag.withDescription("The database that keeps the log"), Flag.optional),
  dir: Flag.String("dir").pipe(Flag.withDescription("The directory that keeps the log"), Flag.optional),
  category: Flag.String("category").pipe(Flag.withDescription("Only streams of this category"), Flag.optional),
  type: Flag.String("type").pipe(Flag.withDescription("Only events of this type; may be repeated"), Flag.atLeast(0)),
  after: Flag.String("after").pipe(
    Flag.withDescription("Only events behind this position; end: only what comes"),
    Flag.withSchema(Schema.Union([Schema.Literal("end"), Schema.FiniteFromString])),
    Flag.withDefault(0)
  ),
  time: Flag.Boolean("time").pipe(Flag.withDescription("Say when each event was recorded"), Flag.withDefault(false))
}

const tail = Command.make(
  "tail",
  flags,
  Effect.fn(
    function*({ after, category, dir, time, type, url }) {
      const isShop = Option.isNone(url) && Option.isNone(dir)
      const source = Option.isSome(category) ? yield* rawCategory(category.value) : Category.raw
      const signals = Subscription.signals(source, { after, types: type.length === 0 ? undefined : type }).pipe(
        isShop ? Stream.takeUntil(isClosingTime) : (all) => all,
        Stream.runForEach((signal) => {
          switch (signal._tag) {
            case "Event":
              return Console.log(line(signal.recorded, time))
            case "CaughtUp":
              return Effect.andThen(
                Console.log(green(`-- caught up at position ${signal.position} --`)),
                isShop ? Effect.forkChild(sellMore) : Effect.void
              )
            case "Heartbeat":
              return Effect.void
          }
        })
      )
      yield* Effect.provide(signals, storeOf(url, dir))
    },
    // what can go wrong says so in a sentence
    Effect.catch((error) =>
      Effect.andThen(
        Console.error(error.message),
        Effect.sync(() => {
          process.exitCode = 1
        })
      )
    )
  )
).pipe(Command.withDescription("Print the events of a log, and go on as they are stored"))

/** A category whose events nobody knows: all of them come as they are stored. */
const rawCategory = (name: string) =>
  Effect.try({
    try: () => Category.make(name, { id: Schema.String, events: [], undecodable: "raw" }),
    catch: (cause) => new Wrong({ problem: (cause as Error).message })
  })

/** Names and data are somebody else's: nothing in them is to move the cursor. */
const line = (
  { event, position, recordedAt, streamId, streamVersion }: Recorded.Recorded<RawEvent.RawEvent>,
  time: boolean
) =>
  [
    faint(String(position).padStart(6)),
    ...(time ? [faint(DateTime.formatIso(recordedAt))] : []),
    `${printable(streamId)} ${faint(String(streamVersion))}`,
    bold(printable(event.type)),
    printable(JSON.stringify(event.data))
  ].join("  ")

const storeOf = (
  url: Option.Option<Redacted.Redacted<string>>,
  dir: Option.Option<string>
): Layer.Layer<EventStore, Error, FileSystem.FileSystem> => {
  // who only looks makes no tables, and no directory
  if (Option.isSome(url)) {
    return PgEventStore.layerStore().pipe(Layer.provide(PgClient.layer({ url: url.value, maxConnections: 2 })))
  }
  if (Option.isNone(dir)) return shop
  return Layer.unwrap(Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    if (!(yield* fs.exists(`${dir.value}/pglite`))) return yield* new Wrong({ problem: `${dir.value} has no store` })
    return PgliteEventStore.layer({ dataDir: dir.value })
  }))
}

// who reads us may have seen enough: `| head`
process.stdout.once("error", () => process.exit())

tail.pipe(Command.run({ version: "0.1.0" }), Effect.provide(NodeServices.layer), NodeRuntime.runMain)
