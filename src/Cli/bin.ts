#!/usr/bin/env node
/**
 * The binary. What it runs is loaded late, so that an old Node and a missing package are answered by a sentence: of what is
 * imported here, an old one lacks names.
 */
import * as module from "node:module"

const [major, minor] = process.versions.node.split(".").map(Number) as [number, number]
if (major < 22 || major === 22 && minor < 19) {
  process.stderr.write(`error The command line needs Node 22.19 or newer, this is ${process.versions.node}\n`)
  process.exit(3)
}

// halves the time to start: what is loaded from here on was compiled by an earlier start
module.enableCompileCache()

const [{ NodeRuntime }, { run }] = await Promise.all([import("@effect/platform-node"), import("./Cli.ts")]).catch(
  (cause: NodeJS.ErrnoException): never => {
    const missing = cause.code === "ERR_MODULE_NOT_FOUND" ? /package '([^']+)'/.exec(cause.message)?.[1] : undefined
    if (missing === undefined) throw cause
    process.stderr.write(`error The command line needs the package ${missing}\nhint  npm install ${missing}\n`)
    process.exit(3)
  }
)

NodeRuntime.runMain(run())
