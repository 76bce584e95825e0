/** Patterns are what a naive specification over all events of a key says, and what their types say. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect } from "effect"
import { Pattern, type Recorded } from "effect-eventstore"
import {
  type A,
  type B,
  type C,
  type Letter,
  Letters,
  make,
  matchesOf,
  patternOf,
  Program,
  recorded,
  recordedOf
} from "../support/patterns.ts"

describe("patterns", () => {
  it.effect("are found as a naive specification finds them", () =>
    Effect.gen(function*() {
      let found = 0
      const isAsSpecified = (program: Program) => {
        const matches = Pattern.find(patternOf(program), recordedOf(program), program)
        found += matches.length
        assert.deepStrictEqual(
          matches.map(({ events }) => events.map(({ position }) => position - 1)),
          matchesOf(program) as any
        )
        const counts = [1, ...program.follows.map(({ times }) => times)]
        for (const { steps } of matches) {
          assert.deepStrictEqual((steps as Pattern.Steps).map(({ length }) => length), counts)
        }
        return true
      }
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Program),
        (program) => Effect.sandbox(Effect.sync(() => isAsSpecified(program))),
        { runs: 5000, size: 40 }
      )
      const failure = Arbitrary.formatCheckFailure(result)
      if (failure !== undefined) assert.fail(failure)
      assert.isAbove(found, 1000)
    }))

  /** "a1 b2+60": an A with 1, and a minute later a B with 2. */
  const lettersOf = (text: string) => {
    let millis = 0
    return text.split(" ").map((word, i) => {
      const [, letter, n, seconds] = /^([abc])(\d)([+-]\d+)?$/.exec(word)!
      millis += Number(seconds ?? 0) * 1000
      return recorded(make[letter!.toUpperCase() as "A" | "B" | "C"](Number(n)), i + 1, millis)
    })
  }
  const found = <S extends Pattern.Steps>(pattern: Pattern.Pattern<typeof Letters, S>, text: string) =>
    Pattern.find(pattern, lettersOf(text)).map(({ events }) => events.map(({ position }) => position).join(" "))

  it("begin a match with each event that fits, and go on with the first one that does", () => {
    const pattern = Pattern.start(Letters, "A").followedBy("B").followedBy("C")
    assert.deepStrictEqual(found(pattern, "a0 a0 b0 b0 c0 c0"), ["1 3 5", "2 3 5"])
    assert.deepStrictEqual(found(pattern, "c0 b0 a0"), [])
    // an event follows those before it, and not itself
    assert.deepStrictEqual(found(Pattern.start(Letters, "A").followedBy("A"), "a0 a0 a0"), ["1 2", "2 3"])
  })

  it("take the time from the end of the step before, and both ends for in time", () => {
    const pattern = Pattern.start(Letters, "A").followedBy("B", { within: "5 minutes", times: 2 })
    assert.deepStrictEqual(found(pattern, "a0 b0+100 b0+200"), ["1 2 3"])
    assert.deepStrictEqual(found(pattern, "a0 b0+100 b0+201"), [])
    assert.deepStrictEqual(found(Pattern.start(Letters, "A").followedBy("B", { within: 0 }), "a0 b0 a0 b0+1"), ["1 2"])
  })

  it("let time stand still while a clock is back, until it is where it was", () => {
    const pattern = Pattern.start(Letters, "A").followedBy("B", { within: "1 minute" })
    assert.deepStrictEqual(found(pattern, "a0 b0-3600"), ["1 2"])
    assert.deepStrictEqual(found(pattern, "a0 c0-3600 b0+3660"), ["1 3"])
    assert.deepStrictEqual(found(pattern, "a0 c0-3600 b0+3661"), [])
    // one event from the future is enough to be too late
    assert.deepStrictEqual(found(pattern, "a0 c0+61 b0-61"), [])
  })

  it("are off where something comes that rules them out, unless it is what they wait for", () => {
    const pattern = Pattern.start(Letters, "A").followedBy("B").followedBy("B").without("C")
    assert.deepStrictEqual(found(pattern, "a0 c0 b0 b0"), ["1 3 4"])
    assert.deepStrictEqual(found(pattern, "a0 b0 c0 b0"), [])
    const either = Pattern.start(Letters, "A").followedBy("B", { where: ({ event }) => event.n === 1 }).without("B")
    assert.deepStrictEqual(found(either, "a0 b1"), ["1 2"])
    assert.deepStrictEqual(found(either, "a0 b0 b1"), [])
  })

  it("ask of an event what went before it, in other steps and in its own", () => {
    const growing = Pattern.start(Letters, "A").followedBy("B", {
      times: 3,
      where: ({ event }, [[first]], soFar) => event.n > (soFar.at(-1)?.event.n ?? first.event.n)
    }).without("C", { where: ({ event }, [[first]]) => event.n === first.event.n })
    assert.deepStrictEqual(found(growing, "a1 b1 b2 c2 b1 b4 b3 b9"), ["1 3 6 8"])
    assert.deepStrictEqual(found(growing, "a1 b2 c1 b4 b9"), [])
    const any = Pattern.start(Letters, ({ event }) => event.n === 0).followedBy(
      ({ event }, [[first]]) => event._tag === first.event._tag
    ).without(({ event }) => event.n === 9)
    assert.deepStrictEqual(found(any, "a0 b0 b1 a1 c0 a9 c1"), ["2 3", "1 4"])
  })

  it("give up the oldest match in the making where there are too many", () => {
    const pattern = Pattern.start(Letters, "A").followedBy("B")
    const positions = (inFlight: number) =>
      Pattern.find(pattern, lettersOf("a0 a0 a0 b0"), { inFlight }).map(({ steps: [[first]] }) => first.position)
    assert.deepStrictEqual(positions(2), [2, 3] as any)
    assert.deepStrictEqual(positions(3), [1, 2, 3] as any)
    assert.strictEqual(Pattern.find(pattern, lettersOf(`${"a0 ".repeat(150)}b0`)).length, 100)
  })

  it("are refused where they are none", () => {
    const start = Pattern.start(Letters, "A")
    assert.throws(() => start.followedBy("B", { within: "soon" as any }), "within is soon, which is no time")
    assert.throws(() => start.followedBy("B", { within: -1 }), "within is -1, which is no time")
    assert.throws(() => start.followedBy("B", { times: 0 }), "times is 0, which is not a whole number from 1")
    assert.throws(() => start.followedBy(7 as any), "a tag or a function")
    assert.throws(() => Pattern.start("A" as any, "B" as any), "begins with a category")
  })
})

// what the types say
export const types = () => {
  const start = Pattern.start([Letters], "A", { where: ({ event }) => event satisfies A && event.n > 0 })
  // @ts-expect-error there is no D
  Pattern.start(Letters, "D")
  // @ts-expect-error there is no D
  start.followedBy("D")
  // @ts-expect-error nothing stands between the first event and what is before it
  void start.without
  const pattern = start
    .followedBy("B", { times: 2, where: ({ event }, [[a]], bs) => event.n > a.event.n + bs.length })
    .followedBy(({ event }, [[a], [b]]) => event.n > (a.event satisfies A).n + (b.event satisfies B).n)
    .without("C", { where: ({ event }, [[a], bs]) => (event satisfies C).n > (a.event satisfies A).n + bs.length })
  for (const { events, steps: [[a], bs, [last]] } of Pattern.find(pattern, [])) {
    a satisfies Recorded.Recorded<A>
    bs satisfies readonly [Recorded.Recorded<B>, ...ReadonlyArray<Recorded.Recorded<B>>]
    last satisfies Recorded.Recorded<Letter>
    events satisfies ReadonlyArray<Recorded.Recorded<Letter>>
  }
}
