/**
 * Asks git the same questions that the report answers from the log.
 */
import { Effect } from "effect"
import { escape, toText } from "./escape.ts"
import * as Git from "./git.ts"
import type { Report } from "./report.ts"
import { count } from "./screen.ts"

export interface Check {
  readonly what: string
  readonly ours: string
  readonly command: string
  /** What git says, where it is something else. */
  readonly git: string | undefined
}

export const checkAgainstGit = Effect.fn("checkAgainstGit")(function*(repo: string, head: string, report: Report) {
  const commits = yield* Git.answer(repo, ["rev-list", "--count", head, "--"])
  const checks = [compare("commits", count(report.commits), "git rev-list --count", count(Number(commits)))]

  const authors = yield* authorsOf(repo, head)
  const wrong = [...new Set([...authors.keys(), ...report.authors.keys()])]
    .find((email) => authors.get(email) !== report.authors.get(email)?.commits)
  checks.push(compare(
    report.authors.size === 1 ? "the author of all commits" : "authors and their commits",
    count(report.authors.size),
    "git shortlog -sne",
    count(authors.size) + (wrong === undefined ? "" : `, and ${wrong} with ${authors.get(wrong) ?? 0}`)
  ))

  const [path, touched] = report.hottest[0] ?? [undefined, 0]
  if (path !== undefined && !path.includes("%")) { // a name that is not text cannot be an argument of a command
    const touching = ["rev-list", "--count", "--full-history", "--no-merges", head, "--", `:(top,literal)${path}`]
    const commits = count(Number(yield* Git.answer(repo, touching)))
    checks.push(compare("commits that touch the hottest file", count(touched), "git rev-list -- <path>", commits))
  }

  for (
    const [what, commit, files] of [
      ["files with their contents", head, report.files],
      [`files as of ${report.earlier.commit.slice(0, 7)}`, report.earlier.commit, report.earlier.files]
    ] as const
  ) {
    const theirs = yield* Git.files(repo, commit)
    const odd = [...new Set([...theirs.keys(), ...files.keys()])].find((path) => theirs.get(path) !== files.get(path))
    checks.push(compare(
      what,
      count(files.size),
      "git ls-tree -r",
      count(theirs.size) + (odd === undefined ? "" : `, and ${odd} as ${theirs.get(odd) ?? "nothing"}`)
    ))
  }
  return checks
})

const compare = (what: string, ours: string, command: string, theirs: string): Check => ({
  what,
  ours,
  command,
  git: ours === theirs ? undefined : theirs
})

/** As commits name them: where git's own directory is the work tree, shortlog finds no mailmap that renames anybody. */
const authorsOf = Effect.fnUntraced(function*(repo: string, head: string) {
  const gitDir = toText(yield* Git.answer(repo, ["rev-parse", "--absolute-git-dir"])).trimEnd()
  const options = [`--git-dir=${gitDir}`, `--work-tree=${gitDir}`, "-c", "mailmap.file=", "-c", "mailmap.blob="]
  const shortlog = [...options, "-c", "i18n.logOutputEncoding=UTF-8", "shortlog", "-sne", head, "--"]
  const lines = yield* Git.answer(gitDir, shortlog)
  const authors = new Map<string, number>()
  for (const line of lines.split("\n")) {
    const found = /^\s*(\d+)\t[^<]*<(.*)>$/.exec(line) // a name has no '<' in git
    if (found === null) continue
    const email = escape(found[2]!)
    authors.set(email, (authors.get(email) ?? 0) + Number(found[1]))
  }
  return authors
})
