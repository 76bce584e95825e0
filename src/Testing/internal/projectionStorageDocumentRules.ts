import { assert } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { makeVersion, storageOf, type Version, whileOpen } from "./projectionStorageVersion.ts"
import { equal, fails, type Rules, skip, type Store, together } from "./rule.ts"

const object = (found: ReadonlyMap<string, string>): object => Object.fromEntries(found)

/** Adds one to a document, as those do who share it: it is loaded for nobody else. */
const increment = (store: Store, { id }: Version, key: string) =>
  Effect.gen(function*() {
    const { load, save } = storageOf(store).documents
    const count = Number((yield* load(id, [key], { isLocking: true })).get(key) ?? "0")
    yield* Effect.yieldNow
    yield* save(id, [{ key, state: String(count + 1) }])
  })

/** Documents of a version, by key. */
export const projectionStorageDocumentRules: Rules = (rule, { transactions }) => {
  rule("keeps documents by key", function*(store) {
    const { id, name } = yield* makeVersion(store)
    const { load, read, save } = storageOf(store).documents
    const isLocking = false
    equal(object(yield* load(id, ["a", "b"], { isLocking })), {})
    yield* save(id, [{ key: "a", state: "{\"n\": 1}" }, { key: "b", state: "2" }, { key: "ä \"'\\ 👍", state: "3" }])
    equal(object(yield* load(id, ["a", "c", "ä \"'\\ 👍", "a"], { isLocking })), { a: "{\"n\": 1}", "ä \"'\\ 👍": "3" })
    yield* save(id, [{ key: "a", state: "\"again\"" }, { key: "b", state: null }, { key: "none", state: null }])
    equal(object(yield* load(id, ["a", "b", "none"], { isLocking: true })), { a: "\"again\"" })
    yield* save(id, [])
    equal(object(yield* load(id, [], { isLocking: true })), {})
    const found = yield* read(name, ["a", "b"])
    equal([found?.id, found?.version, found && object(found.found)], [id, 1, { a: "\"again\"" }])
  })

  rule("keeps the documents of versions apart, and reads those of the live one", function*(store) {
    const live = yield* makeVersion(store)
    const next = yield* makeVersion(store, { name: live.name, version: 2 })
    const { read, save } = storageOf(store).documents
    yield* save(next.id, [{ key: "a", state: "2" }])
    equal(object((yield* read(live.name, ["a"]))!.found), {})
    yield* save(live.id, [{ key: "a", state: "1" }])
    equal([yield* live.documents, yield* next.documents], [{ a: 1 }, { a: 2 }])
    equal(object((yield* read(live.name, ["a"]))!.found), { a: "1" })
  })

  rule("lists documents by key, page by page, with a prefix", function*(store) {
    const { id } = yield* makeVersion(store)
    const { page, save } = storageOf(store).documents
    const keys = ["", "a", "a%", "aB", "a_1", "ab", "ab1", "ab2", "b", "b\u{ff5e}", "b\u{1f44d}", "c"]
    yield* save(id, keys.map((key) => ({ key, state: JSON.stringify(key) })))
    const listed = (options: { prefix?: string; after?: string; limit?: number }) =>
      Effect.map(
        page(id, { prefix: "", after: "", limit: 100, ...options }),
        (documents) =>
          documents.map(({ key, state }) => {
            equal(JSON.parse(state), key)
            return key
          })
      )
    equal(yield* listed({}), keys.slice(1))
    equal(yield* listed({ limit: 3 }), ["a", "a%", "aB"])
    equal(yield* listed({ after: "a%", limit: 2 }), ["aB", "a_1"])
    equal(yield* listed({ prefix: "ab" }), ["ab", "ab1", "ab2"])
    equal(yield* listed({ prefix: "ab", after: "ab" }), ["ab1", "ab2"])
    equal(yield* listed({ prefix: "ab", after: "ab1", limit: 5 }), ["ab2"])
    equal(yield* listed({ prefix: "ab", after: "b" }), [])
    equal(yield* listed({ prefix: "b", after: "a" }), ["b", "b\u{ff5e}", "b\u{1f44d}"])
    equal(yield* listed({ prefix: "a%" }), ["a%"])
    equal(yield* listed({ prefix: "a_" }), ["a_1"])
    equal(yield* listed({ prefix: "z" }), [])
  })

  rule("keeps many documents, and large ones", function*(store) {
    const { id } = yield* makeVersion(store)
    const { load, page, save } = storageOf(store).documents
    const keys = Array.from({ length: 3000 }, (_, i) => `k${String(i).padStart(5, "0")}`)
    const large = JSON.stringify("x".repeat(1_000_000))
    yield* save(id, keys.map((key, i) => ({ key, state: i === 7 ? large : String(i) })))
    const found = yield* load(id, keys, { isLocking: true })
    equal(found.size, 3000)
    equal([found.get(keys[2999]!), found.get(keys[7]!) === large], ["2999", true])
    equal((yield* page(id, { prefix: "k", after: keys[2899]!, limit: 1000 })).length, 100)
  })

  rule("shows changes in the transaction that makes them, and keeps them with it or not at all", function*(store) {
    const version = yield* makeVersion(store)
    const { load, page, read, save } = storageOf(store).documents
    const { id, name } = version
    yield* save(id, [{ key: "a", state: "1" }, { key: "b", state: "1" }])
    const change = Effect.gen(function*() {
      yield* load(id, ["a", "b", "c"], { isLocking: true })
      yield* save(id, [{ key: "a", state: null }, { key: "b", state: "2" }, { key: "c", state: "2" }])
      const changed = { b: "2", c: "2" }
      equal(object(yield* load(id, ["a", "b", "c"], { isLocking: false })), changed)
      equal(object(yield* load(id, ["a", "b", "c"], { isLocking: true })), changed)
      equal(object((yield* read(name, ["a", "b", "c"]))!.found), changed)
      const listed = yield* page(id, { prefix: "", after: "", limit: 10 })
      equal(listed, [{ key: "b", state: "2" }, { key: "c", state: "2" }])
    })
    yield* fails(store.transaction(Effect.andThen(change, Effect.fail({ _tag: "OnPurpose" } as const))), "OnPurpose")
    equal(yield* version.documents, { a: 1, b: 1 })
    yield* store.transaction(change)
    equal(yield* version.documents, { b: 2, c: 2 })
  })

  rule("keeps the changes of a part of a transaction with that part", function*(store) {
    const version = yield* makeVersion(store)
    const { load, save } = storageOf(store).documents
    const { id } = version
    yield* save(id, [{ key: "z", state: "0" }])
    yield* store.transaction(Effect.gen(function*() {
      yield* save(id, [{ key: "a", state: "1" }, { key: "b", state: "1" }])
      const part = store.transaction(Effect.gen(function*() {
        yield* save(id, [{ key: "a", state: "2" }, { key: "b", state: null }, { key: "c", state: "2" }])
        equal(object(yield* load(id, ["a", "b", "c"], { isLocking: false })), { a: "2", c: "2" })
        equal(yield* version.documents, { a: 2, c: 2, z: 0 })
        return yield* Effect.fail({ _tag: "OnPurpose" } as const)
      }))
      yield* fails(part, "OnPurpose")
      equal(object(yield* load(id, ["a", "b", "c"], { isLocking: false })), { a: "1", b: "1" })
      equal(yield* version.documents, { a: 1, b: 1, z: 0 })
      yield* store.transaction(Effect.gen(function*() {
        yield* save(id, [{ key: "d", state: "1" }, { key: "z", state: null }])
        equal(yield* version.documents, { a: 1, b: 1, d: 1 })
      }))
      equal(object(yield* load(id, ["d"], { isLocking: false })), { d: "1" })
    }))
    equal(yield* version.documents, { a: 1, b: 1, d: 1 })
  })

  rule("loads a document for one transaction at a time, also where there is none yet", function*(store) {
    const version = yield* makeVersion(store)
    yield* together(8, () => store.transaction(increment(store, version, "new")))
    equal(yield* version.documents, { new: 8 })
    yield* together(8, () => store.transaction(increment(store, version, "new")))
    equal(yield* version.documents, { new: 16 })
  })

  rule("loads keys in any order for several transactions", function*(store) {
    const version = yield* makeVersion(store)
    const { load, save } = storageOf(store).documents
    const { id } = version
    const keys = ["a", "b", "c", "d", "e"]
    yield* together(8, (i) =>
      store.transaction(Effect.gen(function*() {
        const wanted = i % 2 === 0 ? keys : [...keys].reverse()
        const found = yield* load(id, wanted, { isLocking: true })
        yield* Effect.yieldNow
        yield* save(id, wanted.map((key) => ({ key, state: String(Number(found.get(key) ?? "0") + 1) })))
      })))
    equal(yield* version.documents, { a: 8, b: 8, c: 8, d: 8, e: 8 })
  })

  openDocumentRules(transactions === "concurrent" ? rule : skip, { transactions })
}

/** What waits for a transaction that is open, and what does not. */
const openDocumentRules: Rules = (rule) => {
  rule("shows the changes of a transaction to nobody before it ends", function*(store) {
    const version = yield* makeVersion(store)
    const { load, read, save } = storageOf(store).documents
    const { id, name } = version
    yield* save(id, [{ key: "a", state: "1" }])
    const [, seen] = yield* whileOpen(
      (effect: Effect.Effect<void, any>) => store.transaction(effect),
      Effect.andThen(
        load(id, ["a"], { isLocking: true }),
        save(id, [{ key: "a", state: "2" }, { key: "b", state: "2" }])
      ),
      Effect.gen(function*() {
        return [
          object(yield* load(id, ["a", "b"], { isLocking: false })),
          object((yield* read(name, ["a", "b"]))!.found),
          yield* version.documents
        ]
      })
    )
    equal(seen, [{ a: "1" }, { a: "1" }, { a: 1 }])
    equal(yield* version.documents, { a: 2, b: 2 })
  })

  rule("lets who wants a key that is loaded wait, and nobody who wants another one", function*(store) {
    const version = yield* makeVersion(store)
    const { load, save } = storageOf(store).documents
    const { id } = version
    const [opened, seen] = [yield* Latch.make(), yield* Latch.make()]
    const order: Array<string> = []
    const first = yield* Effect.forkChild(store.transaction(Effect.gen(function*() {
      yield* load(id, ["missing"], { isLocking: true })
      yield* opened.open
      yield* seen.await
      order.push("first")
      yield* save(id, [{ key: "missing", state: "1" }])
    })))
    yield* opened.await
    const second = yield* Effect.forkChild(store.transaction(Effect.gen(function*() {
      const found = yield* load(id, ["missing"], { isLocking: true })
      order.push("second")
      return object(found)
    })))
    yield* store.transaction(increment(store, version, "other"))
    yield* store.transaction(increment(store, version, "other"))
    equal(order, [])
    yield* seen.open
    yield* Fiber.join(first)
    equal(yield* Fiber.join(second), { missing: "1" })
    equal(order, ["first", "second"])
    equal(yield* version.documents, { missing: 1, other: 2 })
  })

  rule("gives keys free when the transaction that loaded them fails or is interrupted", function*(store) {
    const version = yield* makeVersion(store)
    const { load } = storageOf(store).documents
    const opened = yield* Latch.make()
    const first = yield* Effect.forkChild(
      store.transaction(Effect.gen(function*() {
        yield* load(version.id, ["a"], { isLocking: true })
        yield* opened.open
        return yield* Effect.never
      }))
    )
    yield* opened.await
    const second = yield* Effect.forkChild(store.transaction(increment(store, version, "a")))
    const third = yield* Effect.forkChild(store.transaction(increment(store, version, "a")))
    yield* store.transaction(increment(store, version, "b"))
    yield* Fiber.interrupt(second)
    assert.isDefined(second.pollUnsafe())
    assert.isUndefined(third.pollUnsafe())
    yield* Fiber.interrupt(first)
    yield* Fiber.join(third)
    equal(yield* version.documents, { a: 1, b: 1 })
    const failing = Effect.andThen(
      load(version.id, ["a"], { isLocking: true }),
      Effect.fail({ _tag: "OnPurpose" } as const)
    )
    yield* fails(store.transaction(failing), "OnPurpose")
    yield* store.transaction(increment(store, version, "a"))
    equal(yield* version.documents, { a: 2, b: 1 })
  })
}
