/**
 * The read model of the demo: who committed, and in its second shape also which files were touched, as SQL tables that a
 * projection keeps.
 *
 * As in the report, nothing of it depends on what git says now: which commits count follows from their parents and from the
 * head, when somebody asks. Handlers take whole batches, as this is built anew.
 */
import { Effect } from "effect"
import { Projection } from "effect-eventstore"
import { Author, type CommitAuthored, File, type FileEvent } from "./events.ts"
import type { Report } from "./report.ts"

export const name = "activity"

const createCommits = Effect.fnUntraced(function*({ sql, table }: Projection.Model) {
  yield* sql`CREATE TABLE ${table("commits")} (hash text PRIMARY KEY, email text NOT NULL, is_merge boolean NOT NULL)`
  yield* sql`CREATE TABLE ${table("parents")} (child text NOT NULL, parent text NOT NULL, PRIMARY KEY (child, parent))`
})

const insertCommits = Effect.fnUntraced(function*(
  { sql, table }: Projection.Model,
  commits: ReadonlyArray<CommitAuthored>
) {
  const hashes = commits.map(({ hash }) => hash)
  const emails = commits.map(({ email }) => email)
  const merges = commits.map(({ parents }) => parents.length > 1)
  yield* sql`
    INSERT INTO ${table("commits")} (hash, email, is_merge)
    SELECT * FROM unnest(${hashes}::text[], ${emails}::text[], ${merges}::boolean[])`
  const pairs = commits.flatMap(({ hash, parents }) => parents.map((parent) => [hash, parent] as const))
  yield* sql`
    INSERT INTO ${table("parents")} (child, parent)
    SELECT * FROM unnest(${pairs.map(([child]) => child)}::text[], ${pairs.map(([, parent]) => parent)}::text[])`
})

/** It is asked as soon as it is filled: the planner has to know by then what is in it. */
const analyzeCommits = ({ sql, table }: Projection.Model) => sql`ANALYZE ${table("commits")}, ${table("parents")}`

/** The first shape: who committed. */
const commits = Projection.make(name, {
  version: 1,
  from: Author,
  setup: createCommits,
  batch: (events, model) => insertCommits(model, events.map(({ event }) => event)),
  indexes: analyzeCommits
})

/** The second shape, under any later version: which files as well. */
const touches = (version: number) =>
  Projection.make(name, {
    version,
    from: [Author, File],
    setup: Effect.fnUntraced(function*(model) {
      yield* createCommits(model)
      yield* model.sql`CREATE TABLE ${model.table("touches")} (path text NOT NULL, commit text NOT NULL)`
    }),
    batch: Effect.fnUntraced(function*(events, model) {
      const commits: Array<CommitAuthored> = []
      const changes: Array<FileEvent> = []
      for (const { event } of events) {
        if (event._tag === "CommitAuthored") commits.push(event)
        else changes.push(event)
      }
      yield* insertCommits(model, commits)
      yield* model.sql`
        INSERT INTO ${model.table("touches")} (path, commit)
        SELECT * FROM unnest(${changes.map(({ path }) => path)}::text[], ${
        changes.map(({ commit }) => commit)
      }::text[])`
    }),
    indexes: Effect.fnUntraced(function*(model) {
      const { sql, table } = model
      yield* analyzeCommits(model)
      yield* sql`CREATE INDEX touches_commit ON ${table("touches")} (commit)`
      yield* sql`ANALYZE ${table("touches")}`
    })
  })

export const activity = (version: number) => version === 1 ? commits : touches(version)

export interface Activity {
  readonly version: number
  /** By escaped e-mail address: how many commits. */
  readonly authors: ReadonlyMap<string, number>
  /** By path: how many commits touched it, merges aside; the first shape does not know. */
  readonly touched: ReadonlyMap<string, number> | undefined
}

/** What the live version knows about the commits that lead to a head: one transaction, so one version, whole. */
export const ask = (head: string) =>
  Projection.read(
    commits,
    Effect.fnUntraced(function*({ sql, table, version }) {
      const reachable = sql`
        WITH RECURSIVE reachable (hash) AS (
          SELECT ${head}::text
          UNION
          SELECT p.parent FROM reachable r JOIN ${table("parents")} p ON p.child = r.hash
        )`
      const authors = yield* sql<Count>`${reachable}
        SELECT c.email AS name, count(*)::int AS count
        FROM reachable
        JOIN ${table("commits")} c USING (hash)
        GROUP BY c.email`
      const touched = version === 1 ? undefined : yield* sql<Count>`${reachable}
        SELECT t.path AS name, count(*)::int AS count
        FROM reachable
        JOIN ${table("commits")} c USING (hash)
        JOIN ${table("touches")} t ON t.commit = c.hash
        WHERE NOT c.is_merge
        GROUP BY t.path`
      return { version, authors: toMap(authors), touched: touched && toMap(touched) } satisfies Activity
    })
  )

/** A question that is quickly answered: how many rows the live version has. */
export const glance = Projection.read(
  commits,
  Effect.fnUntraced(function*({ sql, table, version }) {
    const tables = version === 1 ? [table("commits")] : [table("commits"), table("touches")]
    const counts: Array<number> = []
    for (const table of tables) {
      counts.push((yield* sql<{ count: number }>`SELECT count(*)::float8 AS count FROM ${table}`)[0]!.count)
    }
    return { version, rows: counts.join(" and ") }
  })
)

/** Whether the read model says what the report says. */
export const agrees = ({ authors, touched }: Activity, report: Report): boolean =>
  isSame(authors, new Map(Array.from(report.authors, ([email, { commits }]) => [email, commits]))) &&
  (touched === undefined || isSame(touched, new Map(report.hottest)))

const isSame = (ours: ReadonlyMap<string, number>, theirs: ReadonlyMap<string, number>): boolean =>
  ours.size === theirs.size && [...ours].every(([name, count]) => theirs.get(name) === count)

interface Count {
  readonly name: string
  readonly count: number
}

const toMap = (rows: ReadonlyArray<Count>) => new Map(rows.map(({ count, name }) => [name, count]))
