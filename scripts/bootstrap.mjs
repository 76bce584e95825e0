/**
 * Runs a script of this repository: `node scripts/bootstrap.mjs examples/demo.ts --repo x`.
 *
 * A fresh clone on an old Node is enough. Dependencies are installed when they are missing or differ from the lock
 * file; then the Node that the lock file brings (package `node`) runs the script with the `source` condition, so that
 * `effect-eventstore/...` means `src/`. Plain JavaScript without dependencies: it runs before there are any.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { constants } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, "node_modules")
const windows = process.platform === "win32"

const fail = (sentence) => {
  console.error(sentence)
  process.exit(1)
}

const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages

/** npm writes what it installed, with integrities, to a hidden lock file once it is done: compare that with the lock. */
const isInstalled = () => {
  const installed = join(modules, ".package-lock.json")
  if (!existsSync(installed)) return false
  const found = packagesOf(installed)
  return Object.entries(packagesOf(join(root, "package-lock.json"))).every(([path, wanted]) =>
    path === "" || (found[path] === undefined
      ? wanted.optional || wanted.devOptional
      : found[path].version === wanted.version && found[path].integrity === wanted.integrity)
  )
}

const install = () => {
  console.error("Installing dependencies with npm ci ...")
  // without node_modules/.bin: npm must not run on the very Node that it is about to replace
  const path = (process.env.PATH ?? "").split(delimiter).filter((entry) => !entry.startsWith(modules)).join(delimiter)
  const npm = spawnSync("npm", ["ci", "--include=dev", "--include=optional", "--loglevel=error"], {
    cwd: root,
    env: { ...process.env, PATH: path },
    stdio: ["ignore", 2, 2], // stdout belongs to the script
    shell: windows
  })
  if (npm.error) fail(`npm could not be started: ${npm.error.message}`)
  if (npm.status !== 0) fail("npm ci failed, see its output above.")
}

const isNewEnough = () => {
  const [major, minor] = process.versions.node.split(".").map(Number)
  return major > 22 || (major === 22 && minor >= 19)
}

/** The Node of the lock file; else the one that runs this, unless it is too old for the sources. */
const findNode = () => {
  const own = join(modules, "node", "bin", windows ? "node.exe" : "node")
  if (existsSync(own) && spawnSync(own, ["--version"]).status === 0) return own
  if (isNewEnough()) return process.execPath
  return fail(
    `Node ${process.versions.node} is too old: 22.19 or newer is needed, and the package "node" did not install one ` +
      "(were install scripts switched off?). Install a newer Node, or remove node_modules and try again."
  )
}

if (!isInstalled()) install()

const [script, ...rest] = process.argv.slice(2)
if (script === undefined) fail("Usage: node scripts/bootstrap.mjs <script> [arguments]")
const child = spawn(findNode(), [
  "--conditions=source",
  "--disable-warning=ExperimentalWarning",
  join(root, script),
  ...rest
], {
  stdio: "inherit"
})
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) {
  // a terminal sends Ctrl-C to the child as well: twice would kill what is shutting down
  process.on(signal, () => process.stdin.isTTY && signal === "SIGINT" ? undefined : child.kill(signal))
}
child.on("error", (error) => fail(`${script} could not be started: ${error.message}`))
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
