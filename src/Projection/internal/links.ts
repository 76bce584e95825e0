import { type Cause, Effect, Option, Stream } from "effect"
import { EventStore, type ReadOptions } from "../../Store/EventStore.ts"
import * as LogFilter from "../../Store/LogFilter.ts"
import * as LogRange from "../../Store/LogRange.ts"
import type { InvalidInput, StoreError } from "../../Store/StoreError.ts"
import * as Category from "../../Stream/Category.ts"
import type { Decode } from "../../Stream/Decode.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { ProjectionNotFound, VersionUnreadable } from "../ProjectionError.ts"
import type { Out, Services, Source } from "../View.ts"
import { decodeAll } from "./decoding.ts"
import type { Definition } from "./definition.ts"
import { type Common, declared, type Keys, keysBy, maxKeyLength } from "./source.ts"

export interface LinksOptions<C extends Source> extends Common<C> {
  /** Under which keys an event is found: one, several, or none. Keys are texts of 1 to 512 characters. */
  readonly key: (recorded: Recorded<Out<NoInfer<C>>>) => Keys
}

/** Keeps under which keys events are to be found. */
export interface Links<E, R> {
  readonly definition: Definition
  readonly decode: Decode<E, R>
}

export const links = <C extends Source>(
  name: string,
  options: LinksOptions<C>
): Links<Out<C>, Services<C>> => {
  const common = declared(name, options)
  const keysOf = keysBy(options.key)
  return {
    decode: common.decode,
    definition: {
      ...common,
      kind: "links",
      keysOf,
      apply: ({ id, owns, store }, events) =>
        Effect.suspend(() => {
          const added = events.flatMap((recorded) =>
            keysOf(recorded).filter(owns).map((key) => ({ key, position: recorded.position }))
          )
          return added.length === 0 ? Effect.void : store.storage.projections.links.add(id, added)
        })
    }
  }
}

/** What links over the whole log can be told. */
export type LogLinksOptions = Omit<Common<typeof Category.raw>, "from"> & { readonly name?: string | undefined }

export const byType = ({ name = "by-type", ...options }: LogLinksOptions = {}) =>
  links(name, { ...options, from: Category.raw, key: ({ type }) => type })

export const byCorrelation = ({ name = "by-correlation", ...options }: LogLinksOptions = {}) =>
  links(name, {
    ...options,
    from: Category.raw,
    key: ({ eventId, metadata: { correlationId } }) => {
      // with the event that a conversation began with: those that it led to name its id, see EventMetadata.causedBy
      if (correlationId === undefined) return eventId
      // others choose it, and nobody shall be able to stop the projection with one
      return correlationId.length > 0 && correlationId.length <= maxKeyLength ? correlationId : undefined
    }
  })

/** Why links cannot be read. */
export type LinkError = ProjectionNotFound | VersionUnreadable | InvalidInput | StoreError

/** Most events, or keys, of a page, and bytes after which one ends. */
const pageRows = 1000
const pageBytes = 2 * 1024 * 1024

/** Which version is live, and can be read as links. */
const liveOf = (
  { definition: { name, version } }: Links<unknown, any>
): Effect.Effect<number, ProjectionNotFound | VersionUnreadable | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    const live = (yield* storage.projections.states(name, undefined)).find(({ isLive }) => isLive)
    if (live === undefined) return yield* new ProjectionNotFound({ projection: name })
    if (live.kind !== "links") {
      return yield* new VersionUnreadable({ projection: name, version: live.version, declared: version })
    }
    return live.id
  })

/** Where nothing (more) is found, the version may have been dropped meanwhile: that is no end of what it had. */
const stillThere = (
  { definition: { name } }: Links<unknown, any>,
  id: number
): Effect.Effect<void, ProjectionNotFound | StoreError, EventStore> =>
  Effect.gen(function*() {
    const { storage } = yield* EventStore
    const states = yield* storage.projections.states(name, undefined)
    if (!states.some((state) => state.id === id)) return yield* new ProjectionNotFound({ projection: name })
  })

interface Place {
  readonly from: number
  readonly left: number
  /** Why it ends here, after what could be handed out. */
  readonly failure?: Cause.Cause<DecodeError>
}

export const events = <E, R>(
  self: Links<E, R>,
  key: string,
  options?: ReadOptions
): Stream.Stream<
  Recorded<E>,
  InvalidInput | ProjectionNotFound | VersionUnreadable | DecodeError | StoreError,
  EventStore | R
> =>
  Stream.unwrap(Effect.gen(function*() {
    const { storage } = yield* EventStore
    const range = yield* LogRange.fromReadOptions(options)
    const checkedKey = yield* LogFilter.textField("key", key)
    const id = yield* liveOf(self)
    const step = range.direction === "forward" ? 1 : -1
    const page = ({ failure, from, left }: Place) =>
      Effect.gen(function*(): Effect.gen.Return<
        readonly [ReadonlyArray<Recorded<E>>, Option.Option<Place>],
        ProjectionNotFound | DecodeError | StoreError,
        EventStore | R
      > {
        if (failure !== undefined) return yield* Effect.failCause(failure)
        const limit = Math.min(pageRows, left)
        const found = yield* storage.projections.links.page(id, checkedKey, { ...range, from, limit, bytes: pageBytes })
        const last = found.events.at(-1)
        if (last === undefined) yield* stillThere(self, id)
        const decoded: Array<Recorded<E>> = []
        const cause = yield* decodeAll(self.decode, found.events, decoded)
        if (cause !== undefined) {
          return decoded.length === 0
            ? yield* Effect.failCause(cause)
            : [decoded, Option.some({ from, left, failure: cause })]
        }
        const rest = left - found.events.length
        return [
          decoded,
          last === undefined || !found.more || rest <= 0
            ? Option.none()
            : Option.some({ from: last.position + step, left: rest })
        ]
      })
    return range.limit === 0 ? Stream.empty : Stream.paginate<Place, Recorded<E>, any, EventStore | R>(
      { from: range.from, left: range.limit },
      page
    )
  }))

export const keys = (
  self: Links<unknown, any>,
  options?: { readonly prefix?: string | undefined }
): Stream.Stream<
  { readonly key: string; readonly count: number },
  InvalidInput | ProjectionNotFound | VersionUnreadable | StoreError,
  EventStore
> =>
  Stream.unwrap(Effect.gen(function*() {
    const { storage } = yield* EventStore
    const prefix = yield* LogFilter.textField("prefix", options?.prefix ?? "")
    const id = yield* liveOf(self)
    return Stream.paginate("", (after) =>
      Effect.gen(function*() {
        const found = yield* storage.projections.links.keys(id, { prefix, after, limit: pageRows })
        const last = found.at(-1)
        if (last === undefined) yield* stillThere(self, id)
        return [found, last === undefined || found.length < pageRows ? Option.none() : Option.some(last.key)] as const
      }))
  }))
