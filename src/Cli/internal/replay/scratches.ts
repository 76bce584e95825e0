import { DateTime, Effect, Stream } from "effect"
import * as Rehearsal from "../../../Projection/Rehearsal.ts"
import { confirm } from "../frame/confirming.ts"
import { answer, answerRows } from "../frame/output.ts"
import { wrongInput } from "../frame/refusal.ts"
import type { Column } from "../frame/table.ts"

const columns: ReadonlyArray<Column<Rehearsal.RehearsalStatus>> = [
  { title: "scratch", value: ({ name }) => name },
  { title: "projection", value: ({ projection }) => projection },
  { title: "version", value: ({ version }) => version, align: "right" },
  { title: "kind", value: ({ kind }) => kind },
  { title: "position", value: ({ position }) => position, align: "right" },
  { title: "target", value: ({ target }) => target, align: "right" },
  {
    title: "state",
    value: (status) =>
      status.isInUse
        ? "in use"
        : isLeftOver(status)
        ? "left over"
        : status.position < status.target
        ? "stopped"
        : "kept",
    style: (status) => isLeftOver(status) ? "yellow" : undefined
  },
  { title: "schema", value: ({ schema }) => schema ?? "" }
]

/** Of a process that died: it was to go with it. */
const isLeftOver = ({ isInUse, isTemporary }: Rehearsal.RehearsalStatus): boolean => isTemporary && !isInUse

/** Lists scratch read models, or drops some of them. */
export const scratches = (
  options: { readonly drop: ReadonlyArray<string>; readonly leftOver: boolean; readonly yes: boolean }
) =>
  Effect.gen(function*() {
    const all = yield* Rehearsal.list
    if (options.drop.length === 0 && !options.leftOver) {
      return yield* answerRows(Stream.fromIterable(all), {
        columns,
        json: ({ until, ...status }) => ({
          ...status,
          until: until === null ? null : DateTime.formatIso(until),
          isLeftOver: isLeftOver({ ...status, until })
        }),
        empty: "There is no scratch read model."
      })
    }
    const unknown = options.drop.find((name) => !all.some((known) => known.name === name))
    if (unknown !== undefined) {
      return yield* wrongInput(`There is no scratch read model ${unknown}`, "eventstore replay --scratches lists them")
    }
    const names = all.filter((status) => options.drop.includes(status.name) || options.leftOver && isLeftOver(status))
      .map(({ name }) => name)
    if (names.length > 0) yield* confirm(`Remove ${names.join(", ")} with all that is in them?`, options)
    // one that goes by itself meanwhile is gone, too
    yield* Effect.forEach(
      names,
      (name) => Effect.catchTag(Rehearsal.drop(name), "RehearsalNotFound", () => Effect.void)
    )
    yield* answer(
      { dropped: names },
      () => names.length === 0 ? "Nothing was left over" : `Removed ${names.join(", ")}`
    )
  })
