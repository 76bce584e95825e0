import { assert } from "@effect/vitest"
import { Effect, Latch, Schedule, Stream } from "effect"
import { EventStore } from "../../Store/EventStore.ts"
import { Park } from "../../Subscription/Delivery.ts"
import * as PersistentSubscription from "../../Subscription/PersistentSubscription.ts"
import { inStore, until } from "./consuming.ts"
import {
  handled,
  heard,
  heardAndSaid,
  manage,
  managerOf,
  parkedOf,
  type RunOptions,
  Say,
  sentBy,
  textsOf
} from "./processing.ts"
import { equal, freshCategory, freshStream, has, Noted, notes, type Rules, someNotes, textOf, texts } from "./rule.ts"

const immediately = Schedule.spaced(0)

export const processCommandRules: Rules = (rule) => {
  rule("carries out the commands of a process in order, under a key of their own", function*(store) {
    const from = freshCategory()
    const manager = managerOf({
      from,
      noted: (state, event) => ({
        ...heard(state, event),
        send: ["a", "b"].map((letter) => new Say({ text: event.text + letter }))
      })
    })
    const running = yield* manage(store, manager, { concurrency: 8, commands: { concurrency: 8 } })
    for (const note of someNotes(10)) for (const id of ["1", "2"]) yield* store.append(from.stream(id), [note])
    yield* until("all commands", () => running.performed.length === 40)
    const expected = someNotes(10).flatMap((note) => ["a", "b"].map((letter) => textOf(note) + letter))
    for (const id of ["1", "2"]) {
      const mine = running.contexts.filter((context) => context.id === id)
      equal(mine.map(({ recorded }) => recorded.event.text), expected)
      const stored = yield* Stream.runCollect(store.read(manager.categories.commands.stream(id)))
      equal(mine.map(({ idempotencyKey }) => idempotencyKey), stored.map(({ eventId }) => eventId))
    }
    equal(new Set(running.contexts.map(({ idempotencyKey }) => idempotencyKey)).size, 40)
  })

  rule("tries a command again that fails, under the same key, and parks it at last", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from, noted: heardAndSaid })
    const perform: RunOptions["perform"] = ({ text }, { attempt }) =>
      text === "never" || text === "third" && attempt < 3
        ? Effect.fail("busy")
        : text === "no"
        ? Effect.fail(new Park({ reason: "it must not" }))
        : Effect.void
    const running = yield* manage(store, manager, { perform, commands: { attempts: 4, retry: immediately } })
    yield* store.append(from.stream("a"), notes("third", "never", "no", "next"))
    yield* until("all commands", () => running.performed.at(-1) === "a: next")
    const attempts = ["third", "third", "third", "never", "never", "never", "never", "no", "next"]
    equal(running.performed.map((text) => text.slice(3)), attempts)
    equal(new Set(running.contexts.map(({ idempotencyKey }) => idempotencyKey)).size, 4)
    equal(running.contexts.slice(0, 3).map(({ attempt }) => attempt), [1, 2, 3])
    yield* until("both to be parked", () => Effect.map(parkedOf(store, manager), ({ length }) => length === 2))
    const [first, second] = yield* parkedOf(store, manager)
    has(first!, { subscription: manager.subscriptions.commands, id: "a", attempts: 4, error: "busy" })
    has(second!, { id: "a", attempts: 1, reason: "it must not" })
  })

  rule("holds up neither its process nor others while a command fails or takes its time", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from, noted: heardAndSaid })
    const open = yield* Latch.make()
    const running = yield* manage(store, manager, {
      commands: { concurrency: 2, retry: Schedule.spaced("1 hour") },
      perform: ({ text }, { id }) => id === "slow" ? open.await : text === "fails" ? Effect.fail("busy") : Effect.void
    })
    yield* store.append(from.stream("slow"), notes("1"))
    yield* store.append(from.stream("a"), notes("fails", "behind"))
    yield* handled(store, manager, yield* store.append(from.stream("b"), notes("1", "2", "3")))
    yield* until("the others", () => running.performed.includes("b: 3"))
    equal(yield* textsOf(store, manager, "a"), ["fails", "behind"])
    // in order: it waits for the one that failed
    assert.notInclude(running.performed, "a: behind")
    yield* open.open
  })

  rule("keeps later commands of a process waiting behind a parked one where that is wanted", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from, noted: heardAndSaid })
    let isWell = false
    const running = yield* manage(store, manager, {
      commands: { attempts: 1, parkedBlocks: true },
      perform: ({ text }) => text === "bad" && !isWell ? Effect.fail("busy") : Effect.void
    })
    yield* store.append(from.stream("a"), notes("bad", "next"))
    yield* until("it to be parked", () => Effect.map(parkedOf(store, manager), ({ length }) => length === 1))
    yield* store.append(from.stream("b"), notes("1"))
    yield* until("another process", () => running.performed.includes("b: 1"))
    equal(running.performed.filter((text) => text.startsWith("a")), ["a: bad"])
    isWell = true
    yield* inStore(store)(PersistentSubscription.replay(manager.subscriptions.commands))
    yield* until("the next one", () => running.performed.at(-1) === "a: next")
  })

  rule(
    "lets what is appended for a command carry its conversation, once where it is done in its transaction",
    function*(
      store
    ) {
      const [from, target] = [freshCategory(), freshStream()]
      const manager = managerOf({ from, noted: heardAndSaid })
      let failures = 2
      const running = yield* manage(store, manager, {
        commands: { retry: immediately },
        perform: ({ text }, { transaction }) =>
          transaction(Effect.gen(function*() {
            const { append } = yield* EventStore
            yield* append(target, [new Noted({ text })])
            if (failures-- > 0) return yield* Effect.fail("after it was appended")
          }))
      })
      yield* store.append(from.stream("a"), notes("1"))
      yield* until("the command", () => Effect.map(texts(store, target), ({ length }) => length > 0))
      equal(running.performed.length, 3)
      equal(yield* texts(store, target), ["1"])
      const [command] = yield* Stream.runCollect(store.read(manager.categories.commands.stream("a")))
      const [appended] = yield* Stream.runCollect(store.read(target))
      has(appended!.metadata, { causationId: command!.eventId, correlationId: command!.metadata.correlationId })
    }
  )

  rule("carries out what was sent while nobody was there", function*(store) {
    const from = freshCategory()
    const manager = managerOf({ from, noted: heardAndSaid })
    const first = yield* manage(store, manager, { perform: () => Effect.never })
    yield* handled(store, manager, yield* store.append(from.stream("a"), notes("1", "2")))
    yield* until("the command", () => first.performed.length === 1)
    yield* first.stop
    equal(yield* sentBy(store, manager, "a"), ["1", "2"])
    const second = yield* manage(store, manager)
    yield* until("both", () => second.performed.length === 2)
    equal(second.performed, ["a: 1", "a: 2"])
    equal(second.contexts[0]!.idempotencyKey, first.contexts[0]!.idempotencyKey)
  })
}
