/** Events without a meaning, and stores to keep them in, for tests of how the log is kept. */
import { PgClient } from "@effect/sql-pg"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Redacted, References, Schema, Stream } from "effect"
import { Category, EventData, type EventId, EventStore, PgEventStore } from "effect-eventstore"

export class Noted extends Schema.TaggedClass<Noted>()("Noted", { text: Schema.String }) {}

export const Notes = Category.make("notes", { id: Schema.String, events: [Noted] })

export const note = (text: string): Noted => new Noted({ text })

/** A note under an id of its own, so that its append can be repeated. */
export const noteAs = (id: EventId.EventId, text: string) => EventData.make(note(text), { id })

export type Store = EventStore["Service"]

/** The texts of one stream, in the order of its versions. */
export const texts = (store: Store, id: string) =>
  Effect.map(Stream.runCollect(store.read(Notes.stream(id))), (recorded) => recorded.map(({ event }) => event.text))

/** All that is in the log, in the order of positions. */
export const recorded = (store: Store) => Stream.runCollect(store.readAll())

export interface Opened {
  readonly store: Store
  readonly sql: PgClient.PgClient
}

export type OpenOptions = PgEventStore.PgEventStoreOptions & {
  readonly client?: PgClient.PgPoolConfig
  /** Where its warnings go. */
  readonly warnings?: Array<string>
}

/** A store of its own in the database at `url`, with its client; both are closed with the scope. */
export const open = (url: string, { client, warnings, ...options }: OpenOptions = {}) =>
  opened(PgEventStore.layer(options), url, client, warnings)

/** As {@link open}, for a role that may not create tables: they are there. */
export const openStore = (url: string, { client, warnings, ...options }: OpenOptions = {}) =>
  opened(PgEventStore.layerStore(options), url, client, warnings)

const opened = <E>(
  layer: Layer.Layer<EventStore, E, PgClient.PgClient>,
  url: string,
  client: PgClient.PgPoolConfig | undefined,
  warnings: Array<string> | undefined
) =>
  Effect.map(
    Layer.build(Layer.provideMerge(layer, PgClient.layer({ ...client, url: Redacted.make(url) }))).pipe(
      // a server that goes away on purpose is no news
      Effect.provideService(References.MinimumLogLevel, warnings === undefined ? "Error" : "Warn"),
      warnings === undefined ? (self) => self : Effect.provideService(
        References.CurrentLoggers,
        new Set([Logger.make(({ message }) => warnings.push([message].flat().map(String).join(" ")))])
      )
    ),
    (context): Opened => ({
      store: Context.get(context, EventStore),
      sql: Context.get(context, PgClient.PgClient)
    })
  )

/** An object has these fields, whatever their brands, and may have more. */
export const has = (actual: object, part: object): void => assert.deepInclude(actual, part)
