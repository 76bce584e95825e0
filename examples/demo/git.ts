/**
 * Reads the history of a git repository: commits, parents first, each with what it changed against its first parent.
 *
 * Plumbing with NUL-separated output, so that neither the user's configuration nor odd names get in the way, and only
 * commands that read. All of it is streamed: memory stays flat however long the history is.
 */
import { Effect, Fiber, Schema, Stream } from "effect"
import type { PlatformError } from "effect"
import { ChildProcess } from "effect/process"
import type { ChildProcessSpawner } from "effect/process"
import { escape, toText } from "./escape.ts"

type Spawner = ChildProcessSpawner.ChildProcessSpawner

export interface Change {
  readonly kind: "added" | "changed" | "deleted" | "renamed"
  /** Escaped, as all paths here. */
  readonly path: string
  /** The path before a rename. */
  readonly from: string
  readonly mode: string
  readonly blob: string
  /** `undefined` for a binary file. */
  readonly lines: { readonly added: number; readonly removed: number } | undefined
}

export interface Commit {
  readonly hash: string
  readonly parents: ReadonlyArray<string>
  readonly name: string
  /** Escaped: it becomes part of a stream's id. */
  readonly email: string
  /** Seconds since 1970, by the author's clock. */
  readonly time: number
  readonly subject: string
  readonly changes: ReadonlyArray<Change>
}

export class GitFailed extends Schema.TaggedError<GitFailed>()("GitFailed", {
  command: Schema.String,
  said: Schema.String
}) {
  override get message(): string {
    return `git ${this.command}: ${this.said}`
  }
}

/** What a command prints, as text in which each character is a byte. Fails unless git says that all went well. */
export const output = (
  repo: string,
  args: ReadonlyArray<string>,
  stdin?: Input
): Stream.Stream<string, GitFailed, Spawner> =>
  Stream.unwrap(Effect.gen(function*() {
    const git = yield* spawn(repo, args, stdin)
    const said = yield* git.stderr.pipe(
      Stream.decodeText(),
      Stream.runFold(() => "", (text, chunk) => (text + chunk).slice(0, 2000)),
      Effect.forkScoped
    )
    const end = Effect.gen(function*() {
      const code = yield* git.exitCode
      if (code === 0) return
      const reason = (yield* Fiber.join(said)).trim()
      return yield* new GitFailed({ command: nameOf(args), said: reason === "" ? `exit code ${code}` : reason })
    })
    return Stream.concat(Stream.map(git.stdout, latin1), Stream.fromEffectDrain(end))
  })).pipe(Stream.mapError((error) => {
    if (error._tag === "GitFailed") return error
    const said = error.reason._tag === "NotFound" ? "there is no program git" : error.message
    return new GitFailed({ command: nameOf(args), said })
  }))

const nameOf = (args: ReadonlyArray<string>): string => args.find((arg) => /^[a-z]+(-[a-z]+)*$/.test(arg)) ?? ""

/** What a command prints, whole. For short answers. */
export const answer = (repo: string, args: ReadonlyArray<string>): Effect.Effect<string, GitFailed, Spawner> =>
  Stream.runFold(output(repo, args), () => "", (text, chunk) => text + chunk)

/** Tells whether the repository has a commit. */
export const hasCommit = (repo: string, hash: string): Effect.Effect<boolean, never, Spawner> =>
  Effect.isSuccess(answer(repo, ["cat-file", "-e", `${hash}^{commit}`]))

/** The commits from `head` back to, and without, those reachable from `known`; parents before children. */
export const commits = (
  repo: string,
  head: string,
  known: ReadonlyArray<string>
): Stream.Stream<Commit, GitFailed, Spawner> => {
  const range = ["--topo-order", "--reverse", head, "--not", ...known, "--"]
  const format = `--format=tformat:${["%H", "%P", "%an", "%ae", "%at", "%s"].join("%x00")}`
  const told = output(repo, [
    "log",
    "-z",
    "--encoding=UTF-8",
    "--no-show-signature",
    "--no-color",
    "-s",
    format,
    ...range
  ])

  // a commit and its first parent a line: git compares the two, for a merge as well; a root with nothing
  const pairs = Stream.unwrap(Effect.map(spawn(repo, ["rev-list", "--parents", ...range]), (git) => git.stdout)).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.mapArray((lines) => [lines.map((line) => `${line.split(" ", 2).join(" ")}\n`).join("")] as const),
    Stream.encodeText
  )
  const compare = ["diff-tree", "--stdin", "-r", "-z", "-M", "--root", "--always", "--raw", "--numstat", "--no-abbrev"]
  const quiet = ["--no-ext-diff", "--no-textconv", "--ignore-submodules=none"]
  const changed = Stream.unwrap(
    Effect.map(
      Effect.context<Spawner>(),
      (context) => output(repo, [...compare, ...quiet], Stream.provideContext(pairs, context))
    )
  )

  return Stream.zipWith(
    parse(told, () => new ToldParser()),
    parse(changed, () => new ChangedParser()),
    (commit, { changes, hash }): Commit => {
      if (commit.hash !== hash) throw new Error(`git log is at ${commit.hash}, git diff-tree at ${hash}`)
      return { ...commit, changes }
    }
  )
}

/** The files of a commit, by escaped path: mode and blob. */
export const files = (repo: string, commit: string): Effect.Effect<Map<string, string>, GitFailed, Spawner> =>
  parse(output(repo, ["ls-tree", "-r", "-z", "--full-tree", commit]), () => new LinesParser()).pipe(
    Stream.runFold(() => new Map<string, string>(), (files, line) => {
      const [, mode, blob, path] = /^(\d+) \w+ (\w+)\t([^]+)$/.exec(line)!
      return files.set(escape(path!), `${mode} ${blob}`)
    })
  )

type Input = Stream.Stream<Uint8Array, PlatformError.PlatformError>

const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")

// a hook that starts us says with these where its own repository is
const elsewhere = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX"]

const spawn = (repo: string, args: ReadonlyArray<string>, stdin: Input | "ignore" = "ignore") =>
  ChildProcess.make("git", ["--no-pager", ...args], {
    cwd: repo,
    env: { ...Object.fromEntries(elsewhere.map((name) => [name, undefined])), LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0" },
    extendEnv: true,
    stdin
  })

/** Turns the fields between NULs into something, as they come. */
interface Parser<A> {
  readonly field: (field: string, into: Array<A>) => void
  readonly end: () => ReadonlyArray<A>
}

const parse = <A, E, R>(text: Stream.Stream<string, E, R>, make: () => Parser<A>): Stream.Stream<A, E, R> =>
  Stream.mapAccumArray(
    text,
    () => ({ rest: "", parser: make() }),
    (state, chunks) => {
      const into: Array<A> = []
      const fields = (state.rest + chunks.join("")).split("\0")
      const rest = fields.pop()!
      for (const field of fields) state.parser.field(field, into)
      return [{ rest, parser: state.parser }, into]
    },
    { onHalt: (state) => state.parser.end() }
  )

class LinesParser implements Parser<string> {
  field(field: string, into: Array<string>) {
    into.push(field)
  }
  end() {
    return []
  }
}

/** Six fields a commit. */
class ToldParser implements Parser<Omit<Commit, "changes">> {
  private fields: Array<string> = []

  field(field: string, into: Array<Omit<Commit, "changes">>) {
    this.fields.push(field)
    if (this.fields.length < 6) return
    const [hash, parents, name, email, time, subject] = this.fields as [string, string, string, string, string, string]
    this.fields = []
    into.push({
      hash,
      parents: parents === "" ? [] : parents.split(" "),
      name: toText(name),
      email: escape(email),
      time: toTime(Number(time)),
      subject: toText(subject)
    })
  }

  end() {
    return []
  }
}

/** A broken clock is no reason to lose a commit. */
const toTime = (seconds: number): number => Number.isSafeInteger(seconds) && Math.abs(seconds) < 8.64e12 ? seconds : 0

/** A commit's hash, then its changes as `:modes blobs status`, path(s), then for each the numbers of lines. */
class ChangedParser implements Parser<{ readonly hash: string; readonly changes: ReadonlyArray<Change> }> {
  private hash: string | undefined
  private changes = new Map<string, Change>()
  private pending: { readonly status: string; readonly mode: string; readonly blob: string; from?: string } | undefined
  /** Numbers of a renamed file: its old and its new path follow. */
  private renamed: { readonly lines: Change["lines"]; left: number } | undefined

  field(field: string, into: Array<{ readonly hash: string; readonly changes: ReadonlyArray<Change> }>) {
    if (this.pending !== undefined) this.path(this.pending, field)
    else if (this.renamed !== undefined) {
      if (--this.renamed.left > 0) return
      this.numbers(field, this.renamed.lines)
      this.renamed = undefined
    } else if (field.startsWith(":")) {
      const [, mode, , blob, status] = field.split(" ") as [string, string, string, string, string]
      this.pending = { status: status[0]!, mode, blob }
    } else if (field.includes("\t")) {
      const [all, added, removed] = /^(\d+|-)\t(\d+|-)\t/.exec(field)!
      const lines = added === "-" ? undefined : { added: Number(added), removed: Number(removed) }
      if (field.length > all.length) this.numbers(field.slice(all.length), lines)
      else this.renamed = { lines, left: 2 }
    } else {
      into.push(...this.end())
      this.hash = field
      this.changes.clear()
    }
  }

  end() {
    return this.hash === undefined ? [] : [{ hash: this.hash, changes: [...this.changes.values()] }]
  }

  private path(pending: NonNullable<typeof this.pending>, path: string) {
    const { blob, mode, status } = pending
    if ((status === "R" || status === "C") && pending.from === undefined) {
      pending.from = path
      return
    }
    const kind = kinds[status] ?? "changed"
    this.changes.set(path, {
      kind,
      path: escape(path),
      from: escape(pending.from ?? path),
      mode,
      blob,
      lines: undefined
    })
    this.pending = undefined
  }

  private numbers(path: string, lines: Change["lines"]) {
    this.changes.set(path, { ...this.changes.get(path)!, lines })
  }
}

const kinds: Record<string, Change["kind"]> = { A: "added", C: "added", D: "deleted", R: "renamed" }
