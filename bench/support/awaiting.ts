/**
 * Reading one's own write: an append, and waiting until the read model has it, by one caller and by 64; the projection is run
 * in the same process, or in another. Beside the append alone, and beside one that applies the projection inline.
 *
 * Run as a program, this file is the other process.
 */
import { Effect } from "effect"
import { Projection } from "effect-eventstore"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import { streams } from "./appends.ts"
import { makePlace, openPlace, type Place } from "./arena.ts"
import { answerParent, startChild } from "./child.ts"
import { compare, contest, isWanted, type Row, type Sample } from "./contest.ts"
import { fibres } from "./load.ts"
import { inPlace, ready, start } from "./projectors.ts"
import { Cart, event } from "./shop.ts"
import { inDocuments, type Keeper } from "./totalsProjections.ts"

const callers = [1, 64]

/** Appends, and waits for a projection where one is named. */
const appendAndWait = (place: Place, count: number, name?: string): Effect.Effect<Sample, unknown> =>
  Effect.suspend(() => {
    const stream = streams()
    return fibres(count, (caller, i) => {
      const append = place.store.append(Cart.stream(stream(caller, i)), [event(i)])
      return name === undefined
        ? append
        : inPlace(place)(Effect.flatMap(append, ({ position }) => Projection.awaitProcessed(name, position)))
    })
  })

export const awaiting = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const nameOf = (count: number) => `append and awaitProcessed, ${count} ${count === 1 ? "caller" : "callers"}`
  if (!callers.some((count) => isWanted(nameOf(count)))) return rows

  const bare = yield* makePlace(postgres)
  const place = Effect.fnUntraced(function*(mode: "async" | "inline") {
    const place = yield* makePlace(postgres)
    const keeper = inDocuments({ mode })
    yield* start(place, keeper)
    yield* ready(place, keeper)
    return { place, name: keeper.projection.definition.name }
  })
  const here = yield* place("async")
  const inline = yield* place("inline")
  const elsewhere = yield* makePlace(postgres)
  const { ask } = yield* startChild<Record<string, never>>(import.meta.filename, { url: elsewhere.url })
  const name = yield* ask<string>({})

  for (const count of callers) {
    const work = nameOf(count)
    if (!isWanted(work)) continue
    const results = yield* contest(work, {
      append: appendAndWait(bare, count),
      inline: appendAndWait(inline.place, count),
      here: appendAndWait(here.place, count, here.name),
      elsewhere: appendAndWait(elsewhere, count, name)
    })
    for (const measure of ["p50", "p99"] as const) {
      rows.push(
        compare(results, "here", "append", {
          work: `${work}, same process: ${measure}`,
          beside: "the append alone",
          measure
        }),
        compare(results, "elsewhere", "append", {
          work: `${work}, other process: ${measure}`,
          beside: "the append alone",
          measure
        }),
        compare(results, "here", "inline", {
          work: `${work}, same process: ${measure}`,
          beside: "an append that applies it inline",
          measure
        })
      )
    }
  }
  return rows
})

if (import.meta.main) {
  await answerParent<Record<string, never>, { readonly url: string }>(Effect.fnUntraced(function*({ url }) {
    const place = yield* openPlace(url)
    const keeper: Keeper = inDocuments()
    yield* start(place, keeper)
    yield* ready(place, keeper)
    return () => Effect.succeed(keeper.projection.definition.name)
  }))
}
