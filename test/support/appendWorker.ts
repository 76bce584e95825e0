/**
 * Appends for ever, from eight fibres, and writes the name of each append to standard output once it is acknowledged.
 * `node appendWorker.ts pglite DIRECTORY NAME`, or `postgres URL NAME`. Each event's text tells its append, its place in
 * there and how many there are.
 */
import { Effect } from "effect"
import { EventStore, PgliteEventStore } from "effect-eventstore"
import { writeSync } from "node:fs"
import { note, Notes, open, type Store } from "./Notes.ts"

const [kind, place, name] = process.argv.slice(2) as [string, string, string]

const write = (store: Store) =>
  Effect.forEach(Array.from({ length: 8 }, (_, i) => i), (fibre) =>
    Effect.gen(function*() {
      for (let i = 0;; i++) {
        const append = `${name}.${fibre}.${i}`
        const events = (from: number, to: number, of: number) =>
          Array.from({ length: to - from + 1 }, (_, k) => note(`${append}:${from + k}/${of}`))
        if (i % 3 === 0) yield* store.append(Notes.stream(`own${fibre}`), events(1, 3, 3))
        else if (i % 3 === 1) {
          yield* store.appendAll([
            EventStore.entry(Notes.stream("shared"), events(1, 2, 4)),
            EventStore.entry(Notes.stream(`own${fibre}`), events(3, 4, 4))
          ])
        } else {
          yield* store.transaction(Effect.andThen(
            store.append(Notes.stream(`own${fibre}`), events(1, 1, 2)),
            store.append(Notes.stream("shared"), events(2, 2, 2))
          ))
        }
        // not through a stream: it has to be in the pipe before anything can go wrong
        writeSync(1, `${append}\n`)
      }
    }), { concurrency: "unbounded" })

const program = kind === "pglite"
  ? Effect.provide(EventStore.use(write), PgliteEventStore.layer({ dataDir: place }))
  : Effect.flatMap(open(place), ({ store }) => write(store))

await Effect.runPromise(Effect.scoped(program))
