import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Category, EventStore, RawEvent } from "effect-eventstore"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Logs } from "../support/cliShop/logs.ts"
import { directory, run, terminal } from "../support/commandLine.ts"

const root = join(import.meta.dirname, "..", "..")

const append = Effect.fnUntraced(function*(stream: string, ...data: ReadonlyArray<RawEvent.RawEvent["data"]>) {
  const { inPostgres } = yield* Logs
  yield* inPostgres(
    EventStore.use((store) =>
      store.append(
        Category.rawStream(stream),
        data.map((data) => RawEvent.make({ type: "Noted", schemaVersion: 1, data }))
      )
    )
  )
})

/** What a program writes to a terminal to colour its text. */
// oxlint-disable-next-line no-control-regex
const colours = /\u001b\[\d+(?:;\d+)*m/

const inTerminal = Effect.fnUntraced(function*(args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>) {
  return yield* terminal([...args, ...(yield* Logs).at("Postgres")], { env })
})

/** What a script of the shell says, in which `"$0" "$@"` is the command. */
const inShell = (script: string, args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const command = ["--conditions=source", join(root, "src/Cli/bin.ts"), ...args]
    const child = spawn("bash", ["-c", script, process.execPath, ...command], {
      env: { PATH: process.env["PATH"]! },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let said = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => said += String(chunk))
    child.on("close", () => resume(Effect.succeed(said)))
  })

layer(Logs.layer({ postgres: 20, pglite: 0 }), { excludeTestServices: true })("in a terminal", (it) => {
  it.effect("shows a screenful, in colours, cut where the terminal ends, and none of what would move its cursor", () =>
    Effect.gen(function*() {
      yield* append("note-1", { text: `\u001b[31mred\u009b2J ${"long ".repeat(50)}` })
      const all = yield* inTerminal(["read"])
      assert.strictEqual(yield* all.ended, 0)
      assert.match(all.screen(), colours)
      assert.include(all.screen(), "There is more: go on with --after 100")
      const one = yield* inTerminal(["read", "note"])
      yield* one.ended
      assert.include(one.screen(), "\\u001b[31mred\\x9b2J")
      assert.include(one.screen(), "…")
      assert.notInclude(one.screen(), "\u001b[31m")
      assert.notInclude(one.screen(), "\u009b")
      const json = yield* inTerminal(["read", "note", "--json"], { NO_COLOR: "1" })
      yield* json.ended
      assert.notInclude(json.screen(), "\u009b")
    }).pipe(Effect.scoped))

  it.effect("has no colours where nobody wants them", () =>
    Effect.gen(function*() {
      const plain = yield* inTerminal(["read", "cart-1"], { NO_COLOR: "1" })
      yield* plain.ended
      assert.include(plain.screen(), "CheckedOut")
      assert.notMatch(plain.screen(), colours)
      const piped = yield* run(["read", "cart-1", ...(yield* Logs).at("Postgres")])
      assert.notMatch(piped.stdout, colours)
    }).pipe(Effect.scoped))

  it.effect("asks before it deletes, and takes no for an answer", () =>
    Effect.gen(function*() {
      const { inPostgres } = yield* Logs
      const status = inPostgres(EventStore.use((store) => store.info(Category.rawStream("cart-2"))))
      for (const [answer, code, left] of [["n", 1, "active"], ["y", 0, "deleted"]] as const) {
        const asked = yield* inTerminal(["streams", "delete", "cart-2"])
        yield* asked.says("Delete cart-2, with 5 events?")
        yield* asked.types(answer)
        assert.strictEqual(yield* asked.ended, code, asked.screen())
        assert.strictEqual((yield* status).status, left)
      }
    }).pipe(Effect.scoped))

  it.effect("leaves a question alone at Ctrl-C", () =>
    Effect.gen(function*() {
      const { inPostgres } = yield* Logs
      const asked = yield* inTerminal(["streams", "tombstone", "cart-3"])
      yield* asked.says("End cart-3 for ever")
      yield* asked.types("\u0003")
      assert.strictEqual(yield* asked.ended, 130)
      assert.notInclude(asked.screen(), "error")
      const info = yield* inPostgres(EventStore.use((store) => store.info(Category.rawStream("cart-3"))))
      assert.strictEqual(info.status, "active")
    }).pipe(Effect.scoped))

  it.effect("ends a tail at Ctrl-C, and says how to go on", () =>
    Effect.gen(function*() {
      const tail = yield* inTerminal(["tail", "letter", "--after", "0"])
      yield* append("letter-1", { n: 1 })
      yield* tail.says("letter-1")
      yield* tail.types("\u0003")
      assert.strictEqual(yield* tail.ended, 130)
      assert.match(tail.screen(), /To go on from here: --after \d+/)
    }).pipe(Effect.scoped))

  it.effect("draws how far it has come", () =>
    Effect.gen(function*() {
      const to = join(yield* directory, "archive")
      const exporting = yield* inTerminal(["export", to])
      assert.strictEqual(yield* exporting.ended, 0, exporting.screen())
      assert.match(exporting.screen(), /█+.*100 %/)
    }).pipe(Effect.scoped))

  it.effect("ends in peace where nobody reads on", () =>
    Effect.gen(function*() {
      const { at } = yield* Logs
      // more than a pipe holds
      yield* append("large-1", ...Array.from({ length: 100 }, (_, i) => ({ i, text: "x".repeat(10_000) })))
      const args = ["read", "large", "--json", ...at("Postgres")]
      const said = yield* inShell("\"$0\" \"$@\" | head -1 | cut -c1-12; echo \"exit ${PIPESTATUS[0]}\"", args)
      // as a program that the signal of a closed pipe ends, and without a word
      assert.strictEqual(said, "{\"position\":\nexit 141\n")
    }))
  it.effect("says so where an answer cannot be written, and is not done then", () =>
    Effect.gen(function*() {
      if (!existsSync("/dev/full")) return
      const { at } = yield* Logs
      const script = "\"$0\" \"$@\" > /dev/full; echo \"exit $?\""
      const stats = yield* inShell(script, ["stats", ...at("Postgres")])
      assert.match(stats, /^error The output cannot be written: ENOSPC.*\nexit 3\n$/)
      const list = yield* inShell(script, ["streams", "list", "--json", ...at("Postgres")])
      assert.match(list, /^\{"error":.*The output cannot be written: ENOSPC.*\nexit 3\n$/)
      const wrong = yield* inShell(script, ["read", "--limit", "many", "--json"])
      assert.match(wrong, /^\{"error":\{"tag":"InvalidInvocation","message":".*--limit.*\nexit 2\n$/)
    }))
})
