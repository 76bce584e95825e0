/**
 * Keeps the read model of the demo: lets a projection catch up, builds the next version of it beside the one that is read,
 * goes back and forth between the two, and compares what both say with the report.
 */
import { Console, Effect, Fiber, References, Schedule } from "effect"
import { Projection } from "effect-eventstore"
import { activity, agrees, ask, glance, name } from "./activity.ts"
import type { Report } from "./report.ts"
import { count, counted, faint, heading, makeProgress, seconds, verdict } from "./screen.ts"

/** Says whether everything agrees with the report. */
export const project = Effect.fn("project")(
  function*(head: string, report: Report) {
    const known = yield* Projection.statuses(name)
    const live = known.find(({ isLive }) => isLive)?.version ?? 1
    const next = live + 1
    // left there by a run that was killed
    for (const { isLive, version } of known) if (!isLive) yield* Projection.drop(name, version)

    yield* heading("A read model in SQL, kept by a projection")
    const check = Effect.map(ask(head), (found) => ({ found, holds: agrees(found, report) }))
    const checks = yield* Effect.gen(function*() {
      yield* follow(live, `version ${live}`)
      const old = yield* check
      const isWhole = yield* rebuild(next)
      const fresh = yield* check

      const started = performance.now()
      yield* Projection.rollBack(name)
      const back = yield* check
      yield* Projection.switchTo(name, next)
      yield* Console.log(
        `  back to version ${live}, asked, and forward again in ${seconds(performance.now() - started)}`
      )
      return [{ ...old, holds: isWhole && old.holds && back.holds && back.found.version === live }, fresh]
    }).pipe(Effect.provide(Projection.layer(activity(live))))
    yield* Projection.drop(name, live)

    for (const { found, holds } of checks) {
      const { authors, touched, version } = found
      const files = touched === undefined ? "" : `, ${counted(touched.size, "file")}`
      yield* verdict(holds, `version ${version} agrees with the report`, `${counted(authors.size, "author")}${files}`)
    }
    return checks.every(({ holds }) => holds)
  },
  // what a runner tells is shown here in another way
  Effect.provideService(References.MinimumLogLevel, "Warn")
)

/** Draws how far a version is, until it is live and has everything. */
const follow = Effect.fn("follow")(function*(version: number, what: string) {
  const started = performance.now()
  const first = yield* Projection.status(name, { version })
  const draw = makeProgress(first.head)
  for (let now = first;; now = yield* Projection.status(name, { version })) {
    const { handled, head, isLive, lag, rate } = now
    if (isLive && lag === 0) {
      const took = `${counted(handled - first.handled, "event")} in ${seconds(performance.now() - started)}`
      return yield* draw(head, `${what}  ${faint(took)}`)
    }
    const left = rate > 0 ? `${count(Math.round(rate))} events/s, ${seconds(lag / rate * 1000)} left` : ""
    // not before it is live
    yield* draw(Math.min(head - lag, head - 1), `${what}  lag ${count(lag)}  ${faint(left)}`)
    yield* Effect.sleep("25 millis")
  }
})

/** Builds a version beside the live one, which is asked all the while. */
const rebuild = Effect.fn("rebuild")(function*(version: number) {
  const answers = new Map<number, Set<string>>()
  const counts = new Map<number, number>()
  const asking = glance.pipe(
    Effect.tap(({ rows, version }) =>
      Effect.sync(() => {
        counts.set(version, (counts.get(version) ?? 0) + 1)
        answers.set(version, (answers.get(version) ?? new Set()).add(rows))
      })
    ),
    Effect.repeat({ until: (answer) => answer.version === version, schedule: Schedule.spaced("10 millis") })
  )
  yield* Effect.gen(function*() {
    const asker = yield* Effect.forkChild(asking)
    yield* follow(version, `version ${version}, beside it`)
    yield* Fiber.join(asker)
  }).pipe(Effect.provide(Projection.layer(activity(version))))
  const told = Array.from(
    counts,
    ([version, count]) => `${counted(count, "answer")} by version ${version}`
  ).join(", ")
  yield* Console.log(`  asked all the while: ${told}`)
  // events came from nowhere else meanwhile, so a version has one answer, or it was seen half-way
  for (const [version, different] of answers) {
    if (different.size > 1) yield* verdict(false, `version ${version} was seen half-way`, [...different].join(", "))
  }
  return [...answers.values()].every(({ size }) => size === 1)
})
