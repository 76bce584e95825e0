import { Effect, type Option, Stream } from "effect"
import type { StoreError } from "../../../Store/StoreError.ts"
import type { About, CheckName, Finding, Step, Summary } from "../../Verification.ts"
import type { LogTables } from "../frame/logSql.ts"
import { inOneLine } from "../frame/table.ts"
import type { LogState } from "./verifySql.ts"

/** What the checks of one verification share. */
export interface Verifying {
  readonly tables: LogTables
  /** The log as it was when the verification began: what came later is nobody's business here. */
  readonly log: LogState
}

/** What a finding says besides the check that made it. */
export type Told = Omit<Finding, "check">

/** Makes a finding; what is `undefined` is left out. */
export const tell = (
  kind: Finding["kind"],
  about: { readonly [K in keyof About]: About[K] | undefined },
  message: string,
  values?: Pick<Told, "expected" | "actual">
): Told => ({
  kind,
  about: Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined)),
  message: inOneLine(message),
  ...values
})

/** Counts what a check looks at and passes over. */
export class Tally {
  looked = 0
  found = 0
  private readonly skipped = new Map<string, number>()

  /** Something was passed over. Reasons may come from the log, so there is a limit to how many are kept apart. */
  skip(reason: string, count = 1): void {
    const known = this.skipped.has(reason) || this.skipped.size < mostReasons ? reason : "other reasons"
    this.skipped.set(known, (this.skipped.get(known) ?? 0) + count)
  }

  summary(check: CheckName): Summary {
    return {
      check,
      looked: this.looked,
      found: this.found,
      skipped: Array.from(this.skipped, ([reason, count]) => ({ reason, count }))
    }
  }
}

const mostReasons = 50

/** What a page of a check led to, how far it is of how much, and where the next page begins. */
export interface Page<S> {
  readonly found: ReadonlyArray<Told>
  readonly done: number
  readonly total?: number | undefined
  readonly next: Option.Option<S>
}

/** A check that walks something page by page, with one page in memory. */
export const walk = <S, E, R>(
  check: CheckName,
  tally: Tally,
  first: S,
  page: (place: S) => Effect.Effect<Page<S>, E, R>
): Stream.Stream<Step, E, R> =>
  Stream.paginate<S, Step, E, R>(first, (place) =>
    Effect.map(page(place), ({ done, found, next, total }) => {
      tally.found += found.length
      return [
        [
          ...found.map((told): Step => ({ _tag: "Found", finding: { check, ...told } })),
          { _tag: "Progress", check, done, total: total ?? null }
        ],
        next
      ] as const
    }))

/** A check from its beginning to its summary. */
export const checking = <E, R>(
  check: CheckName,
  steps: (tally: Tally) => Stream.Stream<Step, E, R>
): Stream.Stream<Step, E, R> =>
  Stream.suspend(() => {
    const tally = new Tally()
    return Stream.concat(
      steps(tally),
      Stream.sync((): Step => ({ _tag: "Checked", summary: tally.summary(check) }))
    )
  })

/** What a check needs that walks the tables of a log. */
export type LogCheck<R = never> = (verifying: Verifying, tally: Tally) => Stream.Stream<Step, StoreError, R>

/** `1 event`, `2 events`. */
export const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`
