/**
 * A read model that is built from a whole log: by the library in each of its ways, by a loop that somebody wrote for this one
 * read model, and by Emmett's projections, each on its events in a database of the same server. Rates are compared: Emmett,
 * and what takes a statement an event, are given fewer.
 */
import { Effect } from "effect"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import * as EmmettProjection from "../emmett/EmmettProjection.ts"
import * as Emmett from "../emmett/EmmettStore.ts"
import { makePlace } from "./arena.ts"
import { compare, contest, isWanted, type Row, type Sample, settings, thousands } from "./contest.ts"
import * as handWritten from "./handWritten.ts"
import { timed, unique } from "./load.ts"
import { build } from "./projectors.ts"
import { plainEvent } from "./shop.ts"
import { block, fillInterleaved } from "./totals.ts"
import { byTag, inBatches, inDocuments } from "./totalsProjections.ts"

const total = settings.quick ? 2 * block : 100 * block
/** For what takes a statement an event. */
const some = total / 20 >= block ? total / 20 : block
/** For Emmett: its rate does not grow with more. */
const few = settings.quick ? 500 : 5000

/** A store of Emmett's with carts of ten events. */
const fillEmmett = (url: string) =>
  Effect.scoped(Effect.gen(function*() {
    const emmett = yield* Emmett.make(url)
    for (let first = 0; first < few; first += 10) {
      const events = Array.from({ length: 10 }, (_, n) => plainEvent(first + n))
      yield* Effect.promise(() => emmett.append(`cart-${first}`, events))
    }
  }))

export const projectionCatchUp = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const work = `read model of ${thousands(total)} events`
  if (!isWanted(work)) return rows

  const [large, small] = [yield* makePlace(postgres), yield* makePlace(postgres)]
  yield* fillInterleaved(large.store, total)
  yield* fillInterleaved(small.store, some)
  for (const { sql } of [large, small]) yield* sql.unsafe("VACUUM ANALYZE eventstore.events")
  const emmett = yield* postgres.createDatabase
  yield* fillEmmett(emmett)

  const byHand = (isTuned: boolean) => timed(handWritten.project(large.sql, total, { size: 2000, isTuned }))
  const emmetts = (kind: EmmettProjection.Kind, settings: EmmettProjection.Settings): Effect.Effect<Sample> =>
    Effect.suspend(() =>
      Effect.map(
        EmmettProjection.project(emmett, kind, settings, `totals_${unique()}`, few),
        (took) => ({ rate: few / took * 1000 })
      )
    )

  const results = yield* contest(work, {
    batch: Effect.suspend(() => build(large, [inBatches()], total)),
    documents: Effect.suspend(() => build(large, [inDocuments()], total)),
    byTag: Effect.suspend(() => build(small, [byTag()], some)),
    hand: byHand(false),
    handTuned: byHand(true),
    emmettSql: emmetts("sql", "default"),
    emmettSqlTuned: emmetts("sql", "tuned"),
    emmettDocuments: emmetts("documents", "default"),
    emmettDocumentsTuned: emmetts("documents", "tuned")
  })
  const hand = "a hand-written loop, pages of 2,000"
  const handTuned = `${hand}, read ahead, synchronous_commit off`
  const emmettOf = (what: string, settings: string) => `Emmett's ${what}, ${settings}, ${thousands(few)} events`
  const tuned = "batches of 1,000, 1 ms between"
  const ways = {
    batch: `${work}, tables, by batch`,
    documents: `${work}, documents`,
    byTag: `read model of ${thousands(some)} events, tables, by tag`
  }
  rows.push(
    compare(results, "batch", "hand", { work: ways.batch, beside: hand }),
    compare(results, "batch", "handTuned", { work: ways.batch, beside: handTuned }),
    compare(results, "batch", "emmettSqlTuned", { work: ways.batch, beside: emmettOf("raw SQL projection", tuned) }),
    compare(results, "documents", "hand", { work: ways.documents, beside: hand }),
    compare(results, "documents", "handTuned", { work: ways.documents, beside: handTuned }),
    compare(results, "documents", "emmettDocuments", {
      work: ways.documents,
      beside: emmettOf("Pongo projection", "its defaults")
    }),
    compare(results, "documents", "emmettDocumentsTuned", {
      work: ways.documents,
      beside: emmettOf("Pongo projection", tuned)
    }),
    compare(results, "byTag", "emmettSql", {
      work: ways.byTag,
      beside: emmettOf("raw SQL projection", "its defaults")
    }),
    compare(results, "byTag", "emmettSqlTuned", { work: ways.byTag, beside: emmettOf("raw SQL projection", tuned) }),
    compare(results, "byTag", "batch", { work: ways.byTag, beside: "by batch" })
  )
  return rows
})
