import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { problemOfThing } from "../../src/Cli/internal/scaffold/scaffoldThing.ts"
import { directory, run, terminal } from "../support/commandLine.ts"
import { environment, install, pack } from "../support/installed.ts"

const root = join(import.meta.dirname, "..", "..")

const read = (...path: ReadonlyArray<string>) => readFileSync(join(...path), "utf8")

const files = [
  ".gitignore",
  "README.md",
  "eventstore.config.ts",
  "package.json",
  "src",
  "test",
  "tsconfig.json"
]

describe("init", { timeout: 90_000 }, () => {
  it.live(
    "makes a project that runs, keeps its promises and is followed by the command line",
    () =>
      Effect.gen(function*() {
        const temp = yield* directory
        const shop = join(temp, "shop")
        mkdirSync(shop)
        install(shop, pack(temp))
        const at = (command: string, ...args: ReadonlyArray<string>) => {
          const { status, stderr, stdout } = spawnSync(command, args, {
            cwd: shop,
            encoding: "utf8",
            env: { ...environment, PATH: `${join(shop, "node_modules", ".bin")}:${environment.PATH}` }
          })
          assert.strictEqual(status, 0, `${command} ${args.join(" ")}\n${stdout}\n${stderr}`)
          return stdout
        }

        const { next } = JSON.parse(at("eventstore", "init", "--name", "order", "--json"))
        assert.deepStrictEqual(next.slice(0, 3), ["npm install", "npm start", "npm test"])
        const manifest = JSON.parse(read(shop, "package.json"))
        assert.match(manifest.dependencies["effect-eventstore"], /^file:/, "as it is installed")

        assert.strictEqual(at("npm", "start"), "order-1 { customer: 'anna', items: 3, isOpen: true }\n")
        at("npm", "run", "types")
        assert.match(at("npm", "test"), /Tests {2}\d+ passed/)

        const json = (...args: ReadonlyArray<string>) =>
          at("eventstore", ...args, "--json").trimEnd().split("\n").map((line) => JSON.parse(line))
        assert.deepStrictEqual(json("streams", "list").map(({ streamId }) => streamId), ["order-1"])
        assert.deepStrictEqual(json("read", "order-1").map(({ type }) => type), ["Opened", "ItemAdded", "ItemAdded"])
        assert.deepStrictEqual(json("projections", "list").map(({ name }) => name), ["order-summary"])
        assert.strictEqual(json("replay", "order-summary", "--dry-run").length, 1)

        rmSync(join(shop, "node_modules", "@effect", "platform-node"))
        const lacking = spawnSync(join(shop, "node_modules/.bin/eventstore"), ["--version"], {
          cwd: shop,
          encoding: "utf8",
          env: environment
        })
        assert.strictEqual(lacking.status, 3)
        assert.include(lacking.stderr, "hint  npm install @effect/platform-node")
        assert.notInclude(lacking.stderr, "    at ")
      }),
    180_000
  )

  it.live("writes code that is formatted as ours, and says what to type next", () =>
    Effect.gen(function*() {
      const temp = yield* directory
      const { code, lines } = yield* run(["init", "carts", "--name", "shoppingCart"], { cwd: temp })
      assert.strictEqual(code, 0)
      assert.include(lines, "  cd carts")
      assert.sameMembers(readdirSync(join(temp, "carts")), files)
      const config = read(root, "dprint.json").replaceAll("\"node_modules/@dprint", `"${root}/node_modules/@dprint`)
      writeFileSync(join(temp, "dprint.json"), config)
      const checked = spawnSync(process.execPath, [join(root, "node_modules/dprint/bin.cjs"), "check"], {
        cwd: temp,
        encoding: "utf8"
      })
      assert.strictEqual(checked.status, 0, checked.stdout + checked.stderr)
      assert.include(read(temp, "carts/src/projections.ts"), "\"shopping-cart-summary\"")
    }))

  it.live("adds to a directory what is missing, and overwrites nothing unless it is told to", () =>
    Effect.gen(function*() {
      const temp = yield* directory
      const before =
        "{\n\t\"name\": \"mine\",\n\t\"scripts\": {\n\t\t\"start\": \"node mine.js\"\n\t},\n\t\"dependencies\": {\n" +
        "\t\t\"effect-eventstore\": \"file:../x.tgz\"\n\t}\n}\n"
      writeFileSync(join(temp, "package.json"), before)
      writeFileSync(join(temp, ".gitignore"), "*.log\nnode_modules")
      writeFileSync(join(temp, "tsconfig.json"), "{}")
      writeFileSync(join(temp, "README.md"), "mine")
      const first = yield* run(["init", "--json"], { cwd: temp })
      assert.strictEqual(first.code, 0, first.stderr)
      const manifest = read(temp, "package.json")
      assert.isTrue(manifest.startsWith("{\n\t\"name\": \"mine\",\n\t\"scripts\": {\n\t\t\"start\": \"node mine.js\","))
      assert.include(manifest, "\t\t\"effect-eventstore\": \"file:../x.tgz\",")
      assert.strictEqual(JSON.parse(manifest).type, "module")
      assert.strictEqual(read(temp, ".gitignore"), "*.log\nnode_modules\ndata/\n*.checkpoint.json\n")
      assert.strictEqual(read(temp, "tsconfig.json"), "{}")
      assert.strictEqual(read(temp, "README.md"), "mine")

      writeFileSync(join(temp, "src", "main.ts"), "// mine")
      const kept = yield* run(["init", "--yes"], { cwd: temp })
      assert.strictEqual(kept.code, 0, kept.stderr)
      assert.match(kept.stdout, /src\/main.ts +kept[^]*--overwrite writes them anew/)
      assert.strictEqual(read(temp, "src", "main.ts"), "// mine")
      const again = yield* run(["init", "--overwrite"], { cwd: temp })
      assert.strictEqual(again.code, 2)
      assert.include(again.stderr, "Overwrite src/main.ts?")
      assert.strictEqual(read(temp, "src", "main.ts"), "// mine")
      const told = yield* run(["init", "--overwrite", "--yes", "--json"], { cwd: temp })
      const overwritten = told.json[0].files.filter((file: { readonly action: string }) =>
        file.action === "overwritten"
      )
      assert.deepStrictEqual(overwritten, [{ path: "src/main.ts", action: "overwritten" }])
      assert.strictEqual(read(temp, "package.json"), manifest)
    }))

  it.live("writes all of it or nothing", () =>
    Effect.gen(function*() {
      const temp = yield* directory
      const refused = (problem: string | RegExp, ...args: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const there = readdirSync(temp)
          const { code, stderr } = yield* run(["init", ...args], { cwd: temp })
          assert.strictEqual(code, 2, stderr)
          assert.match(stderr, typeof problem === "string" ? new RegExp(problem) : problem)
          assert.notInclude(stderr, "    at ")
          assert.deepStrictEqual(readdirSync(temp), there)
        })
      yield* refused("lower-case letter first", "--name", "my-cart")
      writeFileSync(join(temp, "package.json"), "{ \"type\": \"commonjs\" }")
      yield* refused(/ES modules[^]*npm pkg set type=module/)
      writeFileSync(join(temp, "package.json"), "{ \"type\"")
      yield* refused("cannot be read")
      yield* refused("is not a directory", "package.json")

      writeFileSync(join(temp, "package.json"), "{}")
      mkdirSync(join(temp, "src"))
      symlinkSync("/nowhere/at/all", join(temp, "eventstore.config.ts"))
      const failed = yield* run(["init"], { cwd: temp })
      assert.strictEqual(failed.code, 1)
      assert.match(failed.stderr, /^error The project cannot be written/)
      assert.strictEqual(read(temp, "package.json"), "{}")
      assert.deepStrictEqual(readdirSync(join(temp, "src")), [])
    }))

  it.live("asks in a terminal what it is about, and before it overwrites", () =>
    Effect.gen(function*() {
      const temp = yield* directory
      const first = yield* terminal(["init"], { cwd: temp })
      yield* first.says("What is it about?")
      yield* first.types("\u007f".repeat(5) + "event\r")
      yield* first.says("is taken")
      yield* first.types("\u007f".repeat(5) + "cart\r")
      assert.strictEqual(yield* first.ended, 0, first.screen())
      assert.include(read(temp, "src", "events.ts"), "Category.make(\"cart\"")

      const second = yield* terminal(["init", "--name", "order", "--overwrite"], { cwd: temp })
      yield* second.says("Overwrite src/events.ts")
      yield* second.types("n")
      assert.strictEqual(yield* second.ended, 1, second.screen())
      assert.include(read(temp, "src", "events.ts"), "Category.make(\"cart\"")
    }).pipe(Effect.scoped))

  it("takes no name that the code uses for something else", () => {
    for (const name of ["event", "app", "effect", "schema", "itemAdded", "state", "positive"]) {
      assert.match(problemOfThing(name) ?? "", /is taken/, name)
    }
    for (const name of ["order", "shoppingCart", "x2", "stream"]) assert.isUndefined(problemOfThing(name), name)
    for (const name of ["", "Order", "my-cart", "a b", "\u00fcber", "a".repeat(33)]) {
      assert.isDefined(problemOfThing(name), name)
    }
  })
})

describe("completions", { timeout: 60_000 }, () => {
  it.live("are printed for the shells, and bash can read them", () =>
    Effect.gen(function*() {
      const [bash, zsh, fish] = yield* Effect.forEach(
        ["bash", "zsh", "fish"],
        (shell) => run(["--completions", shell]),
        { concurrency: 2 }
      )
      assert.strictEqual(spawnSync("bash", ["-n"], { input: bash!.stdout }).status, 0)
      for (const { code, stdout } of [bash!, zsh!, fish!]) {
        assert.strictEqual(code, 0)
        assert.include(stdout, "streams")
      }
    }))
})
