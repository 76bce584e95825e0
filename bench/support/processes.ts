/**
 * Processes of the operating system that append at the same time, started with `startProcesses`. Run as a program, this
 * file is one of them: it waits for orders of its parent.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted, Scope } from "effect"
import { EventStore, PgEventStore } from "effect-eventstore"
import { fork } from "node:child_process"
import { once } from "node:events"
import type { Sample } from "./contest.ts"
import { settings } from "./contest.ts"
import { fibres, unique } from "./load.ts"
import { Cart, event } from "./shop.ts"

/** `"ungrouped"`: every caller has a store of its own, of one connection, so that no two appends travel together. */
type Mode = "grouped" | "ungrouped"

interface Order {
  readonly mode: Mode
  readonly callers: number
  readonly seconds: number
}

const lanes = 16
const variable = "EVENTSTORE_BENCH_URL"

/** Starts processes on the store of a database. What it gives runs all of them for a while; the rate is their sum. */
export const startProcesses = Effect.fnUntraced(function*(url: string, count: number) {
  const children = yield* Effect.acquireRelease(
    Effect.promise(() =>
      Promise.all(Array.from({ length: count }, async () => {
        const child = fork(import.meta.filename, [], {
          serialization: "advanced",
          env: { ...process.env, [variable]: url }
        })
        child.once("exit", (code) => {
          if (code !== 0) throw new Error(`a process of the bench ended with ${code}`)
        })
        await once(child, "message")
        return child
      }))
    ),
    (children) => Effect.sync(() => children.forEach((child) => child.disconnect()))
  )
  return (mode: Mode, callers: number): Effect.Effect<Sample> =>
    Effect.promise(async () => {
      const order: Order = { mode, callers, seconds: settings.seconds }
      const answers = await Promise.all(children.map(async (child) => {
        child.send(order)
        const [sample] = await once(child, "message") as [Sample]
        return sample
      }))
      return { rate: answers.reduce((sum, { rate }) => sum + rate, 0) }
    })
})

const serve = Effect.fnUntraced(function*(url: string) {
  const scope = yield* Scope.make()
  const build = Layer.buildWithScope(scope)
  const client = yield* build(PgClient.layer({ url: Redacted.make(url) }))
  const open = (lanes: number) =>
    Effect.map(
      Effect.provide(build(Layer.fresh(PgEventStore.layerStore({ lanes }))), client),
      (context) => Context.get(context, EventStore)
    )
  const grouped = yield* open(2)
  const ungrouped = yield* Effect.forEach(Array.from({ length: lanes }), () => open(1))
  const run = ({ callers, mode, seconds }: Order) => {
    const stream = unique()
    return fibres(callers, (caller, i) => {
      const store = mode === "grouped" ? grouped : ungrouped[caller % lanes]!
      return store.append(Cart.stream(`${stream}-${caller}-${Math.floor(i / 10)}`), [event(i)])
    }, seconds)
  }
  process.on("message", (order: Order) => {
    Effect.runPromise(run(order)).then((sample) => process.send!(sample), (error: unknown) => {
      console.error(error)
      process.exit(1)
    })
  })
  process.send!("ready")
})

if (import.meta.main) {
  process.on("disconnect", () => process.exit())
  await Effect.runPromise(serve(process.env[variable]!))
}
