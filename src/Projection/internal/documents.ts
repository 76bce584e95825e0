import { Effect, Schema } from "effect"
import { hasForbiddenEscape } from "../../Event/JsonText.ts"
import type { DocumentChange } from "../../Store/ProjectionStorage.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { Out, Source } from "../View.ts"
import { type Definition, mayKeep, type Target } from "./definition.ts"
import { type Common, declared, type Keys, keysBy } from "./source.ts"

/** What a document becomes by an event, for the tag of each event there can be; `undefined` removes it. */
export type EvolveDocument<S, E> = {
  readonly [Tag in TagOf<E>]: (
    state: S,
    recorded: Recorded<Extract<E, { readonly _tag: Tag }>>,
    key: string
  ) => S | undefined
}

type TagOf<E> = E extends { readonly _tag: infer Tag extends string } ? Tag : never

export interface DocumentsOptions<C extends Source, S> extends Common<C> {
  /** `"inline"`: in the transaction of each append, once it has caught up. Default `"async"`. */
  readonly mode?: "async" | "inline" | undefined
  /** What a document is. It is kept in its JSON form. */
  readonly state: Schema.ConstraintCodec<S, unknown>
  /**
   * Which documents an event is for: one, several, or none. Keys are texts of 1 to 512 characters. Default: the id of the
   * stream.
   */
  readonly key?: ((recorded: Recorded<Out<NoInfer<C>>>) => Keys) | undefined
  /** The state of a document that there is not. */
  readonly initial: (key: string) => NoInfer<S>
  /** Pure: the same state and event give the same state. */
  readonly evolve: EvolveDocument<S, Out<NoInfer<C>>>
  /**
   * How documents of older versions read as states of today: while one of these is live, and this one is built, it is what
   * is read. Without it reading fails then.
   */
  readonly older?: { readonly [version: number]: Schema.ConstraintCodec<S, unknown> } | undefined
}

/** Keeps a state for each key. */
export interface Documents<S> {
  readonly definition: Definition
  /** Reads documents of a version; `undefined` where it does not know how. */
  readonly decoderOf: (version: number) => ((text: string) => S) | undefined
}

export const documents = <C extends Source, S>(name: string, options: DocumentsOptions<C, S>): Documents<S> => {
  const { evolve, initial, key, mode, older = {}, state } = options
  const isMade = typeof evolve === "object" && evolve !== null && typeof initial === "function" &&
    Schema.isSchema(state)
  if (!isMade) throw new Error(`The documents ${name} need state, initial and evolve`)
  if (mode !== undefined && mode !== "async" && mode !== "inline") {
    throw new Error(`The mode of the documents ${name} is ${String(mode)}, neither "async" nor "inline"`)
  }
  const common = declared(name, options)
  const decoders = new Map<number, (text: string) => S>()
  for (const [version, schema] of Object.entries(older)) decoders.set(Number(version), decoderOf(schema))
  const decode = decoderOf(state)
  decoders.set(common.version, decode)
  const keysOf = key && keysBy(key)
  return {
    decoderOf: (version) => decoders.get(version),
    definition: {
      ...common,
      kind: "documents",
      isInline: mode === "inline",
      keysOf,
      apply: applying<S>({
        decode,
        encode: encoderOf(state),
        initial,
        keysOf,
        handlers: new Map(Object.entries(evolve)) as never
      })
    }
  }
}

const decoderOf = <S>(schema: Schema.ConstraintCodec<S, unknown>): (text: string) => S => {
  const decode = Schema.decodeUnknownSync(Schema.toCodecJson(schema as unknown as Schema.Codec<S>))
  return (text) => decode(JSON.parse(text))
}

const encoderOf = <S>(schema: Schema.ConstraintCodec<S, unknown>): (state: S) => string => {
  const encode = Schema.encodeUnknownSync(Schema.toCodecJson(schema as unknown as Schema.Codec<S>))
  return (state) => {
    const text: string | undefined = JSON.stringify(encode(state))
    if (text === undefined) throw new Error("The state has no JSON form")
    if (hasForbiddenEscape(text)) throw new Error("The state has a NUL character or a lone surrogate in a text")
    return text
  }
}

interface Shape<S> {
  readonly decode: (text: string) => S
  readonly encode: (state: S) => string
  readonly initial: (key: string) => S
  readonly keysOf: ((recorded: Recorded<any>) => ReadonlyArray<string>) | undefined
  readonly handlers: ReadonlyMap<string, (state: S, recorded: Recorded<any>, key: string) => S | undefined>
}

/** A document as it is kept (`null`: not at all), and its state. */
interface Document<S> {
  readonly key: string
  readonly state: S | undefined
  readonly text: string | null
}

/** A document in the hands of a batch, which may fail and be applied again. */
interface Touched<S> {
  readonly key: string
  state: S | undefined
  text: string | null
}

/** Loads all documents of a batch at once, lets events change them in memory, and saves what changed at once. */
const applying =
  <S>({ decode, encode, handlers, initial, keysOf }: Shape<S>): Definition["apply"] => (target, events) =>
    Effect.suspend(() => {
      // the events, and next to each the document it is for
      const changes: Array<Recorded<any>> = []
      const changed: Array<Touched<S>> = []
      const touched = new Map<string, Touched<S>>()
      const cache = cacheOf<S>(target)
      const missing: Array<string> = []
      const add = (recorded: Recorded<any>, key: string): void => {
        if (!target.owns(key)) return
        let document = touched.get(key)
        if (document === undefined) {
          const known = cache?.get(key)
          if (known === undefined) missing.push(key)
          touched.set(key, document = { key, state: known?.state, text: known === undefined ? null : known.text })
        }
        changes.push(recorded)
        changed.push(document)
      }
      for (const recorded of events) {
        if (keysOf === undefined) add(recorded, recorded.streamId)
        else for (const key of keysOf(recorded)) add(recorded, key)
      }
      if (changes.length === 0) return Effect.void

      const { documents } = target.store.storage.projections
      const loading = missing.length === 0
        ? Effect.void
        : Effect.map(documents.load(target.id, missing, { isLocking: target.isInline }), (found) => {
          for (const [key, text] of found) {
            const document = touched.get(key)!
            document.state = decode(text)
            document.text = text
          }
        })
      return Effect.flatMap(loading, () => {
        for (let i = 0; i < changes.length; i++) {
          const recorded = changes[i]!
          const document = changed[i]!
          const handler = handlers.get(recorded.event._tag) ?? noHandler(recorded)
          const state = document.state === undefined ? initial(document.key) : document.state
          document.state = handler(state, recorded, document.key)
        }
        const saved: Array<DocumentChange> = []
        const next: Array<Document<S>> = []
        for (const { key, state, text: before } of touched.values()) {
          const text = state === undefined ? null : encode(state)
          if (text !== before) saved.push({ key, state: text })
          next.push({ key, state, text })
        }
        const saving = saved.length === 0 ? Effect.void : documents.save(target.id, saved)
        if (cache === undefined) return saving
        // from here on nobody knows what is saved, until it is; and in a savepoint not even then
        for (const { key } of saved) cache.doubt(key)
        return Effect.flatMap(saving, () =>
          Effect.map(mayKeep(target), (isKept) => {
            if (isKept) { for (const document of next) cache.set(document) }
          }))
      })
    })

const noHandler = ({ event, position, streamId, streamVersion }: Recorded<any>): never => {
  throw new Error(
    `There is no handler for ${event._tag}: event ${streamVersion} of stream ${streamId} (position ${position})`
  )
}

/** Most documents, and characters of them, of a generation. */
const mostDocuments = 20_000
const mostCharacters = 8 * 1024 * 1024

/**
 * Documents that were used last, by the only one who may write them. Filled by a transaction that may yet fail: then all of
 * it is thrown away. What is doubtful before that is loaded again.
 *
 * Two generations: what is not used while one fills up is forgotten with the other. Taking entries out of a `Map` one by one
 * costs more than all else here.
 */
class Cache<S> {
  private young = new Map<string, Document<S>>()
  private old = new Map<string, Document<S>>()
  private readonly doubtful = new Set<string>()
  private characters = 0

  get(key: string): Document<S> | undefined {
    return this.doubtful.has(key) ? undefined : this.young.get(key) ?? this.old.get(key)
  }

  /** A document is about to be saved, and may not be. */
  doubt(key: string): void {
    if (this.young.has(key) || this.old.has(key)) this.doubtful.add(key)
  }

  set(document: Document<S>): void {
    const { key, text } = document
    this.doubtful.delete(key)
    this.young.set(key, document)
    this.characters += key.length + (text?.length ?? 0)
    if (this.young.size < mostDocuments && this.characters < mostCharacters) return
    this.old = this.young
    this.young = new Map()
    for (const doubtful of this.doubtful) if (!this.old.has(doubtful)) this.doubtful.delete(doubtful)
    this.characters = 0
  }
}

const cacheOf = <S>({ kept }: Target): Cache<S> | undefined => {
  if (kept === undefined) return undefined
  const cache = (kept.get("documents") as Cache<S> | undefined) ?? new Cache<S>()
  kept.set("documents", cache)
  return cache
}
