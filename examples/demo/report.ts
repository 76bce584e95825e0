/**
 * Reads the log back and folds it into what a reader of the repository might ask.
 *
 * Nothing of this is stored: which commits count and what the main line is follows from the parents that the commits name
 * and from the head that git has now. After a rewritten history the same log gives the right answers again.
 */
import { Effect, Stream } from "effect"
import { EventStore } from "effect-eventstore"
import { createHash } from "node:crypto"
import { Author, File, type FileEvent, fileStream } from "./events.ts"

export interface Report {
  readonly commits: number
  /** By escaped e-mail address: how many commits, and the name last used. */
  readonly authors: ReadonlyMap<string, { readonly commits: number; readonly name: string }>
  /** By path: how many commits touched it, merges aside; sorted, most first. */
  readonly hottest: ReadonlyArray<readonly [path: string, commits: number]>
  /** By path: mode and blob. */
  readonly files: ReadonlyMap<string, string>
  /** The same as it was half-way along the main line. */
  readonly earlier: { readonly commit: string; readonly files: ReadonlyMap<string, string> }
  /** A file's names, today's first: the one that was renamed most. */
  readonly renamed: ReadonlyArray<string>
  /** Fingerprint of all of the above. */
  readonly digest: string
}

interface Commits {
  readonly parents: Map<string, ReadonlyArray<string>>
  readonly authors: Map<string, { readonly email: string; readonly name: string }>
}

const readCommits = Effect.gen(function*() {
  const store = yield* EventStore
  const initial: Commits = { parents: new Map(), authors: new Map() }
  return yield* Stream.runFold(store.readCategory(Author), () => initial, (commits, { event }) => {
    commits.parents.set(event.hash, event.parents)
    commits.authors.set(event.hash, { email: event.email, name: event.name })
    return commits
  })
})

/** The commits that lead to `head`: all of them, and those on the way of first parents, oldest first. */
const lineage = ({ parents }: Commits, head: string) => {
  const reachable = new Set([head])
  for (const hash of reachable) for (const parent of parents.get(hash) ?? []) reachable.add(parent) // grows as it goes
  const mainLine: Array<string> = []
  for (let at: string | undefined = head; at !== undefined; at = parents.get(at)?.[0]) mainLine.push(at)
  return { reachable, mainLine: mainLine.reverse() }
}

/** A file after one more event: mode and blob, or `undefined` where there is none. */
const evolve = (event: FileEvent): string | undefined =>
  event._tag === "FileDeleted" ? undefined : `${event.mode} ${event.blob}`

export const makeReport = Effect.fn("makeReport")(function*(head: string) {
  const store = yield* EventStore
  const commits = yield* readCommits
  const { mainLine, reachable } = lineage(commits, head)
  const place = new Map(mainLine.map((hash, index) => [hash, index]))
  const half = Math.floor((mainLine.length - 1) / 2)

  const touched = new Map<string, number>()
  const files = new Map<string, string>()
  const earlier = new Map<string, string>()
  const origins = new Map<string, Array<Origin>>()
  yield* Stream.runForEachArray(store.readCategory(File), (page) =>
    Effect.sync(() => {
      for (const { event } of page) {
        // a merge repeats what its branch did: on the main line it counts, as work it does not
        const isMerge = (commits.parents.get(event.commit)?.length ?? 0) > 1
        if (reachable.has(event.commit) && !isMerge) touched.set(event.path, (touched.get(event.path) ?? 0) + 1)
        const at = place.get(event.commit)
        if (at === undefined) continue
        set(files, event.path, evolve(event))
        if (at <= half) set(earlier, event.path, evolve(event))
        if (event._tag === "FileRenamed") add(origins, event.path, { at, from: event.from })
        else if (event._tag === "FileAdded") add(origins, event.path, { at, from: undefined })
      }
    }))

  const authors = new Map<string, { commits: number; name: string }>()
  for (const hash of reachable) {
    const { email, name } = commits.authors.get(hash)!
    authors.set(email, { commits: (authors.get(email)?.commits ?? 0) + 1, name: authors.get(email)?.name ?? name })
  }
  const hottest = [...touched].sort(([a, m], [b, n]) => n - m || compare(a, b))
  let renamed: ReadonlyArray<string> = []
  for (const path of files.keys()) {
    const names = namesOf(path, origins)
    if (names.length > renamed.length) renamed = names
  }
  const found = {
    commits: reachable.size,
    authors,
    hottest,
    files,
    earlier: { commit: mainLine[half]!, files: earlier },
    renamed
  }
  return { ...found, digest: digest(found) } satisfies Report
})

/** Where a file under this path began: at which commit of the main line, and under which other path before. */
interface Origin {
  readonly at: number
  readonly from: string | undefined
}

/** All names of a file, today's first: each rename leads to another path, and further back in time. */
const namesOf = (path: string, origins: ReadonlyMap<string, ReadonlyArray<Origin>>): ReadonlyArray<string> => {
  const names = [path]
  for (let before = Infinity;;) {
    const origin = origins.get(names[names.length - 1]!)?.findLast(({ at }) => at < before)
    if (origin?.from === undefined) return names
    names.push(origin.from)
    before = origin.at
  }
}

const add = (origins: Map<string, Array<Origin>>, path: string, origin: Origin) => {
  const known = origins.get(path)
  if (known === undefined) origins.set(path, [origin])
  else known.push(origin)
}

/** What a file was at a commit of the main line, and how often it had been touched: its own stream is enough. */
export const fileAt = Effect.fn("fileAt")(function*(path: string, commit: string) {
  const store = yield* EventStore
  const line = new Set(lineage(yield* readCommits, commit).mainLine)
  return yield* Stream.runFold(
    Stream.filter(store.read(fileStream(path)), ({ event }) => line.has(event.commit)),
    () => ({ state: undefined as string | undefined, changes: 0 }),
    ({ changes }, { event }) => ({ state: evolve(event), changes: changes + 1 })
  )
})

const set = (files: Map<string, string>, path: string, state: string | undefined) =>
  state === undefined ? files.delete(path) : files.set(path, state)

const compare = (a: string, b: string) => a < b ? -1 : a > b ? 1 : 0

const digest = (found: Omit<Report, "digest">): string => {
  const sorted = (_: string, value: unknown) =>
    value instanceof Map ? [...value].sort(([a], [b]) => compare(a, b)) : value
  return createHash("sha256").update(JSON.stringify(found, sorted)).digest("hex").slice(0, 16)
}
