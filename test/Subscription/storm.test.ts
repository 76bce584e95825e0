import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

it.live(
  "a persistent subscription loses nothing, keeps order by key, and has effects once, through kills, stops and restarts",
  () =>
    Effect.gen(function*() {
      const script = join(import.meta.dirname, "../../scripts/storm.ts")
      const storm = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, ["--conditions=source", script, "--seconds", "10", "--seed", "7"], {
            stdio: ["ignore", "pipe", "pipe"]
          })
        ),
        // it takes its processes and its server with it
        (storm) =>
          storm.exitCode === null && storm.signalCode === null
            ? Effect.promise(() => (storm.kill("SIGTERM"), once(storm, "exit")))
            : Effect.void
      )
      let output = ""
      for (const stream of [storm.stdout, storm.stderr]) stream.on("data", (chunk) => output += String(chunk))
      const [code] = yield* Effect.promise(() => once(storm, "close"))
      assert.strictEqual(code, 0, output)
      const counts = JSON.parse(output.split("\n").find((line) => line.startsWith("{"))!)
      // and it was a storm
      for (const what of ["events", "repeats", "effects", "parked", "kills", "stops", "freezes", "suicides"]) {
        assert.isAbove(counts[what], 0, what)
      }
      assert.strictEqual(counts.restarts, 2)
    }),
  240_000
)
