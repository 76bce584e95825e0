/**
 * What an inline projection costs the appends that apply it: one event an append, distinct streams, beside the same appends to
 * a store without one; and what Emmett's inline projections cost Emmett's.
 */
import { Effect } from "effect"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import * as EmmettProjection from "../emmett/EmmettProjection.ts"
import * as Emmett from "../emmett/EmmettStore.ts"
import { emmetts, ours } from "./appends.ts"
import { makePlace } from "./arena.ts"
import { compare, contest, isWanted, type Row } from "./contest.ts"
import { ready, start } from "./projectors.ts"
import { byTag, inBatches, inDocuments, type Keep } from "./totalsProjections.ts"

const callers = [1, 64]

export const inlineCost = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const nameOf = (count: number) => `inline projection, ${count} ${count === 1 ? "caller" : "callers"}`
  if (!callers.some((count) => isWanted(nameOf(count)))) return rows

  const storeWith = Effect.fnUntraced(function*(keep: Keep) {
    const place = yield* makePlace(postgres)
    const keeper = keep({ mode: "inline" })
    yield* start(place, keeper)
    yield* ready(place, keeper)
    return place.store
  })
  const bare = (yield* makePlace(postgres)).store
  const documents = yield* storeWith(inDocuments)
  const tables = yield* storeWith(byTag)
  const batches = yield* storeWith(inBatches)
  const emmett = yield* Emmett.make(yield* postgres.createDatabase)
  const emmettSql = yield* EmmettProjection.makeInline(yield* postgres.createDatabase, "sql", "totals")
  const emmettDocuments = yield* EmmettProjection.makeInline(yield* postgres.createDatabase, "documents", "totals")

  for (const count of callers) {
    const work = nameOf(count)
    if (!isWanted(work)) continue
    const results = yield* contest(work, {
      bare: ours(bare, count),
      documents: ours(documents, count),
      tables: ours(tables, count),
      batches: ours(batches, count),
      emmett: emmetts(emmett, count),
      emmettSql: emmetts(emmettSql, count),
      emmettDocuments: emmetts(emmettDocuments, count)
    })
    const beside = "the append without one"
    rows.push(
      compare(results, "documents", "bare", { work: `${work}, documents`, beside }),
      compare(results, "tables", "bare", { work: `${work}, tables, by tag`, beside }),
      compare(results, "batches", "bare", { work: `${work}, tables, by batch`, beside }),
      compare(results, "documents", "emmettDocuments", {
        work: `${work}, documents`,
        beside: "Emmett with a Pongo projection inline"
      }),
      compare(results, "tables", "emmettSql", {
        work: `${work}, tables, by tag`,
        beside: "Emmett with a raw SQL projection inline"
      }),
      compare(results, "emmettDocuments", "emmett", { work: `${work}: Emmett's, Pongo`, beside: "Emmett without one" }),
      compare(results, "emmettSql", "emmett", { work: `${work}: Emmett's, raw SQL`, beside: "Emmett without one" })
    )
  }
  return rows
})
