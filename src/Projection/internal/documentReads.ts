import { Effect, Option, Stream } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import * as LogFilter from "../../Store/LogFilter.ts"
import type { InvalidInput, StoreError } from "../../Store/StoreError.ts"
import { DocumentUndecodable, ProjectionNotFound, VersionUnreadable } from "../ProjectionError.ts"
import type { Documents } from "./documents.ts"

export type DocumentError = ProjectionNotFound | VersionUnreadable | DocumentUndecodable | InvalidInput | StoreError

/** Keys of a list that are read at a time. */
const pageKeys = 500

export const get = <S>(
  documents: Documents<S>,
  key: string
): Effect.Effect<Option.Option<S>, DocumentError, EventStore> =>
  Effect.map(getMany(documents, [key]), (found) => found.has(key) ? Option.some(found.get(key)!) : Option.none())

export const getMany = <S>(
  documents: Documents<S>,
  keys: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, S>, DocumentError, EventStore> =>
  Effect.gen(function*() {
    const checked = yield* Effect.forEach(keys, (key, i) =>
      LogFilter.textField(keys.length === 1 ? "key" : `keys[${i}]`, key))
    const live = yield* readLive(documents, checked)
    const states = new Map<string, S>()
    for (const key of checked) {
      const text = live.found.get(key)
      if (text !== undefined) {
        states.set(key, yield* live.decode(key, text))
      }
    }
    return states
  })

export const list = <S>(
  documents: Documents<S>,
  options: { readonly prefix?: string | undefined } = {}
): Stream.Stream<{ readonly key: string; readonly state: S }, DocumentError, EventStore> =>
  Stream.unwrap(Effect.gen(function*() {
    const { storage } = yield* EventStore
    const { definition: { name } } = documents
    const prefix = yield* LogFilter.textField("prefix", options.prefix ?? "")
    const { decode, id, version } = yield* readLive(documents, [])
    return Stream.paginate("", (after: string) =>
      Effect.gen(function*() {
        const page = yield* storage.projections.documents.page(id, { prefix, after, limit: pageKeys })
        const isLast = page.length < pageKeys
        if (isLast && after !== "") {
          // of a version that was dropped meanwhile nothing more is found: that is no end of the list
          const states = yield* storage.projections.states(name, undefined)
          if (!states.some((state) => state.id === id)) {
            return yield* new ProjectionNotFound({ projection: name, version })
          }
        }
        const states = yield* Effect.forEach(
          page,
          ({ key, state }) => Effect.map(decode(key, state), (state) => ({ key, state }))
        )
        return [states, isLast ? Option.none<string>() : Option.some(page[page.length - 1]!.key)] as const
      }))
  }))

/** Documents of the live version, and how it is read. */
const readLive = <S>(documents: Documents<S>, keys: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    const { definition: { name: projection, version: declared } } = documents
    const live = yield* storage.projections.documents.read(projection, keys)
    if (live === undefined) return yield* new ProjectionNotFound({ projection })
    const { version } = live
    const decoder = documents.decoderOf(version)
    if (decoder === undefined) return yield* new VersionUnreadable({ projection, version, declared })
    const decode = (key: string, text: string) =>
      Effect.try({
        try: () => decoder(text),
        catch: (cause) => new DocumentUndecodable({ projection, version, key, cause })
      })
    return { ...live, decode }
  })
