import { Effect } from "effect"
import type { PageRange } from "../../Store/LogStorage.ts"
import { makeVersion, storageOf, type Version, wholeLog } from "./projectionStorageVersion.ts"
import { equal, fails, freshStream, notes, type Rules, someNotes, type Store, together } from "./rule.ts"

/** The events that a key links to, by what they say. */
const linked = (store: Store, { id }: Pick<Version, "id">, key: string, range: Partial<PageRange> = {}) =>
  Effect.map(storageOf(store).links.page(id, key, { ...wholeLog, ...range }), ({ events, more }) => {
    const said = events.map(({ data }) => JSON.parse(data).text as string)
    return more ? [...said, "more"] : said
  })

/** A version, and positions of some notes that say "1", "2", "3" and so on. */
const withNotes = Effect.fnUntraced(function*(store: Store, count: number) {
  const stream = freshStream()
  const { firstPosition } = yield* store.append(stream, someNotes(count))
  const version = yield* makeVersion(store, { kind: "links" })
  return { stream, version, at: (n: number) => firstPosition + n - 1 }
})

/** Links from keys to events. */
export const projectionStorageLinkRules: Rules = (rule) => {
  rule("links keys to events, which are read by position, in both directions", function*(store) {
    const { at, version } = yield* withNotes(store, 6)
    const { add } = storageOf(store).links
    yield* add(version.id, [{ key: "odd", position: at(3) }, { key: "odd", position: at(1) }])
    yield* add(version.id, [{ key: "even", position: at(2) }, { key: "odd", position: at(5) }])
    yield* add(version.id, [])
    equal(yield* linked(store, version, "odd"), ["1", "3", "5"])
    equal(yield* linked(store, version, "even"), ["2"])
    equal(yield* linked(store, version, "none"), [])
    const backward = { direction: "backward", from: Number.MAX_SAFE_INTEGER, to: 1 } as const
    equal(yield* linked(store, version, "odd", backward), ["5", "3", "1"])
    equal(yield* linked(store, version, "odd", { from: at(3) }), ["3", "5"])
    equal(yield* linked(store, version, "odd", { from: at(2), to: at(4) }), ["3"])
    equal(yield* linked(store, version, "odd", { ...backward, from: at(4) }), ["3", "1"])
    equal(yield* linked(store, version, "odd", { ...backward, from: at(3), to: at(2) }), ["3"])
  })

  rule("hands linked events out page by page, whole", function*(store) {
    const { at, stream, version } = yield* withNotes(store, 7)
    const { add, page } = storageOf(store).links
    yield* add(version.id, [1, 2, 4, 5, 7].map((n) => ({ key: "k", position: at(n) })))
    const first = yield* page(version.id, "k", { ...wholeLog, limit: 2 })
    equal([first.events.length, first.more], [2, true])
    equal(first.events[0]!.streamId, stream.streamId)
    equal(first.events[0]!.position, at(1))
    equal(first.events[0]!.streamVersion, 1)
    equal(yield* linked(store, version, "k", { from: at(3), limit: 3 }).pipe(Effect.map((said) => said.slice(0, 3))), [
      "4",
      "5",
      "7"
    ])
    const last = yield* page(version.id, "k", { ...wholeLog, from: at(6), limit: 2 })
    equal([last.events.length, last.more], [1, false])
  })

  rule("links a key to an event once, however often that is said", function*(store) {
    const { at, version } = yield* withNotes(store, 3)
    const { add, keys } = storageOf(store).links
    const link = { key: "k", position: at(2) }
    yield* add(version.id, [link, link])
    yield* add(version.id, [link])
    yield* together(4, () => add(version.id, [link, { key: "k", position: at(1) }]))
    equal(yield* linked(store, version, "k"), ["1", "2"])
    equal(yield* keys(version.id, { prefix: "", after: "", limit: 10 }), [{ key: "k", count: 2 }])
  })

  rule("lists all links page by page, by key and position, but those to hidden events", function*(store) {
    const { at, stream, version } = yield* withNotes(store, 5)
    const { add, list } = storageOf(store).links
    const links = [["\u{10000}", 2], ["a", 2], ["a", 5], ["b", 3], ["\uffff", 4]] as const
    const sorted = [["a", 2], ["a", 5], ["b", 3], ["\uffff", 4], ["\u{10000}", 2]] as const
    const linksOf = (pairs: ReadonlyArray<readonly [string, number]>) =>
      pairs.map(([key, n]) => ({ key, position: at(n) }))
    yield* add(version.id, linksOf([...links, ["hidden", 1]]))
    yield* store.truncateBefore(stream, 2)
    equal(yield* list(version.id, { after: undefined, limit: 10 }), linksOf(sorted))
    const paged: Array<{ readonly key: string; readonly position: number }> = []
    for (let more = true; more;) {
      const page = yield* list(version.id, { after: paged.at(-1), limit: 2 })
      paged.push(...page)
      more = page.length === 2
    }
    equal(paged, linksOf(sorted))
  })

  rule("leaves hidden events out", function*(store) {
    const { at, stream, version } = yield* withNotes(store, 4)
    const gone = freshStream()
    const { position } = yield* store.append(gone, notes("gone"))
    yield* storageOf(store).links.add(version.id, [
      ...[1, 2, 3, 4].map((n) => ({ key: "k", position: at(n) })),
      { key: "k", position }
    ])
    yield* store.truncateBefore(stream, 3)
    yield* store.tombstone(gone)
    equal(yield* linked(store, version, "k"), ["3", "4"])
    equal(yield* linked(store, version, "k", { limit: 1 }).pipe(Effect.map(([first]) => first)), "3")
    const backward = { direction: "backward", from: Number.MAX_SAFE_INTEGER, to: 1 } as const
    equal(yield* linked(store, version, "k", backward), ["4", "3"])
  })

  rule("lists keys by code point, page by page, with how many links they have", function*(store) {
    const { at, version } = yield* withNotes(store, 3)
    const { add, keys } = storageOf(store).links
    const names = ["A", "a%", "a_", "ab", "ab1", "b", "b\u{ff5e}", "b\u{1f44d}"]
    yield* add(version.id, names.map((key) => ({ key, position: at(1) })))
    yield* add(version.id, [{ key: "ab", position: at(2) }, { key: "ab", position: at(3) }])
    const page = (options: { prefix?: string; after?: string; limit?: number }) =>
      Effect.map(
        keys(version.id, { prefix: "", after: "", limit: 100, ...options }),
        (found) => found.map(({ count, key }) => `${key}:${count}`)
      )
    equal(yield* page({}), ["A:1", "a%:1", "a_:1", "ab:3", "ab1:1", "b:1", "b\u{ff5e}:1", "b\u{1f44d}:1"])
    equal(yield* page({ limit: 2 }), ["A:1", "a%:1"])
    equal(yield* page({ after: "a%", limit: 2 }), ["a_:1", "ab:3"])
    equal(yield* page({ prefix: "ab" }), ["ab:3", "ab1:1"])
    equal(yield* page({ prefix: "ab", after: "ab" }), ["ab1:1"])
    equal(yield* page({ prefix: "a_" }), ["a_:1"])
    equal(yield* page({ prefix: "z" }), [])
  })

  rule("keeps the links of versions apart, and with their transactions", function*(store) {
    const { at, version } = yield* withNotes(store, 4)
    const other = yield* makeVersion(store, { name: version.name, version: 2, kind: "links" })
    const { add, keys } = storageOf(store).links
    yield* add(version.id, [{ key: "k", position: at(1) }])
    yield* add(other.id, [{ key: "k", position: at(2) }])
    const all = { prefix: "", after: "", limit: 10 }
    const link = Effect.gen(function*() {
      yield* add(version.id, [{ key: "k", position: at(3) }, { key: "j", position: at(3) }])
      const part = store.transaction(
        Effect.andThen(add(version.id, [{ key: "k", position: at(4) }]), Effect.fail({ _tag: "OnPurpose" } as const))
      )
      yield* fails(part, "OnPurpose")
      equal(yield* linked(store, version, "k"), ["1", "3"])
      equal(yield* keys(version.id, all), [{ key: "j", count: 1 }, { key: "k", count: 2 }])
    })
    yield* fails(store.transaction(Effect.andThen(link, Effect.fail({ _tag: "OnPurpose" } as const))), "OnPurpose")
    equal(yield* linked(store, version, "k"), ["1"])
    equal(yield* keys(version.id, all), [{ key: "k", count: 1 }])
    yield* store.transaction(link)
    equal(yield* linked(store, version, "k"), ["1", "3"])
    equal([yield* linked(store, version, "j"), yield* linked(store, other, "k")], [["3"], ["2"]])
  })

  rule("keeps many links of a key", function*(store) {
    const { at, version } = yield* withNotes(store, 900)
    const { add, keys } = storageOf(store).links
    yield* add(
      version.id,
      Array.from({ length: 900 }, (_, i) => ({ key: i % 3 === 0 ? "x" : "y", position: at(i + 1) }))
    )
    equal(yield* keys(version.id, { prefix: "", after: "", limit: 5 }), [{ key: "x", count: 300 }, {
      key: "y",
      count: 600
    }])
    const said = yield* linked(store, version, "x", { from: at(450) })
    equal([said.length, said[0], said[said.length - 1]], [150, "451", "898"])
  })
}
