/**
 * Stores the commits of a repository that the store does not have yet.
 *
 * Batches of commits are appended with one `appendAll` each, together with an event that says how far the import has
 * come. A run that was killed goes on where it stopped; one that has nothing to do stores nothing.
 */
import { Effect, Option, Stream } from "effect"
import { Category, EventData, EventId, EventStore } from "effect-eventstore"
import type { Entry } from "effect-eventstore"
import { asVersion1, authored, authorStream, changed, CommitsImported } from "./events.ts"
import { fileStream, ImportStarted, importStream } from "./events.ts"
import * as Git from "./git.ts"

export interface Progress {
  /** Commits of this run. */
  readonly commits: number
  readonly toImport: number
  readonly events: number
  /** How many of the events were written in an old shape. */
  readonly old: number
}

/** Enough to make a round trip cheap, and below the 1,000 streams that the store takes in one append. */
const batchEvents = 900

export const importHistory = Effect.fn("importHistory")(function*(
  repo: string,
  head: string,
  onProgress: (progress: Progress) => Effect.Effect<void>
) {
  const store = yield* EventStore
  const { tips, ...state } = yield* importState
  let { oldUntil, total, version } = state

  const known = yield* Effect.filter(tips, (tip) => Git.hasCommit(repo, tip))
  const isRewritten = known.length < tips.size // git forgot what we know: what it has now may be stored already
  const toImport = Number(yield* Git.answer(repo, ["rev-list", "--count", head, "--not", ...known, "--"]))
  let progress: Progress = { commits: 0, toImport, events: 0, old: 0 }
  if (toImport === 0) return progress
  if (oldUntil === undefined) {
    oldUntil = Math.floor(toImport / 4)
    const started = yield* store.append(importStream, [new ImportStarted({ oldUntil })], { expected: 0 })
    version = started.version
  }

  const flush = Effect.fnUntraced(function*(batch: Batch) {
    if (batch.commits.length === 0) return
    for (const { hash, parents } of batch.commits) {
      for (const parent of parents) tips.delete(parent)
      tips.add(hash)
    }
    total += batch.commits.length
    const id = EventId.fromName("CommitsImported", ...batch.commits.map(({ hash }) => hash))
    const imported = EventData.make(new CommitsImported({ total, tips: [...tips] }), { id })
    const parts = batch.parts()
    const last = parts.pop()!
    for (const part of parts) {
      // an entry without events only checks: the last part moves the stream on
      yield* store.appendAll([EventStore.entry(importStream, [], { expected: version }), ...part])
    }
    const answers = yield* store.appendAll([EventStore.entry(importStream, [imported], { expected: version }), ...last])
    version = answers[0]!.version
    progress = {
      toImport,
      commits: progress.commits + batch.commits.length,
      events: progress.events + batch.events + 1,
      old: progress.old + (batch.isOld ? batch.events : 0)
    }
    yield* onProgress(progress)
  })

  const rest = yield* Git.commits(repo, head, known).pipe(
    Stream.filterEffect((commit) =>
      isRewritten ? Effect.map(store.readEvent(commitId(commit)), Option.isNone) : Effect.succeed(true)
    ),
    Stream.runFoldEffect(() => new Batch(0 < oldUntil), (batch, commit) => {
      const isOld = total + batch.commits.length < oldUntil
      if (!batch.isFull(commit) && batch.isOld === isOld) return Effect.succeed(batch.add(commit))
      return Effect.as(flush(batch), new Batch(isOld).add(commit))
    })
  )
  yield* flush(rest)
  return progress
})

/** What earlier runs say about how far they came. */
const importState = Effect.gen(function*() {
  const store = yield* EventStore
  const initial = { version: 0, oldUntil: undefined as number | undefined, total: 0, tips: new Set<string>() }
  return yield* Stream.runFold(
    store.read(importStream),
    () => initial,
    (state, { event, streamVersion }) =>
      event._tag === "ImportStarted"
        ? { ...state, version: streamVersion, oldUntil: event.oldUntil }
        : { ...state, version: streamVersion, total: event.total, tips: new Set(event.tips) }
  )
})

/** The same event gets the same id in every run: what is appended again is recognized. */
const commitId = (commit: Git.Commit) => EventId.fromName(commit.hash, "CommitAuthored")

/** Commits on their way into the store, their events sorted by stream. */
class Batch {
  readonly isOld: boolean
  readonly commits: Array<Git.Commit> = []
  events = 0
  private readonly byStream = new Map<string, { readonly stream: AnyStream; readonly events: Array<unknown> }>()

  constructor(isOld: boolean) {
    this.isOld = isOld
  }

  /** A commit too large for any batch leaves alone, so that its parts are the same in a run that repeats them. */
  isFull(next: Git.Commit): boolean {
    return this.commits.length > 0 && this.events + 1 + 2 * next.changes.length > batchEvents
  }

  add(commit: Git.Commit): this {
    this.commits.push(commit)
    this.push(authorStream(commit.email), authored(commit), commitId(commit))
    for (const change of commit.changes) {
      for (const event of changed(commit.hash, change)) {
        this.push(fileStream(event.path), event, EventId.fromName(commit.hash, event._tag, event.path))
      }
    }
    return this
  }

  parts(): Array<Array<Entry>> {
    const entries = Array.from(this.byStream.values(), ({ events, stream }) => EventStore.entry(stream, events))
    const parts: Array<Array<Entry>> = []
    for (let at = 0; at < entries.length; at += batchEvents) parts.push(entries.slice(at, at + batchEvents))
    return parts
  }

  private push(stream: AnyStream, event: Parameters<typeof asVersion1>[0], id: EventId.EventId) {
    let slot = this.byStream.get(stream.streamId)
    if (slot === undefined) {
      slot = { stream: this.isOld ? Category.rawStream(stream.streamId) : stream, events: [] }
      this.byStream.set(stream.streamId, slot)
    }
    slot.events.push(EventData.make(this.isOld ? asVersion1(event) : event, { id }))
    this.events++
  }
}

type AnyStream = Category.StreamRef<any, unknown, never>
