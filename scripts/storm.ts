/**
 * `npm run storm -- --seconds 60 --seed 7`: persistent subscriptions in bad weather.
 *
 * Four processes append, four share one subscription. Meanwhile they are killed, and held for longer than a lease, and the
 * Postgres below them is restarted and killed. When that is over and the subscription has drained, everything is counted
 * and compared: nothing lost, order kept by key, effects of transactions there exactly once. Ends with 1 if not.
 *
 * The seed repeats what is done to whom; what meets what is up to the machine.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Data, Effect, Option } from "effect"
import { EventStore, PersistentSubscription } from "effect-eventstore"
import { parseArgs } from "node:util"
import { open } from "../test/support/Notes.ts"
import * as PostgresServer from "../test/support/PostgresServer.ts"
import * as Storm from "../test/support/storm.ts"
import { check } from "../test/support/stormChecks.ts"
import * as Crew from "../test/support/stormCrew.ts"

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    drain: { type: "string", default: "120" }
  }
})
const seconds = Number(values.seconds)
const seed = Number(values.seed)
const { below, weighted } = Storm.chance(seed)

class Failed extends Data.TaggedError("Failed")<{ readonly message: string }> {}

const program = Effect.gen(function*() {
  const server = yield* PostgresServer.make()
  const url = yield* server.createDatabase
  const { sql, store } = yield* open(url)
  for (const table of Storm.tables) yield* sql.unsafe(table)
  console.log(`${seconds} seconds with seed ${seed}`)
  const crew = yield* Crew.start(url, seed, Storm.lease * 1.5, { writer: 4, consumer: 4 })
  const counts = { kills: 0, stops: 0, restarts: 0 }
  const all = (kind: Crew.Member["kind"]) => crew.members.filter((member) => member.kind === kind)
  const one = (kind: Crew.Member["kind"]) => all(kind)[below(all(kind).length)]!

  const hurt = Effect.suspend((): Effect.Effect<unknown, unknown> => {
    switch (weighted({ killConsumer: 4, killWriter: 2, pause: 4 })) {
      case "pause":
        counts.stops++
        // not waited for: several may stand still at a time
        return Effect.forkDetach(crew.pause(one("consumer"), Storm.lease * 1.25 + below(Storm.lease)))
      default:
      case "killConsumer":
        counts.kills++
        return Effect.sync(() => crew.kill(one("consumer")))
      case "killWriter":
        counts.kills++
        return Effect.sync(() => crew.kill(one("writer")))
    }
  })
  const restart = (end: typeof server.stop) =>
    Effect.suspend(() => {
      counts.restarts++
      return Effect.andThen(end, Effect.andThen(Effect.sleep(200 + below(800)), server.start))
    })

  // the killer comes among others of its key, and of other keys; and at least one process stops in a transaction
  yield* Effect.repeat(Effect.sleep(50), {
    until: () => crew.members.every(({ lives }) => lives.some(({ lines }) => lines.length > 0))
  })
  yield* Storm.patiently(store.append(Storm.Work.stream("0"), [
    Storm.worked("before", "plain"),
    Storm.worked("killer", "poison"),
    Storm.worked("after", "effect")
  ]))
  yield* Storm.patiently(store.append(Storm.Work.stream("frozen"), [
    Storm.worked("freezer", "freeze"),
    Storm.worked("behind", "effect")
  ]))

  const begun = performance.now()
  const passed = () => (performance.now() - begun) / 1000 / seconds
  const restarts = [{ at: 0.3, end: server.stop }, { at: 0.65, end: server.kill9 }]
  while (passed() < 1) {
    yield* Effect.sleep(200 + below(1000))
    const [next] = restarts
    if (next !== undefined && passed() >= next.at) {
      restarts.shift()
      yield* restart(next.end)
    } else yield* hurt
  }
  console.log("The weather clears up")
  yield* crew.stopWriters

  const { position: last } = yield* Storm.patiently(
    store.append(Storm.Work.stream("last"), [Storm.worked("last", "plain")])
  )
  const info = Storm.patiently(PersistentSubscription.info(Storm.subscription)).pipe(
    Effect.provideService(EventStore, store)
  )
  const drained = yield* Effect.repeat(Effect.andThen(Effect.sleep(200), info), {
    until: (info) => Option.isSome(info) && info.value.checkpoint >= last
  }).pipe(Effect.timeoutOption(Number(values.drain) * 1000))

  const said = (...words: ReadonlyArray<string>) =>
    new Set(
      crew.linesOf("writer").flatMap((line) => {
        const [word, ...ids] = line.split(" ")
        return words.includes(word!) ? ids : []
      })
    )
  const consumerLines = crew.linesOf("consumer")
  const findings = yield* check(sql, store, said("ack"), said("not-stored"))
  const violations = [
    ...Option.isNone(drained) ? [`the subscription has not drained: ${JSON.stringify(yield* info)}`] : [],
    ...crew.ends().filter((end) => !/^consumer \d: SIGKILL $/.test(end)),
    ...consumerLines.filter((line) => line.startsWith("ended ")),
    ...findings.violations
  ]
  const suicides = crew.ends().length
  console.log(JSON.stringify({
    ...findings.counts,
    ...counts,
    freezes: crew.freezes(),
    suicides,
    "lost leases": consumerLines.filter((line) => line.startsWith("log The lease of an event ")).length,
    unknown: said("unknown").size
  }))
  if (violations.length > 0) return yield* new Failed({ message: violations.join("\n") })
})

NodeRuntime.runMain(Effect.scoped(program))
