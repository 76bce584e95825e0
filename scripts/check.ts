/**
 * `npm run check`: everything but the tests, a line per check with its time; the output of a check only if it fails.
 * `npm run check -- lint types` runs those alone. With CHECK_JSON_FILE the counts are written there as well.
 */
import { spawn } from "node:child_process"
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, sep } from "node:path"
import { installBenchDependencies } from "./bench.ts"

const root = join(import.meta.dirname, "..")
const packed = mkdtempSync(join(tmpdir(), "eventstore-pack-"))

interface Outcome {
  readonly ok: boolean
  readonly output: string
}

const run = (command: string, args: ReadonlyArray<string>): Promise<Outcome> =>
  new Promise((resolve) => {
    let output = ""
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
    child.stdout.on("data", (chunk) => output += String(chunk))
    child.stderr.on("data", (chunk) => output += String(chunk))
    child.on("error", (error) => resolve({ ok: false, output: error.message }))
    child.on("close", (code) => resolve({ ok: code === 0, output }))
  })

/** A JavaScript program of node_modules, on this Node: the links in `.bin` would take whichever `node` comes first. */
const tool = (path: string, ...args: ReadonlyArray<string>) =>
  run(process.execPath, [join(root, "node_modules", path), ...args])

const script = (name: string) => run(process.execPath, ["--conditions=source", join(root, "scripts", name)])

const tarball = () => join(packed, globSync("*.tgz", { cwd: packed })[0] ?? "missing.tgz")

/** The public modules by name: attw does not look behind the wildcard of `exports` by itself. */
const entrypoints = () =>
  globSync("src/[A-Z]*/[A-Z]*.ts", { cwd: root }).map((file) =>
    file.split(sep).slice(1).join("/").slice(0, -".ts".length)
  )

const checks: Record<string, () => Promise<Outcome>> = {
  // first, because lint follows the package's name into what was built last
  build: () => script("build.ts"),
  format: () => tool("dprint/bin.cjs", "check"),
  lint: () => tool("oxlint/bin/oxlint", "--deny-warnings"),
  types: async () =>
    installBenchDependencies()
      ? tool("typescript/bin/tsc", "-p", "tsconfig.json")
      : { ok: false, output: "the dependencies of the benches could not be installed" },
  effect: () =>
    tool(
      "@effect/tsgo/dist/effect-tsgo.cjs",
      "diagnostics",
      "--project",
      "tsconfig.json",
      "--format",
      "text",
      "--strict",
      "--severity",
      "error,warning"
    ),
  unused: () => tool("knip/bin/knip.js"),
  examples: () => script("doctest.ts"),
  pack: () => run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", packed]),
  publint: () => tool("publint/src/cli.js", tarball(), "--strict"),
  "types of the package": () =>
    tool(
      "@arethetypeswrong/cli/dist/index.js",
      tarball(),
      "--profile",
      "esm-only",
      "--no-definitely-typed",
      "--format",
      "table-flipped",
      "--include-entrypoints",
      ...entrypoints()
    )
}

const wanted = process.argv.slice(2)
const names = Object.keys(checks).filter((name) => wanted.length === 0 || wanted.includes(name))
let failed = names.length === 0 ? 1 : 0
for (const name of names) {
  const start = performance.now()
  const { ok, output } = await (checks[name]?.() ?? { ok: false, output: "" })
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
  if (!ok) {
    failed++
    console.log(output.trimEnd())
  }
}
rmSync(packed, { recursive: true, force: true })
console.log(failed === 0 ? `${names.length} checks passed` : `${failed} of ${names.length} checks failed`)
const report = process.env["CHECK_JSON_FILE"]
if (report !== undefined) writeFileSync(report, JSON.stringify({ passed: names.length - failed, failed }))
if (failed > 0) process.exitCode = 1
