import * as Json from "../archive/exactJson.ts"
import type { Store } from "./foreignEvent.ts"

/** What is known of an event that has no place of its own here. */
export interface Origin {
  /** The id, where it is no UUID, or an event before has it. */
  readonly eventId?: string
  /** The version of the shape, where it is no number. */
  readonly schemaVersion?: string
  /** The `_tag` in the data, where it is not the type. */
  readonly tag?: unknown
}

type Part = "correlationId" | "causationId" | "actor" | "traceparent"

/** Under which names other stores keep what has a place of its own here; the first that is there is taken. */
const names: { readonly [S in Store]: { readonly [P in Part]: ReadonlyArray<string> } } = {
  Emmett: {
    correlationId: ["correlationId"],
    causationId: ["causationId"],
    actor: ["actor"],
    traceparent: ["traceparent"]
  },
  "message-db": {
    correlationId: ["correlationId", "correlationStreamName"],
    causationId: ["causationId"],
    actor: ["actor"],
    traceparent: ["traceparent"]
  },
  KurrentDB: {
    correlationId: ["$correlationId", "correlationId"],
    causationId: ["$causationId", "causationId"],
    actor: ["actor"],
    traceparent: ["traceparent"]
  }
}

/**
 * The metadata of an event of another store, as JSON text, `null` where there are none: what has a place of its own here is put
 * there, the rest becomes `fields`, and what fits nowhere stands in the field `importedFrom`. `causationId` is what the source
 * found out about it.
 */
export const toMetadata = (
  store: Store,
  metadata: unknown,
  origin: Origin,
  causationId: string | undefined
): string | null => {
  const rest = new Map(Json.isObject(metadata) ? Object.entries(metadata) : [])
  const parts: Array<[string, unknown]> = []
  for (const part of ["correlationId", "causationId", "actor", "traceparent"] as const) {
    const name = names[store][part].find((name) => isPart(part, rest.get(name)))
    if (name !== undefined) {
      parts.push([part, rest.get(name)])
      rest.delete(name)
    } else if (part === "causationId" && causationId !== undefined) parts.push([part, causationId])
  }
  const isOdd = metadata !== undefined && metadata !== null && !Json.isObject(metadata)
  const extra = { ...origin, ...(isOdd ? { metadata } : {}) }
  if (Object.keys(extra).length > 0) {
    let name = "importedFrom"
    while (rest.has(name)) name += "_"
    rest.set(name, { store, ...extra })
  }
  if (rest.size > 0) parts.push(["fields", Object.fromEntries(rest)])
  return parts.length === 0 ? null : Json.toText(Object.fromEntries(parts))
}

const isPart = (part: Part, value: unknown): boolean =>
  typeof value === "string" &&
  (part === "traceparent" ? /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value) : value !== "")
