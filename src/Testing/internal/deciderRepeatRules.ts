import { Effect } from "effect"
import { StoreError } from "../../Store/StoreError.ts"
import { Erase, freshTexts, Full, on, sharing, slowly, Write, write } from "./deciding.ts"
import { otherStore } from "./projecting.ts"
import { collect, equal, fails, has, type Rules, together } from "./rule.ts"

const once = { commandId: "once" }

export const deciderRepeatRules: Rules = (rule) => {
  rule("gives the first answer to a command that comes again, and decides nothing", function*(store) {
    const aggregate = freshTexts()
    const texts = on(store, aggregate)
    yield* texts.run(write("a"))
    const first = yield* texts.run(write("b", "c"), once)
    has(first, { state: ["a", "b", "c"], version: 3, isRepeated: false })
    const silent = on(store, sharing(aggregate, { meanwhile: () => Effect.die("decided") }))
    const again = { ...first, isRepeated: true }
    equal(yield* silent.run(write("b", "c"), once), again)
    // also after the stream moved on, and whatever the caller expects of it
    yield* texts.run(write("d"))
    yield* texts.run(write("e"), { commandId: "another" })
    equal(yield* silent.run(write("b", "c"), { ...once, expected: 1 }), again)
    equal(yield* texts.texts, ["a", "b", "c", "d", "e"])
    // and from another process
    equal(yield* on(yield* otherStore(store), aggregate).run(write("b", "c"), once), again)
  })

  rule("gives the first answer where the decision would be another one by now", function*(store) {
    const texts = on(store, freshTexts())
    const first = yield* texts.run(new Write({ texts: ["a"], most: 1 }), once)
    equal(yield* texts.run(new Write({ texts: ["a"], most: 1 }), once), { ...first, isRepeated: true })
    yield* texts.run(new Erase(), { commandId: "erase" })
    equal(yield* texts.run(new Write({ texts: ["x", "y"] }), once), { ...first, isRepeated: true })
    has(yield* texts.run(new Erase(), { commandId: "erase" }), { state: [], version: 2, isRepeated: true })
  })

  rule("gives many of the same command at once the same answer", function*(store) {
    const texts = on(store, freshTexts(slowly))
    yield* texts.run(write("a"))
    const answers = yield* together(16, () => texts.run(new Write({ texts: ["b", "c"], most: 3 }), once))
    for (const { events, position, state, version } of answers) {
      equal({ events, position, state, version }, {
        events: answers[0]!.events,
        position: answers[0]!.position,
        state: ["a", "b", "c"],
        version: 3
      })
    }
    equal(yield* texts.texts, ["a", "b", "c"])
  })

  rule("gives the same answer where the same command is decided otherwise at the same time", function*(store) {
    const aggregate = freshTexts()
    const others = on(store, aggregate)
    for (const faster of [write("b"), write("a", "b"), write("a")]) {
      const id = { commandId: `${faster.texts.length}${faster.texts[0]}` }
      let answer: unknown
      const mine = on(
        store,
        sharing(aggregate, {
          meanwhile: () =>
            answer === undefined
              ? Effect.orDie(Effect.map(others.run(faster, id), (first) => {
                answer = first
              }))
              : Effect.void
        })
      )
      const { isRepeated: _, ...mines } = yield* mine.run(write("a"), id)
      const { isRepeated: __, ...first } = answer as typeof mines & { isRepeated: boolean }
      equal(mines, first)
    }
    equal((yield* others.texts).length, 4)
  })

  rule("gives many commands that each come several times at once one answer each", function*(store) {
    const texts = on(store, freshTexts(slowly))
    const answers = yield* together(48, (i) => texts.run(write(String(i % 12)), { commandId: String(i % 12) }))
    equal([...yield* texts.texts].sort(), Array.from({ length: 12 }, (_, i) => String(i)).sort())
    const stored = yield* collect(store.read(texts.stream))
    equal(stored.map(({ event }) => event._tag === "Written" && event.seen), Array.from({ length: 12 }, (_, i) => i))
    for (const [i, { events, state, version }] of answers.entries()) {
      equal(events, answers[i % 12]!.events)
      equal([version, state.at(-1)], [answers[i % 12]!.version, String(i % 12)])
    }
  })

  rule("gives the first answer where that was lost on its way", function*(store) {
    const aggregate = freshTexts()
    const lost = new StoreError({
      operation: "append",
      isRetryable: true,
      outcome: "unknown",
      cause: new Error("lost")
    })
    let isLost = true
    const lossy = on(
      yield* otherStore(
        store,
        ({ at, call }) =>
          Effect.suspend(() => call === "append" && at === "after" && isLost ? Effect.fail(lost) : Effect.void)
      ),
      aggregate
    )
    equal(yield* fails(lossy.run(write("a", "b"), once), "StoreError"), lost)
    isLost = false
    const answer = yield* lossy.run(write("a", "b"), once)
    has(answer, { state: ["a", "b"], version: 2, isRepeated: true })
    equal(
      answer.events,
      (yield* collect(store.read(lossy.stream))).map(({ event, eventId, position, streamVersion }) => ({
        event,
        eventId,
        streamVersion,
        position
      }))
    )
  })

  rule("decides a command again that failed, or had nothing to do", function*(store) {
    const texts = on(store, freshTexts())
    equal(yield* fails(texts.run(new Write({ texts: ["a"], most: 0 }), once), "Full"), new Full({ size: 0 }))
    has(yield* texts.run(new Erase(), once), { events: [], isRepeated: false })
    has(yield* texts.run(write("a"), once), { state: ["a"], isRepeated: false })
  })

  rule("takes the same id for two commands where the streams are two", function*(store) {
    const aggregate = freshTexts()
    has(yield* on(store, aggregate, "1").run(write("a"), once), { version: 1, isRepeated: false })
    has(yield* on(store, aggregate, "2").run(write("b"), once), { state: ["b"], version: 1, isRepeated: false })
  })

  rule("says so where the events of the first answer are hidden by now, and decides nothing", function*(store) {
    const texts = on(store, freshTexts())
    const { position } = yield* texts.run(write("a", "b"), once)
    yield* store.delete(texts.stream)
    const hidden = { commandId: "once", position }
    has(yield* fails(texts.run(write("a", "b"), once), "AnswerHidden"), hidden)
    yield* texts.run(write("c"))
    has(yield* fails(texts.run(write("a", "b"), once), "AnswerHidden"), hidden)
    equal(yield* texts.texts, ["c"])
  })

  rule("says so where some of the events of the first answer are hidden by now", function*(store) {
    const texts = on(store, freshTexts())
    const { position } = yield* texts.run(write("a", "b", "c"), once)
    yield* store.truncateBefore(texts.stream, 2)
    has(yield* fails(texts.run(write("a", "b", "c"), once), "AnswerHidden"), { position })
  })

  rule("gives the first answer again where it has many events", function*(store) {
    const texts = on(store, freshTexts())
    for (const size of [19, 20, 21, 40, 500]) {
      const command = write(...Array.from({ length: size }, (_, i) => `${size}/${i}`))
      const id = { commandId: String(size) }
      const first = yield* texts.run(command, id)
      yield* texts.run(write("later"))
      equal(yield* texts.run(command, id), { ...first, isRepeated: true })
    }
  })

  rule("gives the first answer from what is left, where older events are hidden by now", function*(store) {
    const texts = on(store, freshTexts())
    yield* texts.run(write("a", "b"))
    const first = yield* texts.run(write("c"), once)
    yield* store.truncateBefore(texts.stream, 2)
    equal(yield* texts.run(write("c"), once), { ...first, state: ["b", "c"], isRepeated: true })
  })
}
