/**
 * Appends until it reads a line: `node stormWriter.ts URL NUMBER SEED`. Writes `ack` and the ids of the events for each
 * append that is acknowledged, before it goes on; `unknown` and the ids where the outcome is not known.
 */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import { Accounts, moved } from "./journal.ts"
import { openStore, type Store } from "./Notes.ts"
import { chance, patiently, Work, worked } from "./storm.ts"

const [url, number, seed] = process.argv.slice(2) as [string, string, string]
const { below, weighted } = chance(Number(seed))

let stopped = false
process.stdin.once("data", () => stopped = true)
// nobody reads what it writes any more
process.stdin.once("end", () => process.exit(1))

const weights = { plain: 600, effect: 360, freeze: 2, flaky: 25, slow: 1, fail: 4, park: 4 }
const streams = 32

const journalWeights = { plain: 950, flaky: 20, slow: 1, freeze: 3, poison: 3, fail: 3 }
const accounts = 24

const fibre = (store: Store, n: number) =>
  Effect.gen(function*() {
    for (let i = 0; !stopped; i++) {
      const ids = Array.from({ length: 1 + below(2) }, (_, k) => `${number}.${process.pid}.${n}.${i}.${k}`)
      const append = store.append(Work.stream(String(below(streams))), ids.map((id) => worked(id, weighted(weights))))
      const answer = yield* Effect.match(append, {
        onSuccess: () => "ack",
        onFailure: (error) => error._tag === "StoreError" ? error.outcome : error.message
      })
      // not through a stream: it has to be in the pipe before anything can go wrong
      writeSync(1, `${answer} ${ids.join(" ")}\n`)
      yield* Effect.sleep(20 + below(80))
    }
  })

/** For the journal, where everything that was stored has to be, whether it was acknowledged or not. */
const bookkeeper = (store: Store) =>
  Effect.gen(function*() {
    while (!stopped) {
      const events = Array.from({ length: 1 + below(3) }, () => moved(below(100), weighted(journalWeights)))
      yield* Effect.ignore(store.append(Accounts.stream(String(below(accounts))), events))
      yield* Effect.sleep(20 + below(60))
    }
  })

await Effect.runPromise(
  Effect.scoped(
    Effect.flatMap(
      patiently(openStore(url)),
      ({ store }) =>
        Effect.all([bookkeeper(store), ...[0, 1, 2, 3].map((n) => fibre(store, n))], {
          concurrency: "unbounded",
          discard: true
        })
    )
  )
)
process.exit(0)
