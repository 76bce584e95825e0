import { Effect } from "effect"
import type { EventId } from "../../Event/EventId.ts"
import type { Loaded, NewSnapshot, Resumed, SnapshotMark, SnapshotRange } from "../../Store/SnapshotStorage.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { freshName, freshStream, notes, type NotesStream, someNotes, type Store } from "./rule.ts"

export const whole: SnapshotRange = { to: Number.MAX_SAFE_INTEGER, limit: 1000, bytes: 1e9 }

/** What a page of notes says, by their texts. */
const textsOf = (events: ReadonlyArray<StoredEvent>) =>
  events.map(({ data }) => (JSON.parse(data) as { readonly text: string }).text)

/** The state that rules fold: the texts of a stream that can be read, as a JSON text. */
export const stateOf = (texts: ReadonlyArray<string>): string => JSON.stringify({ texts })

/** What a load found, in short: the version of the snapshot, and the texts behind it. */
export const said = ({ isStale, page, snapshot }: Loaded) => ({
  at: snapshot?.streamVersion ?? null,
  isStale,
  texts: textsOf(page.events)
})

export const saidOf = ({ holds, page }: Resumed) => ({ holds, texts: textsOf(page.events) })

/** A stream of its own with the notes "1", "2", "3", and what rules do with its snapshots. */
export const makeSnapshots = Effect.fnUntraced(function*(store: Store, count = 0, stream: NotesStream = freshStream()) {
  const { snapshots } = store.storage
  const { streamId } = stream
  const name = freshName()
  if (count > 0) yield* store.append(stream, someNotes(count))

  /** What anybody knows of the stream as it is now, up to a version: a full fold. */
  const fold = Effect.fnUntraced(function*(to = Number.MAX_SAFE_INTEGER) {
    const { page, truncatedBefore } = yield* snapshots.resume(streamId, undefined, { ...whole, to })
    const last = page.events.at(-1)
    const mark: SnapshotMark = {
      streamVersion: last?.streamVersion ?? 0,
      position: last?.position ?? 0,
      eventId: last?.eventId ?? "00000000-0000-7000-8000-000000000000" as EventId,
      truncatedBefore
    }
    return { mark, texts: textsOf(page.events) }
  })

  /** What a snapshot of the stream at a version is. */
  const at = (version?: number, given: Partial<NewSnapshot> = {}): Effect.Effect<NewSnapshot, unknown> =>
    Effect.map(fold(version), ({ mark, texts }) => ({
      name,
      streamId,
      schemaVersion: 1,
      state: stateOf(texts),
      ...mark,
      ...given
    }))

  return {
    name,
    stream,
    streamId,
    fold,
    at,
    save: (version?: number, given?: Partial<NewSnapshot>) => Effect.flatMap(at(version, given), snapshots.save),
    load: (range: Partial<SnapshotRange> = {}) =>
      Effect.map(snapshots.load(streamId, name, { ...whole, ...range }), said),
    loaded: snapshots.load(streamId, name, whole),
    list: snapshots.list({ streamId }, { after: undefined, limit: 100 }),
    append: (...texts: ReadonlyArray<string>) => store.append(stream, notes(...texts))
  }
})
