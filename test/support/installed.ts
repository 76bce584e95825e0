/**
 * The package in a project of its own, as `npm install effect-eventstore-0.1.0.tgz` leaves it there: built, packed and unpacked.
 * What it works with is linked from here instead, so that nothing asks a registry.
 */
import { spawnSync } from "node:child_process"
import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"

const root = join(import.meta.dirname, "..", "..")
const modules = join(root, "node_modules")

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(command, args, { cwd, encoding: "utf8", env: environment })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`)
}

/** Programs of npm run on this Node, and take no settings of whoever runs the tests. */
export const environment = {
  PATH: [dirname(process.execPath), process.env["PATH"]].join(":"),
  HOME: process.env["HOME"] ?? "/",
  TZ: "UTC",
  NO_COLOR: "1",
  npm_config_loglevel: "silent",
  npm_config_update_notifier: "false"
}

/** Builds and packs what the sources are now; answers where the file is. */
export const pack = (directory: string): string => {
  const stage = join(directory, "package")
  mkdirSync(stage, { recursive: true })
  for (const name of ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "src"]) {
    cpSync(join(root, name), join(stage, name), { recursive: true })
  }
  // types are another check's: what is built is run
  spawnSync(process.execPath, [
    join(modules, "typescript/bin/tsc"),
    "-p",
    join(root, "tsconfig.build.json"),
    "--outDir",
    join(stage, "dist")
  ])
  run(stage, "npm", "pack", "--ignore-scripts", "--pack-destination", directory)
  return resolve(directory, globSync("*.tgz", { cwd: directory })[0]!)
}

/** What a project may import, and the programs that come with it. */
const linked = [
  "@effect/platform-node",
  "@effect/sql-pg",
  "@effect/vitest",
  "@electric-sql/pglite",
  "@types/node",
  "effect",
  "typescript",
  "vitest"
]

/** Installs a packed package into a project, with a `package.json` that says so. */
export const install = (project: string, tarball: string): void => {
  const own = join(project, "node_modules", "effect-eventstore")
  const programs = join(project, "node_modules", ".bin")
  mkdirSync(own, { recursive: true })
  mkdirSync(programs)
  run(project, "tar", "-xzf", tarball, "--strip-components=1", "-C", own)
  for (const name of linked) {
    mkdirSync(dirname(join(project, "node_modules", name)), { recursive: true })
    symlinkSync(join(modules, name), join(project, "node_modules", name))
  }
  for (const name of ["effect-eventstore", "typescript", "vitest"]) {
    const { bin } = JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8"))
    for (const [program, file] of Object.entries<string>(bin)) {
      const target = join(project, "node_modules", name, file)
      if (name === "effect-eventstore") chmodSync(target, 0o755) // the others are linked
      symlinkSync(target, join(programs, program))
    }
  }
  writeFileSync(
    join(project, "package.json"),
    `${JSON.stringify({ dependencies: { "effect-eventstore": `file:${tarball}` } }, null, 2)}\n`
  )
}
