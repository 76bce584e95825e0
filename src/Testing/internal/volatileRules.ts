import { assert } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as Category from "../../Stream/Category.ts"
import {
  collect,
  equal,
  fails,
  freshCategory,
  freshName,
  freshStream,
  Noted,
  notes,
  type Rules,
  someNotes,
  textOf,
  together
} from "./rule.ts"
import { gather, logAfter, saw, volatile } from "./subscribing.ts"

export const volatileRules: Rules = (rule) => {
  rule("hands out what is stored once it is established, and nothing from before", function*(store) {
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("before"))
    const seen = yield* gather(yield* volatile(store, category))
    yield* store.append(category.stream("1"), notes("a"))
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(category.stream("2"), notes("b", "c"))
    yield* seen.until(3)
    equal(seen.all.map(({ event }) => textOf(event)), ["a", "b", "c"])
    saw(seen.all, (yield* collect(store.readCategory(category))).slice(1))
  })

  rule("skips nothing, however late it is run", function*(store) {
    const category = freshCategory()
    const start = yield* store.head()
    const [events, all] = [yield* volatile(store, category), yield* volatile(store, Category.raw)]
    // more than is at hand for those who keep up
    for (let i = 0; i < 10; i++) yield* store.append(category.stream(String(i % 3)), someNotes(1000))
    const seen = [yield* gather(events), yield* gather(all)] as const
    yield* store.append(category.stream("1"), notes("last"))
    yield* Effect.all([seen[0].until(10_001), seen[1].until(10_001)])
    saw(seen[0].all, yield* collect(store.readCategory(category)))
    saw(seen[1].all, yield* logAfter(store, start))
  })

  rule("can be run more than once: each run begins where it was established", function*(store) {
    const category = freshCategory()
    const events = yield* volatile(store, category)
    yield* store.append(category.stream("1"), notes("a", "b", "c"))
    const texts = (count: number) =>
      Effect.map(collect(Stream.take(events, count)), (recorded) => recorded.map(({ event }) => textOf(event)))
    equal(yield* texts(1), ["a"])
    equal(yield* texts(3), ["a", "b", "c"])
    const both = yield* Effect.forkChild(Effect.all([texts(4), texts(5)], { concurrency: 2 }))
    yield* store.append(category.stream("1"), notes("d"))
    yield* store.append(category.stream("1"), notes("e"))
    equal(yield* Fiber.join(both), [["a", "b", "c", "d"], ["a", "b", "c", "d", "e"]])
  })

  rule("sees every append that began after it was established, while many write", function*(store) {
    const category = freshCategory()
    yield* together(8, (writer) =>
      Effect.scoped(Effect.gen(function*() {
        const stream = category.stream(String(writer))
        for (let i = 0; i < 10; i++) {
          const [own, all] = [yield* volatile(store, stream), yield* volatile(store, category)]
          const { position, version } = yield* store.append(stream, notes(`${writer}/${i}`))
          const [first] = yield* collect(Stream.take(own, 1))
          equal([first!.streamVersion, first!.position], [version, position])
          const seen = yield* collect(Stream.takeUntil(all, (event) => event.position === position))
          const stored = yield* collect(store.readCategory(category, { to: position }))
          saw(seen, stored.slice(-seen.length))
        }
      })))
  })

  rule("follows streams, one, several or all categories, with any filter", function*(store) {
    const [a, b, tag] = [freshCategory(), freshCategory(), freshName()]
    const one = yield* gather(yield* volatile(store, a.stream("1")))
    const several = yield* gather(yield* volatile(store, [a, b]))
    const tagged = yield* gather(yield* volatile(store, Category.raw, { tags: [tag] }))
    const typed = yield* gather(yield* volatile(store, a, { types: ["Counted"] }))
    const prefixed = yield* gather(yield* volatile(store, b, { streamPrefix: `${b.name}-x` }))
    const taggedOne = yield* gather(yield* volatile(store, a.stream("1"), { tags: [tag] }))
    for (const category of [a, b]) {
      for (const id of ["1", "x1"]) yield* store.append(category.stream(id), notes(`${id}`))
      yield* store.append(category.stream("1"), [EventData.make(new Noted({ text: "vip" }), { tags: [tag] })])
    }
    yield* Effect.all([several.until(6), tagged.until(2), one.until(2), prefixed.until(1), taggedOne.until(1)])
    const texts = (events: ReadonlyArray<{ readonly event: Noted | Parameters<typeof textOf>[0] }>) =>
      events.map(({ event }) => textOf(event))
    equal(texts(one.all), ["1", "vip"])
    equal(texts(several.all), ["1", "x1", "vip", "1", "x1", "vip"])
    equal(tagged.all.map(({ streamId }) => streamId), [a.stream("1").streamId, b.stream("1").streamId])
    equal(typed.all, [])
    equal(texts(prefixed.all), ["x1"])
    equal(texts(taggedOne.all), ["vip"])
  })

  rule("waits for a stream that does not exist yet, and goes on with one that is recreated", function*(store) {
    const [fresh, deleted] = [freshStream(), freshStream()]
    yield* store.append(deleted, someNotes(2))
    yield* store.delete(deleted)
    const seen = [yield* gather(yield* volatile(store, fresh)), yield* gather(yield* volatile(store, deleted))]
    yield* store.append(fresh, notes("a"))
    yield* store.append(deleted, notes("b"))
    yield* Effect.all(seen.map(({ until }) => until(1)))
    equal(seen.map(({ all }) => all.map(({ streamVersion }) => streamVersion)), [[1], [3]])
  })

  rule("refuses when it is established what cannot be followed", function*(store) {
    const stream = freshStream()
    yield* store.append(stream, someNotes(1))
    yield* store.tombstone(stream)
    yield* fails(volatile(store, stream), "StreamTombstoned")
    equal((yield* fails(volatile(store, Category.rawStream("no")), "InvalidInput")).field, "stream")
    equal((yield* fails(volatile(store, Category.raw, { types: ["\0"] }), "InvalidInput")).field, "types")
  })

  rule("is released with its scope", function*(store) {
    const scope = yield* Scope.make()
    const category = freshCategory()
    yield* store.append(category.stream("1"), notes("a"))
    equal(store.tail.position(), 0)
    const events = yield* Scope.provide(volatile(store, category), scope)
    assert.isAbove(store.tail.position(), 0)
    yield* store.append(category.stream("1"), notes("b"))
    yield* collect(Stream.take(events, 1))
    yield* Scope.close(scope, Exit.void)
    equal(store.tail.position(), 0)
  })
}
