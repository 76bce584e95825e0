import { JsonPatch, type Schema } from "effect"
import type { Output } from "./frame/output.ts"
import { printable } from "./frame/table.ts"

/** What is different between two JSON values, at a path of keys and indexes. */
export type JsonChange =
  | { readonly op: "add"; readonly path: ReadonlyArray<string>; readonly to: Schema.Json }
  | { readonly op: "remove"; readonly path: ReadonlyArray<string>; readonly from: Schema.Json }
  | {
    readonly op: "replace"
    readonly path: ReadonlyArray<string>
    readonly from: Schema.Json
    readonly to: Schema.Json
  }

/** In what `after` differs from `before`, key by key. */
export const changesOf = (before: Schema.Json, after: Schema.Json): ReadonlyArray<JsonChange> =>
  JsonPatch.get(before, after).map((operation) => {
    const path = operation.path === "" ? [] : operation.path.slice(1).split("/").map(unescaped)
    // items go from the end, so indexes are those of the value before
    const from = () => path.reduce<any>((value, key) => value?.[key], before) as Schema.Json
    return operation.op === "add"
      ? { op: "add", path, to: operation.value }
      : operation.op === "remove"
      ? { op: "remove", path, from: from() }
      : { op: "replace", path, from: from(), to: operation.value }
  })

const unescaped = (token: string): string => token.replaceAll("~1", "/").replaceAll("~0", "~")

/** A change as a line. */
export const changeText = (change: JsonChange, paint: Output["Service"]["paint"]): string => {
  const path = change.path.length === 0 ? "(all)" : printable(change.path.map(keyText).join("."))
  const show = (value: Schema.Json) => printable(JSON.stringify(value))
  return change.op === "add"
    ? paint("green", `+ ${path}: ${show(change.to)}`)
    : change.op === "remove"
    ? paint("red", `- ${path}: ${show(change.from)}`)
    : `${paint("yellow", `~ ${path}:`)} ${paint("red", show(change.from))} → ${paint("green", show(change.to))}`
}

/** A key that holds a dot would look like two. */
const keyText = (key: string): string => /^[^\s."]+$/.test(key) ? key : JSON.stringify(key)
