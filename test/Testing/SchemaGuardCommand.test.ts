import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Exit, Schema } from "effect"
import { Category, type Event, Snapshot } from "effect-eventstore"
import * as SchemaGuardCommand from "effect-eventstore/Testing/SchemaGuardCommand"
import { Command } from "effect/cli"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const cartOf = (fields: Schema.Struct.Fields) =>
  Category.make("cart", {
    id: Schema.String,
    events: [Schema.TaggedClass<any>()("Opened", fields) as never as Event.Member]
  })
const Totals = Snapshot.make({ name: "totals", state: Schema.Struct({ cents: Schema.Int }) })

const freshFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "guard-"))),
    (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true }))
  ),
  (directory) => Path.join(directory, "fixtures", "schemas.json")
)

/** How a command ends, and what it prints. */
const running = (guarded: Parameters<typeof SchemaGuardCommand.make>[0], file: string) => {
  const run = Command.runWith(SchemaGuardCommand.make(guarded, { file }), { version: "1.0.0" })
  return (...args: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const print = (...values: ReadonlyArray<unknown>) => void lines.push(values.join(" "))
      const exit = yield* Effect.exit(run(args)).pipe(
        Effect.updateService(Console.Console, (console) =>
          Object.assign(Object.create(console) as typeof console, { log: print, error: print }))
      )
      return { exit, text: lines.join("\n") }
    }).pipe(Effect.provide(NodeServices.layer))
}

describe("SchemaGuardCommand", () => {
  it.effect("writes the file, verifies it, and explains a change that would break what is stored", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      const today = running({ categories: [cartOf({ customer: Schema.String })], snapshots: [Totals] }, file)
      const none = yield* today("verify")
      assert.isTrue(Exit.isFailure(none.exit))
      assert.match(none.text, /cart: Opened version 1 is not in the file. Run it with `write` to note it/)
      assert.isFalse(Fs.existsSync(file))

      const written = yield* today("write")
      assert.isTrue(Exit.isSuccess(written.exit), written.text)
      assert.match(written.text, /2 versions/)
      const before = Fs.readFileSync(file, "utf8")
      assert.isTrue(Exit.isSuccess((yield* today("verify")).exit))

      const changed = running({ categories: [cartOf({ customer: Schema.Int })] }, file)
      for (const subcommand of ["verify", "write"]) {
        const { exit, text } = yield* changed(subcommand)
        assert.match(text, /cart: Opened version 1 has changed:\n  - customer is number now[^]*Event\.oldest/)
        assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(Exit.isFailure(exit) && (exit.cause.reasons[0] as any).error._tag, "SchemaChanged")
        assert.strictEqual(Fs.readFileSync(file, "utf8"), before)
      }
      const wider = running(
        { categories: [cartOf({ customer: Schema.String, note: Schema.optionalKey(Schema.String) })] },
        file
      )
      assert.match((yield* wider("verify")).text, /note was added and may be missing \(harmless\)[^]*with `write`/)
      assert.isTrue(Exit.isSuccess((yield* wider("write")).exit))
      assert.isTrue(Exit.isSuccess((yield* wider("verify")).exit))
    }))

  it.effect("is not led by the environment of tests", () =>
    Effect.gen(function*() {
      const file = yield* freshFile
      process.env["SCHEMA_GUARD"] = "write"
      const { exit } = yield* running({ snapshots: [Totals] }, file)("verify")
      assert.isTrue(Exit.isFailure(exit))
      assert.isFalse(Fs.existsSync(file))
    }).pipe(Effect.ensuring(Effect.sync(() => {
      delete process.env["SCHEMA_GUARD"]
    }))))

  it("runs where vitest is not installed", () => {
    const seen = new Set<string>()
    const follow = (file: string): void => {
      if (seen.has(file)) return
      seen.add(file)
      for (
        const [, clause, from] of Fs.readFileSync(file, "utf8").matchAll(/^(?:import|export) ([^]*?) from "(.*)"$/gm)
      ) {
        if (clause!.startsWith("type ")) continue
        assert.notMatch(from!, /vitest/, file)
        if (from!.startsWith(".")) follow(Path.resolve(Path.dirname(file), from!))
      }
    }
    follow(Path.join(import.meta.dirname, "../../src/Testing/SchemaGuardCommand.ts"))
    assert.isAbove(seen.size, 1)
  })
})
