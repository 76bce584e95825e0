import { Effect, Equal } from "effect"
import type { ProjectionLink, ProjectionStorage } from "../../Store/ProjectionStorage.ts"
import type { StoreError } from "../../Store/StoreError.ts"
import { compare } from "../../Stream/StreamId.ts"
import type { DifferencePart, DifferenceRows } from "../Rehearsal.ts"
import type { Comparison } from "./difference.ts"

/** What is read at a time. */
const pageSize = 500

/** Entries in an order of their own, page by page. */
class Cursor<Entry> {
  private readonly read: (after: Entry | undefined, limit: number) => Effect.Effect<ReadonlyArray<Entry>, StoreError>
  private readonly limit: number
  private page: ReadonlyArray<Entry> = []
  private index = 0
  private isEnd = false
  count = 0

  constructor(
    read: (after: Entry | undefined, limit: number) => Effect.Effect<ReadonlyArray<Entry>, StoreError>,
    limit: number
  ) {
    this.read = read
    this.limit = limit
  }

  /** Whether there is another entry to look at, once it is filled. */
  get current(): Entry | undefined {
    return this.page[this.index]
  }

  /** Whether the next entry has to be read. */
  get isEmpty(): boolean {
    return !this.isEnd && this.index >= this.page.length
  }

  readonly fill: Effect.Effect<void, StoreError> = Effect.suspend(() =>
    Effect.map(this.read(this.page.at(-1), this.limit), (page) => {
      this.page = page
      this.index = 0
      this.isEnd = page.length < this.limit
    })
  )

  next(): void {
    this.index++
    this.count++
  }
}

interface Rows {
  count: number
  readonly rows: Array<unknown>
}

const noRows = (): Rows => ({ count: 0, rows: [] })

/** The two sides, entry by entry; what is not the same is shown as far as there is room for it. */
const merge = <Entry>(
  { limit, live, scratch: { id } }: Comparison,
  name: string,
  options: {
    readonly page: (
      id: number
    ) => (after: Entry | undefined, limit: number) => Effect.Effect<ReadonlyArray<Entry>, StoreError>
    readonly order: (a: Entry, b: Entry) => number
    readonly isSame: (live: Entry, fresh: Entry) => boolean
    readonly show: (entry: Entry) => unknown
    readonly showChange: (live: Entry, fresh: Entry) => unknown
    readonly ignored: ReadonlyArray<string>
  }
): Effect.Effect<ReadonlyArray<DifferencePart>, StoreError> =>
  Effect.gen(function*() {
    const [left, right] = [new Cursor(options.page(live.id), pageSize), new Cursor(options.page(id), pageSize)]
    const [onlyLive, onlyFresh, changed] = [noRows(), noRows(), noRows()]
    const note = (rows: Rows, show: () => unknown) => {
      if (rows.count++ < limit) rows.rows.push(show())
    }
    while (true) {
      if (left.isEmpty) yield* left.fill
      if (right.isEmpty) yield* right.fill
      const [a, b] = [left.current, right.current]
      if (a === undefined && b === undefined) break
      const order = a === undefined ? 1 : b === undefined ? -1 : options.order(a, b)
      if (order < 0) note(onlyLive, () => options.show(a!))
      else if (order > 0) note(onlyFresh, () => options.show(b!))
      else if (!options.isSame(a!, b!)) note(changed, () => options.showChange(a!, b!))
      if (order <= 0) left.next()
      if (order >= 0) right.next()
    }
    return [{
      name,
      live: left.count,
      fresh: right.count,
      columns: { onlyLive: [], onlyFresh: [], ignored: options.ignored },
      onlyLive: onlyLive satisfies DifferenceRows,
      onlyFresh,
      changed
    }]
  })

type Document = Effect.Success<ReturnType<ProjectionStorage["documents"]["page"]>>[number]

export const documentsDifference = (
  comparison: Comparison
): Effect.Effect<ReadonlyArray<DifferencePart>, StoreError> => {
  const { documents } = comparison.scratch.store.storage.projections
  const toValue = (text: string): unknown => {
    const value: unknown = JSON.parse(text)
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value
    for (const field of comparison.ignore) delete (value as Record<string, unknown>)[field]
    return value
  }
  return merge<Document>(comparison, "documents", {
    page: (id) => (after, limit) => documents.page(id, { prefix: "", after: after?.key ?? "", limit }),
    order: (a, b) => compare(a.key, b.key),
    isSame: (a, b) => a.state === b.state || Equal.equals(toValue(a.state), toValue(b.state)),
    show: ({ key, state }) => ({ key, state: toValue(state) }),
    showChange: (a, b) => ({ key: a.key, live: toValue(a.state), fresh: toValue(b.state) }),
    ignored: [...new Set(comparison.ignore)].sort()
  })
}

export const linksDifference = (
  comparison: Comparison
): Effect.Effect<ReadonlyArray<DifferencePart>, StoreError> => {
  const { links } = comparison.scratch.store.storage.projections
  return merge<ProjectionLink>(comparison, "links", {
    page: (id) => (after, limit) => links.list(id, { after, limit }),
    order: (a, b) => compare(a.key, b.key) || a.position - b.position,
    isSame: () => true,
    show: (link) => link,
    showChange: (link) => link,
    ignored: []
  })
}
