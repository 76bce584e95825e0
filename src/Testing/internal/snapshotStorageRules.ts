import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import * as EventId from "../../Event/EventId.ts"
import type { NewSnapshot } from "../../Store/SnapshotStorage.ts"
import { equal, fails, freshName, freshStream, has, notes, type Rules, skip, someNotes, together } from "./rule.ts"
import { makeSnapshots, saidOf, stateOf, whole } from "./snapshotting.ts"

/** The seam below snapshots: what is kept, and what counts. */
export const snapshotStorageRules: Rules = (rule) => {
  rule("answers the events of a stream that has no snapshot", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    equal(yield* snapshots.load(), { at: null, isStale: false, texts: ["1", "2", "3"] })
    const nobody = yield* makeSnapshots(store)
    equal(yield* nobody.load(), { at: null, isStale: false, texts: [] })
  })

  rule("answers a snapshot as it was saved, and the events behind it", function*(store) {
    const snapshots = yield* makeSnapshots(store, 5)
    // word for word, also what a number in between would lose
    const state = "{ \"texts\":[\"1\",\"\u{e9}\u{1f600}\"],  \"none\":null,\"none\":1,\"big\":12345678901234567890.10 }"
    const snapshot = yield* snapshots.at(3, { state, schemaVersion: 7 })
    equal(yield* store.storage.snapshots.save(snapshot), true)
    const { isStale, page, snapshot: stored, truncatedBefore } = yield* snapshots.loaded
    const { savedAt, ...rest } = stored!
    equal(rest, { ...snapshot, bytes: new TextEncoder().encode(state).length })
    assert.isAbove(savedAt, 0)
    equal([isStale, truncatedBefore, page.more], [false, 0, false])
    equal(page.events.map(({ streamVersion }) => streamVersion), [4, 5])
    const [read] = yield* Effect.map(
      store.storage.streamPage(snapshots.streamId, {
        ...whole,
        direction: "forward",
        from: 4
      }),
      ({ events }) => events
    )
    equal(page.events[0], read)
  })

  rule("answers no event where the snapshot is at the end", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    yield* snapshots.save()
    equal(yield* snapshots.load(), { at: 3, isStale: false, texts: [] })
    yield* store.append(snapshots.stream, notes("4"))
    equal(yield* snapshots.load(), { at: 3, isStale: false, texts: ["4"] })
  })

  rule("keeps several names of one stream apart, and several streams of one name", function*(store) {
    const { snapshots } = store.storage
    const [one, two] = [yield* makeSnapshots(store, 3), yield* makeSnapshots(store, 3)]
    const other = freshName()
    yield* one.save(1)
    yield* one.save(2, { name: other, state: "\"other\"" })
    yield* two.save(3, { name: one.name })
    equal((yield* one.load()).at, 1)
    equal((yield* snapshots.load(one.streamId, other, whole)).snapshot!.state, "\"other\"")
    equal((yield* snapshots.load(two.streamId, one.name, whole)).snapshot!.streamVersion, 3)
    equal((yield* two.load()).at, null)
  })

  rule("answers pages of so many events, and of so many bytes", function*(store) {
    const snapshots = yield* makeSnapshots(store, 10)
    yield* snapshots.save(2)
    equal(yield* snapshots.load({ limit: 3 }), { at: 2, isStale: false, texts: ["3", "4", "5"] })
    equal(yield* snapshots.load({ limit: 3, to: 4 }), { at: 2, isStale: false, texts: ["3", "4"] })
    const { page } = yield* store.storage.snapshots.load(snapshots.streamId, snapshots.name, { ...whole, limit: 3 })
    equal(page.more, true)
    const large = yield* makeSnapshots(store)
    // what is large is fetched by itself, and a page ends behind it
    const text = Array.from({ length: 9000 }, (_, i) => (i * 7919).toString(36)).join("")
    yield* store.append(large.stream, notes("first", text, `${text}2`, `${text}3`))
    yield* large.save(1)
    const loaded = yield* store.storage.snapshots.load(large.streamId, large.name, { ...whole, bytes: text.length })
    assert.isAtLeast(loaded.page.events.length, 1)
    equal(JSON.parse(loaded.page.events[0]!.data), { text })
    if (loaded.page.events.length < 3) equal(loaded.page.more, true)
  })

  rule("does not use a snapshot beyond the version that is asked for", function*(store) {
    const snapshots = yield* makeSnapshots(store, 5)
    yield* snapshots.save(4)
    equal(yield* snapshots.load({ to: 3 }), { at: null, isStale: false, texts: ["1", "2", "3"] })
    equal(yield* snapshots.load({ to: 4 }), { at: 4, isStale: false, texts: [] })
  })

  rule("keeps the newest, and never puts an older one in its place", function*(store) {
    const snapshots = yield* makeSnapshots(store, 5)
    const older = yield* snapshots.at(2)
    equal(yield* snapshots.save(4), true)
    equal(yield* store.storage.snapshots.save(older), false)
    equal((yield* snapshots.load()).at, 4)
    equal(yield* snapshots.save(5), true)
    equal((yield* snapshots.load()).at, 5)
  })

  rule("replaces one of the same version, unless that has a newer shape", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    yield* snapshots.save(3, { schemaVersion: 2, state: "\"broken\"" })
    equal(yield* snapshots.save(3, { schemaVersion: 2, state: "\"mended\"" }), true)
    equal(yield* snapshots.save(3, { schemaVersion: 1, state: "\"old\"" }), false)
    has((yield* snapshots.loaded).snapshot!, { schemaVersion: 2, state: "\"mended\"" })
    equal(yield* snapshots.save(3, { schemaVersion: 3, state: "\"new\"" }), true)
    has((yield* snapshots.loaded).snapshot!, { schemaVersion: 3, state: "\"new\"" })
    equal(yield* snapshots.save(2, { schemaVersion: 9 }), false)
  })

  rule("refuses what does not hold when it is saved", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    const right = yield* snapshots.at(3)
    const wrong: ReadonlyArray<Partial<NewSnapshot>> = [
      { streamVersion: 4 },
      { streamVersion: 2 },
      { streamVersion: 0 },
      { eventId: yield* EventId.make },
      { position: right.position + 1 },
      { truncatedBefore: 2 },
      { streamId: freshStream().streamId }
    ]
    for (const part of wrong) equal(yield* store.storage.snapshots.save({ ...right, ...part }), false)
    equal(yield* snapshots.list, [])
    equal(yield* store.storage.snapshots.save({ ...right, truncatedBefore: 1 }), true)
  })

  rule("keeps the newest of those that many save at the same time", function*(store) {
    for (let round = 0; round < 5; round++) {
      const snapshots = yield* makeSnapshots(store, 24)
      const all = yield* Effect.forEach(Array.from({ length: 24 }, (_, i) => i + 1), (version) => snapshots.at(version))
      const mixed = all.map((_, i) => all[(i * 7 + round) % 24]!)
      const answers = yield* together(24, (i) => store.storage.snapshots.save(mixed[i]!))
      equal(answers[mixed.findIndex(({ streamVersion }) => streamVersion === 24)], true)
      const { snapshot } = yield* snapshots.loaded
      equal([snapshot!.streamVersion, snapshot!.state], [24, all[23]!.state])
    }
  })

  rule("keeps the newest while others append and save what they see", function*(store) {
    const snapshots = yield* makeSnapshots(store, 1)
    let newest = 0
    yield* together(8, () =>
      Effect.gen(function*() {
        for (let i = 0; i < 8; i++) {
          yield* store.append(snapshots.stream, notes("more"))
          const snapshot = yield* snapshots.at()
          if (yield* store.storage.snapshots.save(snapshot)) newest = Math.max(newest, snapshot.streamVersion)
          const loaded = yield* snapshots.loaded
          assert.isAtLeast(loaded.snapshot!.streamVersion, snapshot.streamVersion)
          const { texts } = yield* snapshots.fold(loaded.snapshot!.streamVersion)
          equal(loaded.snapshot!.state, stateOf(texts))
        }
      }))
    equal((yield* snapshots.loaded).snapshot!.streamVersion, newest)
    equal(newest, 65)
  })

  rule("does not answer a snapshot of a stream that was truncated since, and keeps another one", function*(store) {
    const snapshots = yield* makeSnapshots(store, 5)
    yield* snapshots.save(4)
    yield* store.truncateBefore(snapshots.stream, 3)
    equal(yield* snapshots.load(), { at: null, isStale: true, texts: ["3", "4", "5"] })
    // older than the one that is there, but that does not hold
    equal(yield* snapshots.save(3), true)
    equal(yield* snapshots.load(), { at: 3, isStale: false, texts: ["4", "5"] })
    const { snapshot } = yield* snapshots.loaded
    equal(snapshot!.state, stateOf(["3"]))
  })

  rule("answers a snapshot where a truncation hid nothing", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    yield* snapshots.save(2)
    yield* store.truncateBefore(snapshots.stream, 1)
    equal(yield* snapshots.load(), { at: 2, isStale: false, texts: ["3"] })
    yield* store.truncateBefore(snapshots.stream, 0)
    yield* store.setMetadata(snapshots.stream, { note: "nothing about events" })
    equal(yield* snapshots.load(), { at: 2, isStale: false, texts: ["3"] })
  })

  rule(
    "does not answer a snapshot of a stream that was deleted since, nor of one that was recreated",
    function*(store) {
      const snapshots = yield* makeSnapshots(store, 3)
      yield* snapshots.save(3)
      yield* store.delete(snapshots.stream)
      equal(yield* snapshots.load(), { at: null, isStale: true, texts: [] })
      yield* store.append(snapshots.stream, notes("again"), { expected: "no-stream" })
      equal(yield* snapshots.load(), { at: null, isStale: true, texts: ["again"] })
      equal(yield* snapshots.save(), true)
      const loaded = yield* snapshots.loaded
      has(loaded.snapshot!, { streamVersion: 4, truncatedBefore: 4, state: stateOf(["again"]) })
      equal(loaded.truncatedBefore, 4)
      // what hides the same hides nothing more
      yield* store.truncateBefore(snapshots.stream, 2)
      equal((yield* snapshots.load()).at, 4)
    }
  )

  rule("fails on a tombstoned stream, and keeps no snapshot of it", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    yield* snapshots.save(2)
    const later = yield* snapshots.at(3)
    const { mark } = yield* snapshots.fold()
    yield* store.tombstone(snapshots.stream)
    const { load, resume, save } = store.storage.snapshots
    yield* fails(load(snapshots.streamId, snapshots.name, whole), "StreamTombstoned")
    yield* fails(resume(snapshots.streamId, mark, whole), "StreamTombstoned")
    yield* fails(resume(snapshots.streamId, undefined, whole), "StreamTombstoned")
    equal(yield* save(later), false)
    equal((yield* snapshots.list).map(({ holds, streamVersion }) => [streamVersion, holds]), [[2, false]])
  })

  rule("says whether a place holds that somebody folded to, and what comes behind it", function*(store) {
    const snapshots = yield* makeSnapshots(store, 4)
    const { resume } = store.storage.snapshots
    const { mark } = yield* snapshots.fold(3)
    const all = ["1", "2", "3", "4"]
    equal(saidOf(yield* resume(snapshots.streamId, mark, whole)), { holds: true, texts: ["4"] })
    equal(saidOf(yield* resume(snapshots.streamId, undefined, whole)), { holds: false, texts: all })
    const wrong = [{ streamVersion: 2 }, { eventId: yield* EventId.make }, { position: 1e9 }, { truncatedBefore: 2 }]
    for (const part of wrong) {
      equal(saidOf(yield* resume(snapshots.streamId, { ...mark, ...part }, whole)), { holds: false, texts: all })
    }
    yield* store.delete(snapshots.stream)
    equal(saidOf(yield* resume(snapshots.streamId, mark, whole)), { holds: false, texts: [] })
  })

  rule("shows what a transaction staged behind a snapshot, and keeps none in it", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    const { drop, resume, save } = store.storage.snapshots
    yield* snapshots.save(2)
    const later = yield* snapshots.at(3)
    const { mark } = yield* snapshots.fold()
    yield* store.transaction(Effect.gen(function*() {
      equal(yield* snapshots.load(), { at: 2, isStale: false, texts: ["3"] })
      yield* store.append(snapshots.stream, notes("4", "5"))
      equal(yield* snapshots.load(), { at: 2, isStale: false, texts: ["3", "4", "5"] })
      equal(saidOf(yield* resume(snapshots.streamId, mark, whole)), { holds: true, texts: ["4", "5"] })
      equal(saidOf(yield* resume(snapshots.streamId, undefined, whole)).texts, ["1", "2", "3", "4", "5"])
      equal(yield* save(later), false)
      yield* fails(drop({ streamId: snapshots.streamId }), "InvalidInput")
    }))
    equal(yield* snapshots.load(), { at: 2, isStale: false, texts: ["3", "4", "5"] })
  })
}

/** What operators do. */
export const snapshotOperatorRules: Rules = (rule, { transactions }) => {
  rule("lists snapshots by stream and name, page by page, and says which hold", function*(store) {
    const { list } = store.storage.snapshots
    const prefix = freshName()
    const streams = yield* Effect.forEach(
      ["b", "a", "\u{1f600}", "\ufe30", "c"],
      (id) => makeSnapshots(store, 3, { ...freshStream(), streamId: `${prefix}-${id}` as never })
    )
    for (const snapshots of streams) {
      yield* snapshots.save(2, { name: "y" })
      yield* snapshots.save(3, { name: "x", schemaVersion: 4 })
    }
    yield* store.truncateBefore(streams[0]!.stream, 2)
    const filter = { category: prefix }
    const keyOf = ({ name, streamId }: { readonly name: string; readonly streamId: string }) =>
      `${streamId.slice(prefix.length + 1)}/${name}`
    const all = yield* list(filter, { after: undefined, limit: 100 })
    const sorted = ["a", "b", "c", "\ufe30", "\u{1f600}"].flatMap((id) => [`${id}/x`, `${id}/y`])
    equal(all.map(keyOf), sorted)
    equal(all.map(({ holds }) => holds), sorted.map((key) => !key.startsWith("b/")))
    const { savedAt, ...first } = all[0]!
    const { state, ...expected } = yield* streams[1]!.at(3, { name: "x", schemaVersion: 4 })
    equal(first, { ...expected, bytes: state.length, holds: true })
    assert.isAbove(savedAt, 0)
    const paged: Array<string> = []
    let after: { readonly name: string; readonly streamId: string } | undefined
    do {
      const page = yield* list(filter, { after, limit: 3 })
      assert.isAtMost(page.length, 3)
      paged.push(...page.map(keyOf))
      after = page.at(-1)
    } while (after !== undefined)
    equal(paged, sorted)
    const ys = yield* list({ ...filter, name: "y" }, { after: { streamId: `${prefix}-a`, name: "x" }, limit: 3 })
    equal(ys.map(keyOf), ["a/y", "b/y", "c/y"])
    const one = yield* list({ streamId: streams[0]!.streamId, name: "x" }, { after: undefined, limit: 10 })
    equal(one.map(keyOf), ["b/x"])
    equal(yield* list({ category: freshName() }, { after: undefined, limit: 10 }), [])
  })

  rule("drops the snapshots of a stream, a name or a category, and no others", function*(store) {
    const { drop, list } = store.storage.snapshots
    const [one, two] = [freshName(), freshName()]
    const [x, y] = [freshName(), freshName()]
    const stream = (category: string, id: string) => ({ ...freshStream(), streamId: `${category}-${id}` as never })
    const fill = Effect.gen(function*() {
      for (const [category, id] of [[one, "1"], [one, "2"], [two, "1"]] as const) {
        const snapshots = yield* makeSnapshots(store, 1, stream(category, id))
        for (const name of [x, y]) yield* snapshots.save(1, { name })
      }
    })
    const left = Effect.map(
      Effect.all([x, y].map((name) => list({ name }, { after: undefined, limit: 100 }))),
      (lists) => lists.flat().length
    )
    yield* fill
    equal(yield* drop({ streamId: stream(one, "1").streamId, name: x }), 1)
    equal(yield* left, 5)
    equal(yield* drop({ streamId: stream(one, "1").streamId }), 1)
    equal(yield* drop({ streamId: stream(one, "1").streamId }), 0)
    equal(yield* left, 4)
    equal(yield* drop({ category: one }), 2)
    equal(yield* left, 2)
    equal(yield* drop({ category: one.slice(0, -1) }), 0)
    equal(yield* drop({ name: y }), 1)
    equal((yield* list({ category: two }, { after: undefined, limit: 9 })).map(({ name }) => name), [x])
    equal(yield* drop({ category: one, streamId: stream(two, "1").streamId }), 0)
    equal(yield* drop({ category: two, name: x }), 1)
    equal(yield* left, 0)
  })

  rule("answers from the events where its snapshot was dropped meanwhile, and keeps the next one", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    yield* snapshots.save(3)
    yield* store.storage.snapshots.drop({ streamId: snapshots.streamId })
    equal(yield* snapshots.load(), { at: null, isStale: false, texts: ["1", "2", "3"] })
    equal(yield* snapshots.save(1), true)
    equal((yield* snapshots.load()).at, 1)
    const saving = together(16, () => snapshots.save(3))
    const dropping = together(16, () => store.storage.snapshots.drop({ streamId: snapshots.streamId }))
    yield* Effect.all([saving, dropping], { concurrency: 2 })
    equal(yield* snapshots.save(3), true)
    equal((yield* snapshots.load()).at, 3)
  })

  const openRule = transactions === "concurrent" ? rule : skip
  openRule("saves while a transaction is open that has the stream staged", function*(store) {
    const snapshots = yield* makeSnapshots(store, 3)
    const [opened, saved] = [yield* Latch.make(), yield* Latch.make()]
    const open = yield* Effect.forkChild(store.transaction(Effect.gen(function*() {
      yield* store.append(snapshots.stream, someNotes(2))
      yield* opened.open
      yield* saved.await
      equal((yield* snapshots.load()).at, 3)
    })))
    yield* opened.await
    equal(yield* snapshots.save(3), true)
    yield* saved.open
    yield* Fiber.join(open)
    equal(yield* snapshots.load(), { at: 3, isStale: false, texts: ["1", "2"] })
  })
}
