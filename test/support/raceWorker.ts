/**
 * Does everything that writers do, at random, against other processes: `node raceWorker.ts URL NAME APPENDS`. Writes one
 * line of JSON at the end: events acknowledged by stream, and how often it met what.
 */
import { Effect, Exit, Option } from "effect"
import { type Appended, EventData, EventStore, PgEventStore } from "effect-eventstore"
import { note, Notes, open, type Opened } from "./Notes.ts"

const [url, name, appends] = process.argv.slice(2) as [string, string, string]

export interface RaceReport {
  readonly acknowledged: Readonly<Record<string, number>>
  readonly met: Readonly<Record<string, number>>
}

const acknowledged: Record<string, number> = {}
const met: Record<string, number> = {}
const meet = (what: string) => met[what] = (met[what] ?? 0) + 1
const chance = (of: number) => Math.floor(Math.random() * of)
const several = (text: string) => Array.from({ length: 1 + chance(3) }, () => note(text))

const acknowledge = (id: string, events: ReadonlyArray<unknown>) => {
  acknowledged[id] = (acknowledged[id] ?? 0) + events.length
}

const fibre = ({ sql, store }: Opened, n: number) =>
  Effect.gen(function*() {
    const own = `${name}.${n}`
    let version = 0
    /** What this writer last heard about the shared streams. */
    const heard = new Map<string, number>()
    const hear = (id: string, { version }: Appended) => heard.set(id, version)
    const shared = () => `shared${chance(3)}`

    const ways: Record<string, () => Effect.Effect<void, unknown>> = {
      own: () => {
        const events = several("own")
        return Effect.map(store.append(Notes.stream(own), events, { expected: version }), (appended) => {
          version = appended.version
          acknowledge(own, events)
        })
      },
      any: () => {
        const [id, events] = [shared(), several("any")]
        return Effect.map(store.append(Notes.stream(id), events), (appended) => {
          hear(id, appended)
          acknowledge(id, events)
        })
      },
      expected: () => {
        const [id, events] = [shared(), several("expected")]
        return Effect.map(
          store.append(Notes.stream(id), events, { expected: heard.get(id) ?? "no-stream" }),
          (appended) => {
            hear(id, appended)
            acknowledge(id, events)
          }
        ).pipe(Effect.tapError((error) =>
          Effect.sync(() => error._tag === "WrongExpectedVersion" && heard.set(id, error.actual))
        ))
      },
      all: () => {
        const entries = ["shared0", "shared1", own].map((id) =>
          [id, several("all")] as const
        )
        if (chance(2) === 0) entries.reverse()
        return Effect.map(
          store.appendAll(entries.map(([id, events]) =>
            EventStore.entry(Notes.stream(id), events, id === own ? { expected: version } : {})
          )),
          (appended) => {
            for (const [i, [id, events]] of entries.entries()) {
              acknowledge(id, events)
              if (id === own) {
                version = appended[i]!.version
              }
            }
          }
        )
      },
      condition: () => {
        const [id, tag] = [shared(), `seat${chance(5)}`]
        const events = [EventData.make(note("condition"), { tags: [tag] })]
        return Effect.flatMap(store.head(), (after) =>
          Effect.map(
            store.appendIf({ items: [{ tags: [tag] }], after }, [EventStore.entry(Notes.stream(id), events)]),
            () =>
              acknowledge(id, events)
          ))
      },
      transaction: () => {
        const [id, events, sleep] = [shared(), several("transaction"), chance(20) / 1000]
        return Effect.map(
          store.transaction(Effect.gen(function*() {
            yield* store.append(Notes.stream(own), events, { expected: version })
            yield* sql`SELECT pg_sleep(${sleep})`
            yield* store.append(Notes.stream(id), events, { expected: chance(2) === 0 ? "any" : heard.get(id) ?? 0 })
          })),
          () => {
            version += events.length
            acknowledge(own, events)
            acknowledge(id, events)
          }
        )
      },
      savepoint: () => {
        const events = several("kept")
        const [id, gone] = [shared(), several("gone")]
        return Effect.map(
          PgEventStore.catchCommitConflict(sql.withTransaction(Effect.gen(function*() {
            yield* store.append(Notes.stream(id), events)
            yield* Effect.ignore(sql.withTransaction(
              Effect.andThen(store.append(Notes.stream(id), gone), Effect.fail("rolled back"))
            ))
          }))),
          () => acknowledge(id, events)
        )
      },
      rollback: () =>
        store.transaction(Effect.gen(function*() {
          yield* store.append(Notes.stream(shared()), several("gone"))
          yield* sql`SELECT pg_sleep(${chance(10) / 1000})`
          return yield* Effect.fail({ _tag: "RolledBack" })
        })),
      prepared: () => {
        const gid = `${name}${n}${chance(1e9)}`
        return Effect.gen(function*() {
          yield* sql.withTransaction(Effect.andThen(
            sql`INSERT INTO unrelated VALUES (1)`,
            sql.unsafe(`PREPARE TRANSACTION '${gid}'`)
          ))
          yield* store.append(Notes.stream(own), [note("prepared")], { expected: version })
          acknowledge(own, [1])
          version++
          yield* sql.unsafe(`${chance(2) === 0 ? "COMMIT" : "ROLLBACK"} PREPARED '${gid}'`)
        })
      }
    }
    const names = Object.keys(ways)
    for (let i = 0; i < Number(appends); i++) {
      const way = names[chance(names.length)]!
      const exit = yield* Effect.exit(ways[way]!())
      const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as { readonly _tag?: string } | undefined
      if (Exit.isFailure(exit) && error === undefined) return yield* exit
      meet(error === undefined ? way : error._tag ?? "unnamed")
      if (error !== undefined && !expected.has(error._tag)) return yield* Effect.die(error)
    }
  })

const expected = new Set<unknown>(["WrongExpectedVersion", "AppendConditionFailed", "RolledBack"])

await Effect.runPromise(
  Effect.scoped(Effect.flatMap(open(url), (opened) =>
    Effect.forEach(
      Array.from({ length: 4 }, (_, i) => i),
      (n) => fibre(opened, n),
      {
        concurrency: "unbounded",
        discard: true
      }
    )))
)
console.log(JSON.stringify({ acknowledged, met } satisfies RaceReport))
