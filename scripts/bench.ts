/**
 * `npm run bench -- <name> [arguments]`: runs `bench/<name>.ts`; without a name it lists what there is.
 *
 * What is compared with has dependencies of its own, which users and tests do not need: every folder of `bench/` with a
 * lock file is installed on first use.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, symlinkSync } from "node:fs"
import { dirname, join } from "node:path"

const root = join(import.meta.dirname, "..")

/** Installs what the benches need, where it is missing; true when it is there. */
export const installBenchDependencies = (): boolean =>
  globSync(["bench/package.json", "bench/*/package.json"], { cwd: root }).every((file) => {
    const folder = join(root, dirname(file))
    if (!existsSync(join(folder, "node_modules", ".package-lock.json"))) {
      const command = existsSync(join(folder, "package-lock.json")) ? "ci" : "install"
      const { status } = spawnSync("npm", [command, "--no-audit", "--no-fund", "--loglevel=error"], {
        cwd: folder,
        stdio: ["ignore", 2, 2]
      })
      if (status !== 0) return false
    }
    // a folder with a package.json does not see this package by its name
    const self = join(folder, "node_modules", "effect-eventstore")
    if (!existsSync(self)) {
      mkdirSync(dirname(self), { recursive: true })
      symlinkSync(root, self, "junction")
    }
    return true
  })

if (import.meta.main) {
  const [name, ...rest] = process.argv.slice(2)
  if (name === undefined || !existsSync(join(root, "bench", `${name}.ts`))) {
    const names = globSync("bench/*.ts", { cwd: root }).map((file) => file.slice("bench/".length, -".ts".length)).sort()
    console.error(`Usage: npm run bench -- <name> [arguments]\nBenches: ${names.join(", ") || "none yet"}`)
    process.exitCode = name === undefined ? 0 : 1
  } else if (!installBenchDependencies()) {
    console.error("The dependencies of the benches could not be installed, see above.")
    process.exitCode = 1
  } else {
    const child = spawn(
      process.execPath,
      ["--conditions=source", "--expose-gc", join(root, "bench", `${name}.ts`), ...rest],
      { stdio: "inherit" }
    )
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => process.stdin.isTTY && signal === "SIGINT" ? undefined : child.kill(signal))
    }
    child.on("exit", (code) => process.exitCode = code ?? 1)
  }
}
