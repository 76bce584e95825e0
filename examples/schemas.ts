/**
 * The schemas of what is stored, guarded by a command: a file under version control has the shape of each version, and whoever
 * changes one in a way that stored data do not allow is told what changed and what to do.
 *
 * `node --conditions=source examples/schemas.ts verify` (or `write`, or `--help`) is the command as a build runs it: it ends
 * with the exit code 1 where something is wrong. Without an argument the example plays the life of a class, in a directory of
 * its own.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"
import { Category, Event, Snapshot } from "effect-eventstore"
import * as SchemaGuardCommand from "effect-eventstore/Testing/SchemaGuardCommand"
import { Command } from "effect/cli"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String, at: Schema.Date }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
const Totals = Snapshot.make({ name: "totals", state: Schema.Struct({ cents: Schema.Int }) })

/** Next year somebody finds that a text would do for the time. */
class OpenedAsText
  extends Schema.TaggedClass<OpenedAsText>()("Opened", { customer: Schema.String, at: Schema.String })
{}
const Careless = Category.make("cart", { id: Schema.String, events: [OpenedAsText] })

/** And is told to keep the old shape in a chain. */
const Careful = Category.make("cart", {
  id: Schema.String,
  events: [
    Event.oldest(Schema.Struct({ customer: Schema.String, at: Schema.Date })).current(
      OpenedAsText,
      ({ at, customer }) => new OpenedAsText({ at: at.toISOString().slice(0, 10), customer })
    )
  ]
})

const file = "schemas.json"
const version = "1.0.0"

const play = Effect.gen(function*() {
  const run = (category: Category.Any, subcommand: string) =>
    Command.runWith(SchemaGuardCommand.make({ categories: [category], snapshots: [Totals] }, { file }), {
      version,
      renderErrors: false
    })([subcommand]).pipe(
      Effect.catchTag("SchemaChanged", ({ message }) => Console.log(message))
    )
  yield* Console.log("at first")
  yield* run(Cart, "write")
  yield* run(Cart, "verify")
  yield* Console.log("a careless change")
  yield* run(Careless, "verify")
  yield* Console.log("a careful one")
  yield* run(Careful, "write")
})

const program = process.argv.length > 2
  ? Command.run(SchemaGuardCommand.make({ categories: [Cart], snapshots: [Totals] }, { file }), { version })
  : Effect.scoped(Effect.andThen(
    Effect.acquireRelease(
      Effect.sync(() => {
        const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "schemas-"))
        process.chdir(directory)
        return directory
      }),
      (directory) =>
        Effect.sync(() => {
          process.chdir(Os.tmpdir())
          Fs.rmSync(directory, { recursive: true })
        })
    ),
    play
  ))

program.pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
