/** What a replay promises where others are at work meanwhile: in this process, on a log in memory. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber, Latch, Layer, Option, Schema } from "effect"
import { EventStore, Projection } from "effect-eventstore"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { Output } from "../../src/Cli/internal/frame/output.ts"
import { Progress } from "../../src/Cli/internal/frame/progress.ts"
import { type Handled, type PreparedHandler, replayHandler } from "../../src/Cli/internal/replay/replayHandler.ts"
import { prepareRebuild, rebuild } from "../../src/Cli/internal/replay/replayProjection.ts"
import { fill, Payment } from "../support/cliShop/shop.ts"
import { directory } from "../support/commandLine.ts"

const quiet = Layer.mergeAll(
  Layer.succeed(
    Output,
    Output.of({ isJson: false, isWatched: false, columns: undefined, paint: (_, text) => text })
  ),
  Layer.succeed(Progress, Progress.of({ say: () => Effect.void, during: (_, work) => work(() => Effect.void) }))
)

const paying = (version: number) =>
  Projection.documents("paying", {
    version,
    from: Payment,
    state: Schema.Int,
    initial: () => 0,
    evolve: { Paid: (sum, { event }) => sum + event.cents }
  })

const isLive = (version: number) =>
  Projection.status("paying", { version }).pipe(
    Effect.map(({ isLive, stage }) => isLive && stage === "ready"),
    Effect.orElseSucceed(() => false),
    Effect.delay("20 millis"),
    Effect.repeat({ until: (is) => is })
  )

describe("a rebuild", () => {
  it.live("takes the place of the version that is live when it ends, and of no later one", () =>
    Effect.gen(function*() {
      yield* fill(3)
      yield* Effect.forkScoped(Projection.run(paying(1)))
      yield* isLive(1)
      const options = { isSwitching: true, partitions: 1, batch: undefined, isKeepingOn: false }
      const prepared = yield* Effect.forEach([2, 4], (version) => prepareRebuild(paying(version), options))
      yield* Effect.forkScoped(Projection.run(paying(3)))
      yield* isLive(3)

      assert.deepInclude(yield* rebuild(prepared[0]!), { version: 2, isLive: false, replaced: null, handled: 3 })
      assert.strictEqual((yield* Projection.status("paying")).version, 3)
      assert.deepInclude(yield* rebuild(prepared[1]!), { version: 4, isLive: true, replaced: 3 })
    }).pipe(Effect.scoped, Effect.provide([quiet, EventStore.layerMemory])))
})

/** A replay of a handler over the payments at 6, 12 and 18. */
const prepared = (path: string, handle: Handled["handle"]): PreparedHandler => {
  const none = Option.none<never>()
  return {
    name: "mails",
    declared: { from: Payment, handle },
    options: {
      range: { from: Option.some(1), to: none, since: none, until: none },
      checkpoint: path,
      attempts: 1,
      isKeepingOn: false
    },
    path,
    checkpoint: {
      format: 1,
      subscription: "mails",
      log: "a log",
      asked: { from: "1", to: null, since: null, until: null },
      from: 1,
      to: 18,
      position: 0,
      eventId: null,
      handled: 0,
      failed: { count: 0, first: [] }
    },
    isContinued: false
  }
}

describe("a replay of a handler", () => {
  it.live("begins only where it can keep how far it is, and says where it goes on", () =>
    Effect.gen(function*() {
      yield* fill(3)
      const handled: Array<number> = []
      const said: Array<string> = []
      const path = join(yield* directory, "checkpoint")
      const replay = (handle: Handled["handle"]) =>
        Effect.flip(replayHandler(prepared(path, handle))).pipe(
          Effect.map(String),
          Effect.provideService(Console.Console, { ...console, error: (text: string) => said.push(text) })
        )
      mkdirSync(`${path}.new`)
      const count = ({ position }: { readonly position: number }) => Effect.sync(() => void handled.push(position))
      assert.include(yield* replay(count), "cannot be written")
      assert.deepStrictEqual([handled, said, existsSync(path)], [[], [], false])

      const other = `${path}-2`
      yield* Effect.flip(replayHandler(prepared(other, ({ position }) =>
        Effect.suspend(() => {
          if (position === 6) return Effect.void
          // nothing more can be written
          mkdirSync(`${other}.new`)
          return Effect.fail("no address")
        })))).pipe(
          Effect.provideService(Console.Console, { ...console, error: (text: string) => said.push(text) })
        )
      assert.match(said.join(), /stopped behind position 6\..*cannot be written.*begins behind position 0/)
      assert.strictEqual(JSON.parse(readFileSync(other, "utf8")).position, 0)
    }).pipe(Effect.scoped, Effect.provide([quiet, EventStore.layerMemory, NodeServices.layer])))

  it.live("has its checkpoint to itself, and takes that of a process that died", () =>
    Effect.gen(function*() {
      yield* fill(3)
      const path = join(yield* directory, "checkpoint")
      const begun = yield* Latch.make()
      const first = yield* Effect.forkScoped(
        replayHandler(prepared(path, () => Effect.andThen(begun.open, Effect.never)))
      )
      yield* begun.await
      const second = yield* Effect.flip(replayHandler(prepared(path, () => Effect.void)))
      assert.include(String(second), `Another process runs this: ${path} is in use by process ${process.pid}`)
      yield* Fiber.interrupt(first)
      assert.isFalse(existsSync(`${path}.lock`))
      assert.include(
        String(yield* Effect.flip(replayHandler(prepared(path, () => Effect.void)))),
        "Another process ran this meanwhile"
      )

      const other = `${path}-2`
      const { pid } = spawnSync("true")
      writeFileSync(`${other}.lock`, JSON.stringify({ host: hostname(), pid, started: null }))
      assert.deepInclude(yield* replayHandler(prepared(other, () => Effect.void)), { handled: 3, position: 18 })
      // nobody knows here whether that one lives
      writeFileSync(`${other}.lock`, JSON.stringify({ host: "elsewhere", pid, started: null }))
      assert.include(String(yield* Effect.flip(replayHandler(prepared(other, () => Effect.void)))), "on host elsewhere")
    }).pipe(Effect.scoped, Effect.provide([quiet, EventStore.layerMemory, NodeServices.layer])))
})
