import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option } from "effect"
import { parseTime, rangeOf } from "../../src/Cli/internal/frame/times.ts"

const now = Date.UTC(2026, 10, 21, 12)
const read = (text: string) => {
  const time = parseTime(text, now)
  return time === undefined ? undefined : DateTime.formatIso(time)
}

describe("times", () => {
  it("reads dates and times of ISO 8601, in UTC where nothing else is said", () => {
    assert.deepStrictEqual(
      ["2026-11-21", "2026-11-21T18:30", "2026-11-21 18:30:05", "2026-11-21T18:30:05.1239Z", "2026-11-21T00:30+01:00"]
        .map(read),
      [
        "2026-11-21T00:00:00.000Z",
        "2026-11-21T18:30:00.000Z",
        "2026-11-21T18:30:05.000Z",
        "2026-11-21T18:30:05.123Z",
        "2026-11-20T23:30:00.000Z"
      ]
    )
  })

  it("reads lengths before now", () => {
    assert.deepStrictEqual(["now", "90s", "15 min", "2h", "1.5 hours", "1d 12h", "3 days", "1 week"].map(read), [
      "2026-11-21T12:00:00.000Z",
      "2026-11-21T11:58:30.000Z",
      "2026-11-21T11:45:00.000Z",
      "2026-11-21T10:00:00.000Z",
      "2026-11-21T10:30:00.000Z",
      "2026-11-20T00:00:00.000Z",
      "2026-11-18T12:00:00.000Z",
      "2026-11-14T12:00:00.000Z"
    ])
  })

  it.effect("refuses a range that holds nothing", () =>
    Effect.gen(function*() {
      const [earlier, later] = [Option.some("2026-11-20"), Option.some("2026-11-21")]
      const range = yield* rangeOf({ since: earlier, until: later })
      assert.isTrue(DateTime.isLessThan(range.since!, range.until!))
      for (const since of [later, Option.some("2026-11-22")]) {
        const refused = yield* Effect.flip(rangeOf({ since, until: later }))
        assert.include(refused.message, "--until 2026-11-21T00:00:00.000Z has to be later than --since")
      }
    }))

  it("refuses what is no time, and days that no calendar has", () => {
    const wrong = [
      "",
      "yesterday",
      "2h ago",
      "3",
      "3 months",
      "2026-02-30",
      "2026-13-01",
      "2026-1-1",
      "2026-11-21T24:30",
      "2026-11-21T10:00+25:00",
      "-2h",
      "99999999999999 weeks"
    ]
    assert.deepStrictEqual(wrong.map(read), wrong.map(() => undefined))
  })
})
