/**
 * The command line of an application: its own commands, and beside them those of the event store, which know its types. A
 * program that has no others is `Cli.run({ app })`.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect, Schema } from "effect"
import { Category, EventStore, PgliteEventStore } from "effect-eventstore"
import { App, Cli } from "effect-eventstore/Cli"
import { Argument, Command } from "effect/cli"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
class Paid extends Schema.TaggedClass<Paid>()("Paid", { cents: Schema.Int }) {}
const Cart = Category.make("cart", { id: Schema.String, events: [Opened, Paid] })

const dir = mkdtempSync(join(tmpdir(), "cli-"))

const open = Command.make(
  "open",
  { id: Argument.String("id") },
  ({ id }) =>
    EventStore.use((store) => store.append(Cart.stream(id), [new Opened({ customer: "anna" })])).pipe(
      Effect.provide(PgliteEventStore.layer({ dataDir: dir }))
    )
)

const shop = Command.make("shop").pipe(
  Command.withSubcommands([open, Cli.make({ name: "log", app: App.make({ dir, categories: [Cart] }) })])
)

// in a program: Command.run(shop, { version: "1.0.0" }), which takes what was typed
const typed = (...words: ReadonlyArray<string>) =>
  Command.runWith(shop, { version: "1.0.0" })(words).pipe(Effect.provide(NodeServices.layer))

await Effect.runPromise(Effect.gen(function*() {
  yield* typed("open", "42")
  yield* typed("log", "append", "cart-42", "--type", "Paid", "--data", "{\"cents\": 500}", "--expected", "1")
  yield* typed("log", "streams", "list")
}))
rmSync(dir, { recursive: true })
