import type { Schema } from "effect"
import type { Difference, DifferencePart } from "../../../Projection/Rehearsal.ts"
import { plural } from "./verifying.ts"

/** Something that a live version and a fresh one have differently. */
export interface Differing {
  /** What it is, so that it is found in another difference. */
  readonly id: string
  /** Key of a document or a link. */
  readonly key?: string | undefined
  readonly position?: number | undefined
  readonly table?: string | undefined
  /** Of a row of a table: which of the two has it. */
  readonly row?: "live" | "fresh" | undefined
  /** What the fresh one has, and what the live one has. */
  readonly expected?: Schema.Json | undefined
  readonly actual?: Schema.Json | undefined
  readonly message: (projection: string, version: number) => string
}

/** All differences, one by one as far as the rows are there; what is beyond them comes as one. */
export const differencesOf = ({ isEqual, parts }: Difference): ReadonlyArray<Differing> =>
  isEqual ? [] : parts.flatMap((part) => {
    const kind = partsOf[part.name === "documents" || part.name === "links" ? part.name : "table"]
    const told = kind(part)
    const [live, fresh, changed] = [part.onlyLive, part.onlyFresh, part.changed]
    const rest = [live, fresh, changed].reduce((sum, { count, rows }) => sum + count - rows.length, 0)
    return rest === 0 ? told : [...told, {
      id: `${part.name} rest`,
      table: part.name === "documents" || part.name === "links" ? undefined : part.name,
      actual: rest,
      message: (projection, version) =>
        `${plural(rest, "more difference")} in the ${part.name} of version ${version} of the projection ${projection}`
    }]
  })

/**
 * Those of the differences that hidden events do not explain. `visible` are those from a fresh one of the events that can be
 * read, `all` those from one of all events, hidden ones too.
 *
 * Of the events that are hidden by now a projection handled some and others not, as they came and went. So what is as one of
 * the two says is as it should be; and where the two differ from one another, hidden events have a part in it, and nobody can
 * tell any more what is right.
 */
export const unexplained = (
  visible: ReadonlyArray<Differing>,
  all: ReadonlyArray<Differing>
): ReadonlyArray<Differing> => {
  const byId = new Map(all.map((one) => [one.id, one]))
  const inBoth = visible.filter(({ id }) => byId.has(id))
  return inBoth.filter((one) => {
    if (one.row === undefined) return JSON.stringify(one.expected) === JSON.stringify(byId.get(one.id)!.expected)
    // the fresh ones agree about it
    if (one.row === "fresh") return true
    // as many rows of the live one may be something between the rows that the fresh ones have instead
    const count = (of: ReadonlyArray<Differing>, without: ReadonlyArray<Differing>, row: "live" | "fresh") => {
      const ids = new Set(without.map(({ id }) => id))
      return of.filter(({ id, ...other }) => other.row === row && other.table === one.table && !ids.has(id)).length
    }
    const between = (of: ReadonlyArray<Differing>, others: ReadonlyArray<Differing>) =>
      Math.max(0, count(of, others, "fresh") - count(of, others, "live"))
    return count(inBoth, [], "live") > between(visible, all) + between(all, visible)
  })
}

const documentsOf = ({ changed, onlyFresh, onlyLive }: DifferencePart): ReadonlyArray<Differing> => {
  const differing = (key: string, problem: string, live: Schema.Json | undefined, fresh: Schema.Json | undefined) => ({
    id: `document ${key}`,
    key,
    expected: fresh,
    actual: live,
    message: (projection: string, version: number) =>
      `The document ${key} of version ${version} of the projection ${projection} ${problem}`
  })
  return [
    ...(changed.rows as ReadonlyArray<{ key: string; live: Schema.Json; fresh: Schema.Json }>).map(
      ({ fresh, key, live }) => differing(key, "is not what a fresh one is", live, fresh)
    ),
    ...(onlyLive.rows as ReadonlyArray<{ key: string; state: Schema.Json }>).map(
      ({ key, state }) => differing(key, "is none that a fresh one has", state, undefined)
    ),
    ...(onlyFresh.rows as ReadonlyArray<{ key: string; state: Schema.Json }>).map(
      ({ key, state }) => differing(key, "is missing, and a fresh one has it", undefined, state)
    )
  ]
}

const linksOf = ({ onlyFresh, onlyLive }: DifferencePart): ReadonlyArray<Differing> => {
  const differing = (problem: string) => ({ key, position }: { readonly key: string; readonly position: number }) => ({
    id: `link ${position} ${key}`,
    key,
    position,
    message: (projection: string, version: number) =>
      `The link from ${key} to position ${position} of version ${version} of the projection ${projection} ${problem}`
  })
  return [
    ...(onlyLive.rows as ReadonlyArray<never>).map(differing("is none that a fresh one has")),
    ...(onlyFresh.rows as ReadonlyArray<never>).map(differing("is missing, and a fresh one has it"))
  ]
}

const tableOf = ({ columns, fresh, live, name, onlyFresh, onlyLive }: DifferencePart): ReadonlyArray<Differing> => {
  const differing = (id: string, problem: string, more: {
    readonly row?: "live" | "fresh"
    readonly expected?: unknown
    readonly actual?: unknown
  }) => ({
    id: `table ${name} ${id}`,
    table: name,
    ...(more as { readonly row?: "live" | "fresh"; readonly expected?: Schema.Json; readonly actual?: Schema.Json }),
    message: (projection: string, version: number) =>
      `The table ${name} of version ${version} of the projection ${projection} ${problem}`
  })
  if (live === null || fresh === null) {
    return [differing("all", live === null ? "is missing, and a fresh one has it" : "is none that a fresh one has", {})]
  }
  const others = [...columns.onlyLive, ...columns.onlyFresh]
  return [
    ...(others.length === 0 ? [] : [
      differing("columns", `has not the columns of a fresh one: ${others.join(", ")}`, {
        expected: columns.onlyFresh,
        actual: columns.onlyLive
      })
    ]),
    ...onlyLive.rows.map((row) =>
      differing(`live ${JSON.stringify(row)}`, "has a row that a fresh one has not", { row: "live", actual: row })
    ),
    ...onlyFresh.rows.map((row) =>
      differing(`fresh ${JSON.stringify(row)}`, "lacks a row that a fresh one has", { row: "fresh", expected: row })
    )
  ]
}

const partsOf = { documents: documentsOf, links: linksOf, table: tableOf }
