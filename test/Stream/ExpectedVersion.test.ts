import { assert, describe, it } from "@effect/vitest"
import { ExpectedVersion } from "effect-eventstore"

const streams = {
  "without events": { version: 0, exists: false },
  "with three events": { version: 3, exists: true },
  "with three events, of which none can be read": { version: 3, exists: false }
}

const met: Record<keyof typeof streams, ReadonlyArray<ExpectedVersion.ExpectedVersion>> = {
  "without events": ["any", "no-stream", 0],
  "with three events": ["any", "stream-exists", 3],
  "with three events, of which none can be read": ["any", "no-stream", 3]
}

describe("ExpectedVersion.isMetBy", () => {
  for (const what of Object.keys(streams) as Array<keyof typeof streams>) {
    it(`holds for a stream ${what} where the writer expects ${met[what].join(", ")}`, () => {
      const all = ["any", "no-stream", "stream-exists", 0, 2, 3, 4] as const
      assert.deepStrictEqual(all.filter((expected) => ExpectedVersion.isMetBy(expected, streams[what])), met[what])
    })
  }
})
