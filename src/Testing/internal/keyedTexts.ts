import { Effect, Schema, Stream } from "effect"
import * as Event from "../../Event/Event.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import * as Projection from "../../Projection/Projection.ts"
import * as Category from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { freshName, type Store } from "./rule.ts"

/** A text goes to the documents of some keys, in the order of positions: what is lost, doubled or out of order shows. */
export class Put extends Schema.TaggedClass<Put>()("Put", {
  keys: Schema.Array(Schema.String),
  text: Schema.String
}) {}

/** A document ends, and may begin anew. */
export class Removed extends Schema.TaggedClass<Removed>()("Removed", { key: Schema.String }) {}

const PutVersions = Event
  .oldest(Schema.Struct({ key: Schema.String, text: Schema.String }))
  .current(Put, ({ key, text }) => ({ keys: [key], text }))

const PutBoth = Event
  .oldest(Schema.Struct({ keys: Schema.Array(Schema.String), text: Schema.String }))
  .retired("PutBoth", ({ keys, text }) => keys.map((key, i) => new Put({ keys: [key], text: `${text}/${i}` })))

/** A category of its own for each rule, with stored shapes of the past. */
export const freshTexts = () =>
  Category.make(freshName(), {
    id: Schema.String,
    events: [PutVersions, Removed, PutBoth, Event.dropped("Debugged")]
  })

export type Texts = ReturnType<typeof freshTexts>
type TextEvent = Category.Out<Texts>

export const put = (text: string, ...keys: ReadonlyArray<string>): Put => new Put({ keys, text })

/** Texts for one key. */
export const puts = (key: string, ...texts: ReadonlyArray<string>): ReadonlyArray<Put> =>
  texts.map((text) => put(text, key))

const old = (type: string, data: Schema.Json) => RawEvent.make({ type, schemaVersion: 1, data })

/** Stored as they were before: a text for one key, one event for several keys that reads as several, and one that reads as none. */
export const oldPut = (text: string, key: string) => old("Put", { key, text })
export const oldPutBoth = (text: string, ...keys: ReadonlyArray<string>) => old("PutBoth", { keys, text })
export const oldDebugged = old("Debugged", {})

/** A name for what does not decode. */
export const unreadable = old("Put", { key: 1 })

const State = Schema.Array(Schema.String)

export type Documents = Readonly<Record<string, ReadonlyArray<string>>>

export interface TextsOptions extends Partial<Omit<Projection.Common<Texts>, "from">> {
  /** Texts that cannot be handled, for now. */
  readonly broken?: ReadonlySet<string>
  /** Stands before each text. */
  readonly mark?: string
  readonly mode?: "async" | "inline"
}

/** The texts of each key, as documents. */
export const textsOf = (name: string, from: Texts, { broken, mark = "", ...common }: TextsOptions = {}) =>
  Projection.documents(name, {
    ...common,
    from,
    state: State,
    // they look the same in every version
    older: Object.fromEntries(Array.from({ length: (common.version ?? 1) - 1 }, (_, i) => [i + 1, State])),
    key: ({ event }) => keysOf(event),
    initial: () => [],
    evolve: {
      Put: (texts, { event: { text } }) => {
        if (broken?.has(text) === true) throw new Error(`${text} is broken`)
        return [...texts, `${mark}${text}`]
      },
      Removed: () => undefined
    }
  })

const keysOf = (event: TextEvent): ReadonlyArray<string> => event._tag === "Put" ? event.keys : [event.key]

/** What the documents have to be, by folding the log without a thought for anything. */
export const foldByHand = (
  store: Store,
  from: Texts,
  { isHandled = () => true, mark = "" }: {
    readonly mark?: string
    readonly isHandled?: (recorded: Recorded<TextEvent>, key: string) => boolean
  } = {}
): Effect.Effect<Documents, any> =>
  Effect.map(Stream.runCollect(store.readCategory(from)), (all) => {
    const documents = new Map<string, ReadonlyArray<string>>()
    for (const recorded of all) {
      const { event } = recorded
      for (const key of new Set(keysOf(event))) {
        if (!isHandled(recorded, key)) continue
        if (event._tag === "Removed") documents.delete(key)
        else documents.set(key, [...documents.get(key) ?? [], `${mark}${event.text}`])
      }
    }
    return sorted(documents)
  })

const sorted = (documents: Iterable<readonly [string, ReadonlyArray<string>]>): Documents =>
  Object.fromEntries([...documents].sort(([a], [b]) => a < b ? -1 : 1))

/** What the storage keeps of a version. */
export const documentsOf = (store: Store, id: number): Effect.Effect<Documents, any> =>
  Effect.map(
    store.storage.projections.documents.page(id, { prefix: "", after: "", limit: 1000 }),
    (documents) => sorted(documents.map(({ key, state }) => [key, Schema.decodeUnknownSync(State)(JSON.parse(state))]))
  )
