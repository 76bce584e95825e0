import { assert } from "@effect/vitest"
import { Effect, Ref, Stream } from "effect"
import type { ReadOptions } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { collect, equal, fails, freshStream, has, notes, type Rules, someNotes, texts } from "./rule.ts"

export const readRules: Rules = (rule) => {
  rule("reads what was appended, with its place and type", function*(store) {
    const stream = freshStream()
    const { position } = yield* store.append(stream, notes("a"))
    const recorded = yield* collect(store.read(stream))
    equal(recorded.length, 1)
    has(recorded[0]!, {
      type: "Noted",
      schemaVersion: 1,
      streamId: stream.streamId,
      streamVersion: 1,
      position,
      part: 0,
      tags: []
    })
    equal(recorded[0]!.event, notes("a")[0])
    assert.strictEqual(recorded[0]!.event.constructor, notes("a")[0]!.constructor)
  })

  rule("reads a stream that does not exist as empty", function*(store) {
    equal(yield* texts(store, freshStream()), [])
    equal(yield* texts(store, freshStream(), { direction: "backward" }), [])
  })

  // a stream of the notes "1" to "9"
  const ranges: ReadonlyArray<[string, ReadOptions, ReadonlyArray<number>]> = [
    ["forward from the start where nothing is asked", {}, [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["backward from the end", { direction: "backward" }, [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    ["forward from a version on, which is included", { from: 7 }, [7, 8, 9]],
    ["backward from a version on, which is included", { direction: "backward", from: 3 }, [3, 2, 1]],
    ["forward up to a version, which is included", { to: 3 }, [1, 2, 3]],
    ["backward down to a version, which is included", { direction: "backward", to: 7 }, [9, 8, 7]],
    ["one version alone, forward", { from: 4, to: 4 }, [4]],
    ["one version alone, backward", { direction: "backward", from: 4, to: 4 }, [4]],
    ["a middle part forward", { from: 4, to: 6 }, [4, 5, 6]],
    ["a middle part backward", { direction: "backward", from: 6, to: 4 }, [6, 5, 4]],
    ["at most as many events as the limit, forward", { limit: 2 }, [1, 2]],
    ["at most as many events as the limit, backward", { direction: "backward", limit: 2 }, [9, 8]],
    ["no more than there is where the limit is higher", { from: 8, limit: 100 }, [8, 9]],
    ["no further than the end where the limit reaches it", { from: 8, limit: 2 }, [8, 9]],
    ["as far as the nearer one of limit and end of range", { from: 2, to: 7, limit: 3 }, [2, 3, 4]],
    ["as far as the end of range where the limit lies behind it", { from: 2, to: 3, limit: 3 }, [2, 3]],
    ["nothing at limit 0", { limit: 0 }, []],
    ["nothing at limit 0, backward", { direction: "backward", limit: 0 }, []],
    ["nothing from beyond the end, forward", { from: 10 }, []],
    ["everything from beyond the end, backward", { direction: "backward", from: 99, limit: 2 }, [9, 8]],
    ["nothing where the range is upside down, forward", { from: 5, to: 4 }, []],
    ["nothing where the range is upside down, backward", { direction: "backward", from: 4, to: 5 }, []],
    ["from version 0 as from 1", { from: 0, limit: 1 }, [1]],
    ["nothing backward from version 0", { direction: "backward", from: 0 }, []],
    ["up to the greatest number there is", { from: 9, to: Number.MAX_SAFE_INTEGER }, [9]]
  ]
  for (const [what, options, expected] of ranges) {
    rule(`reads ${what}`, function*(store) {
      const stream = freshStream()
      yield* store.append(stream, someNotes(9))
      equal(yield* texts(store, stream, options), expected.map(String))
    })
  }

  rule("reads a long stream whole, whatever its pages are", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(4500))
    const all = someNotes(4500).map(({ text }) => text)
    equal(yield* texts(store, stream), all)
    equal(yield* texts(store, stream, { direction: "backward" }), [...all].reverse())
    equal(yield* texts(store, stream, { from: 150, to: 4400, limit: 3000 }), all.slice(149, 3149))
    equal(
      yield* texts(store, stream, { direction: "backward", from: 4400, limit: 2500 }),
      [...all].reverse().slice(100, 2600)
    )
  })

  for (const length of [199, 200, 201, 1000, 1001]) {
    rule(`reads a stream of ${length} events once and whole`, function*(store) {
      const stream = freshStream()
      yield* store.append(stream, someNotes(length))
      equal((yield* texts(store, stream)).length, length)
      equal((yield* texts(store, stream, { direction: "backward", limit: length })).length, length)
      equal((yield* texts(store, stream, { limit: length - 1 })).length, length - 1)
    })
  }

  rule("reads events of 300 KiB whole", function*(store) {
    const stream = freshStream()
    const big = Array.from({ length: 12 }, (_, i) => String(i).repeat(300 * 1024))
    for (const text of big) yield* store.append(stream, notes(text))
    const read = yield* texts(store, stream)
    assert.isTrue(read.length === 12 && read.every((text, i) => text === big[i]))
    const backward = yield* texts(store, stream, { direction: "backward", limit: 2 })
    assert.isTrue(backward[0] === big[11] && backward[1] === big[10])
  })

  rule("reads small events among large ones in their order", function*(store) {
    const stream = freshStream()
    const sizes = Array.from({ length: 60 }, (_, i) => i % 7 === 0 ? 100_000 : i)
    yield* Effect.forEach(sizes, (size) => store.append(stream, notes("x".repeat(size))))
    equal((yield* texts(store, stream)).map((text) => text.length), sizes)
  })

  rule("reads again from the start each time a read is run", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a"))
    const read = store.read(stream)
    equal((yield* collect(read)).length, 1)
    yield* store.append(stream, notes("b"))
    equal((yield* collect(read)).length, 2)
  })

  rule("reads no further than its reader asks", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(3000))
    const pulled = yield* Ref.make(0)
    const first = yield* store.read(stream).pipe(
      Stream.tap(() => Ref.update(pulled, (n) => n + 1)),
      Stream.take(5),
      Stream.map(({ streamVersion }): number => streamVersion),
      collect
    )
    equal(first, [1, 2, 3, 4, 5])
    assert.isBelow(yield* Ref.get(pulled), 3000)
  })

  rule("lets a reader append to the stream that it reads", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(3))
    yield* Stream.runForEach(store.read(stream, { limit: 3 }), ({ event }) => store.append(stream, [event]))
    equal(yield* texts(store, stream), ["1", "2", "3", "1", "2", "3"])
  })

  rule("reads a stream by its name alone, events as they are stored", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, notes("a"))
    const [recorded] = yield* collect(store.read(Category.rawStream(stream.streamId)))
    has(recorded!.event, { _tag: "RawEvent", type: "Noted", schemaVersion: 1 })
    equal(recorded!.event.data, { text: "a" })
  })

  const bad: ReadonlyArray<[string, object, string]> = [
    ["from a negative version", { from: -1 }, "from"],
    ["from half a version", { from: 1.5 }, "from"],
    ["from a version that is not a number", { from: NaN }, "from"],
    ["up to minus infinity", { to: -Infinity }, "to"],
    ["up to a version beyond 2^53", { to: 2 ** 53 }, "to"],
    ["with a negative limit", { limit: -1 }, "limit"],
    ["with a limit that is a text", { limit: "1" }, "limit"],
    ["in a direction that does not exist", { direction: "sideways" }, "direction"]
  ]
  for (const [what, options, field] of bad) {
    rule(`refuses to read ${what}`, function*(store) {
      const stream = freshStream()
      equal((yield* fails(collect(store.read(stream, options)), "InvalidInput")).field, field)
      equal((yield* fails(collect(store.readAll(options)), "InvalidInput")).field, field)
    })
  }

  rule("refuses to read a stream whose name is not one", function*(store) {
    equal((yield* fails(collect(store.read(Category.rawStream("nohyphen"))), "InvalidInput")).field, "stream")
  })
}
