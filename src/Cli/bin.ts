#!/usr/bin/env node
/** The binary. What it runs is loaded late, so that a missing package is answered by a sentence. */
import { enableCompileCache } from "node:module"

// halves the time to start: what is loaded from here on was compiled by an earlier start
enableCompileCache()

const [{ NodeRuntime }, { run }] = await Promise.all([import("@effect/platform-node"), import("./Cli.ts")]).catch(
  (cause: NodeJS.ErrnoException): never => {
    const missing = cause.code === "ERR_MODULE_NOT_FOUND" ? /package '([^']+)'/.exec(cause.message)?.[1] : undefined
    if (missing === undefined) throw cause
    process.stderr.write(`error The command line needs the package ${missing}\nhint  npm install ${missing}\n`)
    process.exit(3)
  }
)

NodeRuntime.runMain(run())
