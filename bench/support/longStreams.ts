/**
 * A command on streams of 10 to 1,000,000 events, by one caller, one after the other: without anything, with a snapshot, and
 * with the state in the process, checked or trusted; beside Emmett's command handler and Castore's commands, which read all
 * events each time. Each command adds one.
 */
import { Effect } from "effect"
import { EventStore } from "effect-eventstore"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import * as Castore from "../castore/CastoreCommands.ts"
import * as Emmett from "../emmett/EmmettCommands.ts"
import { makePlace } from "./arena.ts"
import { compare, contest, isWanted, type Row, settings, thousands } from "./contest.ts"
import { command, deciders, fillCounter, plainAdded, type Way } from "./counters.ts"
import { fibres, promises } from "./load.ts"

const lengths = settings.quick ? [10, 1000] : settings.full ? [10, 1000, 100_000, 1_000_000] : [10, 1000, 100_000]

export const longStreams = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const nameOf = (length: number) => `command on ${thousands(length)} events`
  if (!lengths.some((length) => isWanted(nameOf(length)))) return rows

  const place = yield* makePlace(postgres)
  const others = yield* makePlace(postgres)
  const emmett = yield* Emmett.make(others.url)
  yield* Castore.migrate(others.url)
  const castore = Castore.make(others.url)

  for (const length of lengths) {
    const work = nameOf(length)
    if (!isWanted(work)) continue
    for (const way of Object.keys(deciders)) yield* fillCounter(place.store, `${way}${length}`, length)
    yield* Effect.promise(() => emmett.fill(`counter-${length}`, length))
    yield* others.sql.unsafe(
      `INSERT INTO ${Castore.table} (aggregate_name, aggregate_id, version, type, data)
       SELECT '${Castore.aggregateName}', '${length}', n, 'ADDED', '${JSON.stringify(plainAdded)}'
       FROM generate_series(1, ${length}) n`
    )
    yield* place.sql.unsafe("VACUUM ANALYZE eventstore.events")
    const way = (way: Way) =>
      fibres(1, () => Effect.provideService(deciders[way].run(`${way}${length}`, command), EventStore, place.store))
    const results = yield* contest(work, {
      plain: way("plain"),
      snapshot: way("snapshot"),
      checked: way("checked"),
      trusted: way("trusted"),
      emmett: promises(1, () => emmett.run(`counter-${length}`)),
      castore: promises(1, () => castore.run(String(length)))
    }, length > 100_000 ? 1 : settings.rounds)
    const short = "Emmett's CommandHandler"
    rows.push(
      compare(results, "plain", "emmett", { work, beside: short }),
      compare(results, "plain", "castore", { work, beside: "Castore's Command" }),
      compare(results, "snapshot", "plain", { work: `${work}, snapshot`, beside: "without" }),
      compare(results, "snapshot", "emmett", { work: `${work}, snapshot`, beside: short }),
      compare(results, "checked", "plain", { work: `${work}, checked cache`, beside: "without" }),
      compare(results, "trusted", "plain", { work: `${work}, trusted cache`, beside: "without" }),
      compare(results, "trusted", "emmett", { work: `${work}, trusted cache`, beside: short })
    )
  }
  return rows
})
