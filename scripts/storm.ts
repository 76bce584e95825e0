/**
 * `npm run storm -- --seconds 60 --seed 7`: persistent subscriptions and a projection in bad weather.
 *
 * Four processes append, four share one subscription, three the partitions of a projection into tables. Meanwhile they are
 * killed, and held for longer than a lease, the projection is paused, replayed and parted anew, and the Postgres below them
 * is restarted and killed. When that is over and all have caught up, everything is counted and compared: nothing lost,
 * order kept by key, effects of transactions there exactly once. Ends with 1 if not.
 *
 * The seed repeats what is done to whom; what meets what is up to the machine.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Data, Effect, Option } from "effect"
import { EventStore, PersistentSubscription, Projection } from "effect-eventstore"
import { parseArgs } from "node:util"
import { open } from "../test/support/Notes.ts"
import * as PostgresServer from "../test/support/PostgresServer.ts"
import { noteTables } from "../test/support/projectors.ts"
import * as Storm from "../test/support/storm.ts"
import { check } from "../test/support/stormChecks.ts"
import * as Crew from "../test/support/stormCrew.ts"
import { checkJournal } from "../test/support/stormJournal.ts"

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
  for (const table of [...Storm.tables, ...noteTables]) yield* sql.unsafe(table)
  console.log(`${seconds} seconds with seed ${seed}`)
  const crew = yield* Crew.start(url, seed, {
    frozenMillis: Storm.lease * 1.5,
    projector: { partitions: 3, lease: Storm.lease, batch: 20, slow: Storm.lease * 1.5 }
  }, { writer: 4, consumer: 4, projector: 3 })
  const counts = { kills: 0, stops: 0, restarts: 0, orders: 0 }
  const all = (kind: Crew.Member["kind"]) => crew.members.filter((member) => member.kind === kind)
  const one = (kind: Crew.Member["kind"]) => all(kind)[below(all(kind).length)]!

  /** What an operator may do to the projection at any time. */
  const order = (below: (of: number) => number) => {
    const orders = [
      Projection.repartition("journal", 1 + below(4)),
      Effect.andThen(
        Projection.pause("journal"),
        Effect.andThen(Effect.sleep(below(500)), Projection.resume("journal"))
      ),
      Projection.replay("journal")
    ]
    return Effect.provideService(Storm.patiently(orders[below(orders.length)]!), EventStore, store)
  }
  const hurt = Effect.suspend((): Effect.Effect<unknown, unknown> => {
    const weights = { killConsumer: 4, killWriter: 2, killProjector: 3, pause: 4, pauseProjector: 3, order: 3 }
    const kind = weighted(weights)
    switch (kind) {
      case "pause":
      case "pauseProjector":
        counts.stops++
        // not waited for: several may stand still at a time
        return Effect.forkDetach(
          crew.pause(one(kind === "pause" ? "consumer" : "projector"), Storm.lease * 1.25 + below(Storm.lease))
        )
      case "order":
        counts.orders++
        return Effect.forkDetach(Effect.ignore(order(below)))
      case "killProjector":
        counts.kills++
        return Effect.sync(() => crew.kill(one("projector")))
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
  const journal = yield* checkJournal(sql, store, Number(values.drain) * 1000)
  const consumerLines = crew.linesOf("consumer")
  const projectorLines = crew.linesOf("projector")
  const findings = yield* check(sql, store, said("ack"), said("not-stored"))
  const violations = [
    ...Option.isNone(drained) ? [`the subscription has not drained: ${JSON.stringify(yield* info)}`] : [],
    ...crew.ends().filter((end) => !/^(consumer|projector) \d: SIGKILL $/.test(end)),
    ...[...consumerLines, ...projectorLines].filter((line) => line.startsWith("ended ")),
    ...findings.violations,
    ...journal.violations
  ]
  const suicides = crew.ends().length
  console.log(JSON.stringify({
    ...findings.counts,
    ...journal.counts,
    ...counts,
    freezes: crew.freezes(),
    suicides,
    "lost leases": consumerLines.filter((line) => line.startsWith("log The lease of an event ")).length,
    unknown: said("unknown").size
  }))
  if (violations.length > 0) return yield* new Failed({ message: violations.join("\n") })
})

NodeRuntime.runMain(Effect.scoped(program))
