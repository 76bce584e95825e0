/**
 * `npm run demo`: stores the history of a git repository as events in an embedded Postgres on disk, folds it into a
 * report, keeps a read model of it with a projection and builds that anew beside the one that is read, starts again from the
 * files, and compares what comes out with what git says.
 *
 *     npm run demo                                  the repository this stands in
 *     npm run demo -- --repo ../other               another one
 *     npm run demo -- --repo ../other --dir ./data  keeps the store: the next run adds only what is new
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Option, Path, Schema } from "effect"
import { EventStore, PgliteEventStore } from "effect-eventstore"
import { Command, Flag } from "effect/cli"
import { agrees, ask } from "./demo/activity.ts"
import { checkAgainstGit } from "./demo/checks.ts"
import { nothing } from "./demo/escape.ts"
import * as Git from "./demo/git.ts"
import { importHistory } from "./demo/importHistory.ts"
import { project } from "./demo/projecting.ts"
import { fileAt, makeReport } from "./demo/report.ts"
import { bold, column, count, counted, faint, heading, makeProgress, seconds, verdict } from "./demo/screen.ts"

/** An end that is no fault of the program: said in one sentence. */
class Stopped extends Schema.TaggedError<Stopped>()("Stopped", { reason: Schema.String }) {}

const repo = Flag.String("repo").pipe(
  Flag.withDescription("A git repository; default: the one this program stands in"),
  Flag.optional
)
const dir = Flag.String("dir").pipe(
  Flag.withDescription("Where the store lives; default: a new temporary directory"),
  Flag.optional
)

const demo = Command.make(
  "demo",
  { repo, dir },
  Effect.fn(
    function*(flags) {
      const path = yield* Path.Path
      // npm starts scripts in the directory of the package: what was typed is meant from where it was typed
      const given = (text: string) => path.resolve(process.env["INIT_CWD"] ?? ".", text)
      const repo = Option.match(flags.repo, { onNone: () => path.resolve(import.meta.dirname, ".."), onSome: given })
      const head = yield* headOf(repo)
      const dir = Option.isSome(flags.dir) ? yield* prepare(given(flags.dir.value)) : yield* makeTemporary

      yield* Console.log(`${bold("history")}  ${repo} at ${head.slice(0, 7)}`)
      yield* Console.log(`${bold("store")}    ${dir} ${faint("(PGlite)")}`)

      const before = yield* withStore(
        dir,
        Effect.gen(function*() {
          yield* importAndTell(repo, head)
          const report = yield* readAndTell(head)
          return { report, isAgreed: yield* project(head, report) }
        })
      )
      const { isKept, report } = yield* withStore(dir, readAgain(head))
      const { digest } = before.report
      const same = digest === report.digest
      yield* verdict(same, "the same result", `${digest}${same ? "" : `, now ${report.digest}`}`)
      yield* verdict(isKept, "the read model as it was left", "")

      yield* heading("Compared with git")
      const checks = yield* checkAgainstGit(repo, head, report)
      for (const { command, git, ours, what } of checks) {
        yield* verdict(git === undefined, what, git === undefined ? ours : `${ours}, git says ${git}`, command)
      }
      if (!same || !before.isAgreed || !isKept || checks.some(({ git }) => git !== undefined)) {
        return yield* new Stopped({ reason: "Something disagrees." })
      }
    },
    Effect.catchTags({
      GitFailed: (error) => Effect.fail(new Stopped({ reason: error.message })),
      UnsupportedDatabase: (error) => Effect.fail(new Stopped({ reason: error.message }))
    })
  )
).pipe(Command.withDescription("Store, read and replay the history of a git repository"))

/** A scope of its own each time: the store is closed and opened again, as by a new process. */
const withStore = <A, E, R>(dir: string, effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, PgliteEventStore.layer({ dataDir: dir }), { local: true })

const importAndTell = Effect.fn(function*(repo: string, head: string) {
  const started = performance.now()
  let draw: ReturnType<typeof makeProgress> | undefined
  const { commits, events, old } = yield* importHistory(repo, head, ({ commits, events, toImport }) => {
    draw ??= makeProgress(toImport)
    const rate = Math.round(events / (performance.now() - started) * 1000)
    return draw(commits, `${count(commits)} of ${count(toImport)} commits  ${faint(`${count(rate)} events/s`)}`)
  })
  const took = performance.now() - started
  yield* heading(
    commits === 0 ? "Nothing new to import" : `Imported ${counted(commits, "commit")}`
  )
  if (commits === 0) return
  yield* Console.log(
    `  ${counted(events, "event")} in ${seconds(took)}, ${count(Math.round(events / took * 1000))} a second; ` +
      `${count(old)} of them in their old shape`
  )
})

const readAndTell = Effect.fn(function*(head: string) {
  const store = yield* EventStore
  const started = performance.now()
  const report = yield* makeReport(head)
  const took = performance.now() - started
  yield* heading("What the log tells")
  yield* Console.log(`  ${count(yield* store.head())} events read and folded in ${seconds(took)}\n`)

  const authors = [...report.authors].sort(([, a], [, b]) => b.commits - a.commits)
  const left = authors.slice(0, 5).map(([email, { commits, name }]) =>
    `${count(commits).padStart(6)}  ${email === nothing ? "(no address)" : name}`
  )
  const right = report.hottest.slice(0, 5).map(([path, changes]) => `${count(changes).padStart(6)}  ${path}`)
  yield* Console.log(faint(`  ${column("commits by author", 40)}changes by file`))
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    yield* Console.log(`  ${column(left[i] ?? "", 38)}  ${column(right[i] ?? "", 46)}`.trimEnd())
  }
  yield* Console.log("")
  const { commit, files } = report.earlier
  const path = report.hottest.find(([path]) => files.has(path))?.[0]
  if (path !== undefined) {
    const { changes, state } = yield* fileAt(path, commit)
    if (state !== files.get(path)) return yield* new Stopped({ reason: `The stream of ${path} and the log disagree.` })
    const blob = state?.split(" ")[1]?.slice(0, 7) ?? ""
    yield* Console.log(
      `  ${name(path)} at commit ${commit.slice(0, 7)}, half-way: blob ${blob} after ${counted(changes, "change")}`
    )
  }
  if (report.renamed.length > 1) {
    yield* Console.log(`  renamed most: ${report.renamed.slice(0, 4).map(name).join(" ← ")}`)
  }
  return report
})

const readAgain = Effect.fn(function*(head: string) {
  const store = yield* EventStore
  const started = performance.now()
  const report = yield* makeReport(head)
  yield* heading("Closed, opened again, replayed")
  yield* Console.log(`  ${count(yield* store.head())} events in ${seconds(performance.now() - started)}`)
  return { report, isKept: agrees(yield* ask(head), report) }
})

const name = (path: string): string => column(path, 40).trimEnd()

const headOf = Effect.fn(function*(repo: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(repo))) return yield* new Stopped({ reason: `There is no directory ${repo}.` })
  yield* Git.answer(repo, ["rev-parse", "--git-dir"]).pipe(
    Effect.mapError(({ said }) =>
      new Stopped({
        reason: said.includes("not a git repository")
          ? `${repo} has no git history. Point at another directory with --repo PATH.`
          : `git cannot read ${repo}: ${said}`
      })
    )
  )
  const head = yield* Git.answer(repo, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).pipe(
    Effect.mapError(() => new Stopped({ reason: `${repo} has no commits yet. Point at another one with --repo PATH.` }))
  )
  if ((yield* Git.answer(repo, ["rev-parse", "--is-shallow-repository"])).trim() === "true") {
    yield* Console.log(
      "This is a shallow clone: older commits are not here, and the report is about the others. " +
        "`git fetch --unshallow` brings them; begin with a new --dir then."
    )
  }
  return head.trim()
})

const makeTemporary = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectory({ prefix: "effect-eventstore-demo-" })
})

/** A directory of something else is none of our business. */
const prepare = Effect.fn(function*(dir: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(dir, { recursive: true })
  const names = yield* fs.readDirectory(dir)
  if (names.some((name) => !name.startsWith("pglite") && !name.startsWith("eventstore.lock"))) {
    return yield* new Stopped({ reason: `${dir} is neither empty nor a store. Choose another --dir.` })
  }
  return dir
})

demo.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.catchTag("Stopped", ({ reason }) =>
    Effect.andThen(
      Console.error(`\n${reason}`),
      Effect.sync(() => {
        process.exitCode = 1
      })
    )),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
