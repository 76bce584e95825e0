import { Effect, Schedule, Schema } from "effect"
import * as Boundary from "../../Aggregate/Boundary.ts"
import * as Event from "../../Event/Event.ts"
import * as EventData from "../../Event/EventData.ts"
import { EventStore } from "../../Store/EventStore.ts"
import * as Category from "../../Stream/Category.ts"
import { inStore } from "./consuming.ts"
import { slowly } from "./deciding.ts"
import { collect, equal, fails, freshName, freshStream, has, notes, type Rules, type Store, together } from "./rule.ts"

class Sold extends Schema.TaggedClass<Sold>()("Sold", {
  show: Schema.String,
  seat: Schema.String,
  seen: Schema.Int
}) {
  get [Event.tags]() {
    return [`show:${this.show}`, `seat:${this.show}/${this.seat}`]
  }
}
class Returned extends Schema.TaggedClass<Returned>()("Returned", { show: Schema.String, seat: Schema.String }) {
  get [Event.tags]() {
    return [`show:${this.show}`]
  }
}
class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { sold: Schema.Array(Schema.String) }) {}

interface Sell {
  readonly show: string
  readonly seat: string
  readonly seats: number
}

interface Hooks {
  readonly meanwhile?: (sold: ReadonlyArray<string>) => Effect.Effect<void>
  readonly retry?: Schedule.Schedule<unknown>
}

const freshBooking = (store: Store) => {
  const category = Category.make(freshName(), { id: Schema.String, events: [Sold, Returned] })
  const [name, show] = [freshName(), freshName()]
  const sales = ({ meanwhile = () => Effect.void, retry }: Hooks = {}) =>
    Boundary.dynamic(name, {
      from: category,
      query: ({ show }: Sell) => [{ types: ["Sold"], tags: [`show:${show}`] }, { types: ["Returned"] }],
      initial: [] as ReadonlyArray<string>,
      evolve: {
        Sold: (sold, { seat }) => [...sold, seat],
        Returned: (sold, event) => event.show === show ? sold.filter((seat) => seat !== event.seat) : sold
      },
      decide: ({ seat, seats, show }, sold) =>
        Effect.flatMap(meanwhile(sold), () =>
          sold.length >= seats || sold.includes(seat)
            ? Effect.fail(new SoldOut({ sold }))
            : Effect.succeed(
              seat === ""
                ? []
                : EventStore.entry(category.stream(`of-${seat}`), [new Sold({ show, seat, seen: sold.length })])
            )),
      retry
    })
  const sell = (seat: string, of = show) =>
    store.append(category.stream(`by-hand-${seat}`), [new Sold({ show: of, seat, seen: -1 })])
  const command = (seat: string, seats = 99): Sell => ({ show, seat, seats })
  const all = collect(store.readCategory(category))
  return { category, sales, sell, command, show, all }
}

const once = { commandId: "once" }

export const dynamicBoundaryRules: Rules = (rule) => {
  rule("decides on the events that match, in the order of the log, whatever their streams", function*(store) {
    const { all, category, command, sales, sell, show } = freshBooking(store)
    yield* sell("1")
    yield* sell("2")
    yield* sell("3", "another show")
    yield* store.append(freshStream(), notes("foreign"))
    yield* store.append(category.stream("back"), [new Returned({ show, seat: "1" })])
    yield* sell("1")
    const sold = yield* inStore(store)(sales().run(command("4")))
    has(sold, { state: ["2", "1", "4"], isRepeated: false })
    const last = (yield* all).at(-1)!
    equal(sold.position, last.position)
    equal(sold.events, [{
      event: new Sold({ show, seat: "4", seen: 2 }),
      eventId: last.eventId,
      streamId: category.stream("of-4").streamId,
      streamVersion: last.streamVersion,
      position: last.position
    }])
    has(yield* inStore(store)(sales().query(command("5"))), { state: ["2", "1", "4"], position: last.position })
  })

  rule("fails with what the decision fails with, and appends nothing where there is nothing to do", function*(store) {
    const { command, sales, sell } = freshBooking(store)
    yield* sell("1")
    const head = yield* store.head()
    const soldOut = yield* fails(inStore(store)(sales().run(command("2", 1))), "SoldOut")
    equal(soldOut.sold, ["1"])
    equal(yield* inStore(store)(sales().run(command(""))), {
      state: ["1"],
      events: [],
      position: head,
      isRepeated: false
    })
    equal(yield* store.head(), head)
  })

  rule("decides again when something that matches was stored meanwhile, and only then", function*(store) {
    for (const matches of [true, false]) {
      const { command, sales, sell, show } = freshBooking(store)
      let times = 0
      const meanwhile = () =>
        times++ === 0 ? Effect.orDie(Effect.asVoid(sell("1", matches ? show : freshName()))) : Effect.void
      has(yield* inStore(store)(sales({ meanwhile }).run(command("2"))), { state: matches ? ["1", "2"] : ["2"] })
      equal(times, matches ? 2 : 1)
    }
  })

  rule("gives up with the last conflict when its schedule ends", function*(store) {
    const { all, command, sales, sell } = freshBooking(store)
    let times = 0
    const meanwhile = () => Effect.orDie(Effect.asVoid(sell(String(++times))))
    const selling = sales({ meanwhile, retry: Schedule.recurs(2) }).run(command("mine"))
    yield* fails(inStore(store)(selling), "AppendConditionFailed")
    equal((yield* all).map(({ event }) => event.seat), ["1", "2", "3"])
  })

  rule("sells each seat once and no more than there are, among many at once", function*(store) {
    const { all, command, sales } = freshBooking(store)
    const selling = sales(slowly)
    const results = yield* together(
      64,
      (i) => Effect.result(inStore(store)(selling.run(command(`seat ${i % 24}`, 16))))
    )
    equal(results.filter(({ _tag }) => _tag === "Success").length, 16)
    const stored = (yield* all).map(({ event }) => event)
    equal(stored.map((event) => event._tag === "Sold" && event.seen), Array.from({ length: 16 }, (_, i) => i))
    equal(new Set(stored.map(({ seat }) => seat)).size, 16)
  })

  rule(
    "gives the first answer to a command that comes again, also at once, also after more was stored",
    function*(store) {
      const { all, command, sales, sell } = freshBooking(store)
      yield* sell("1")
      const answers = yield* together(8, () => inStore(store)(sales().run(command("2"), once)))
      for (const { isRepeated: _, ...answer } of answers) {
        const { isRepeated: __, ...first } = answers[0]!
        equal(answer, first)
      }
      yield* sell("3")
      const silent = sales({ meanwhile: () => Effect.die("decided") })
      equal(yield* inStore(store)(silent.run(command("2"), once)), { ...answers[0]!, isRepeated: true })
      equal((yield* all).map(({ event }) => event.seat), ["1", "2", "3"])
    }
  )

  rule("says so where the events of the first answer are hidden by now", function*(store) {
    const { category, command, sales } = freshBooking(store)
    const { position } = yield* inStore(store)(sales().run(command("2"), once))
    yield* store.delete(category.stream("of-2"))
    has(yield* fails(inStore(store)(sales().run(command("2"), once)), "AnswerHidden"), { commandId: "once", position })
  })

  rule("appends to several streams, with tags of the decision's own", function*(store) {
    const { category, show } = freshBooking(store)
    const [one, other] = [category.stream("one"), freshStream()]
    const tag = freshName()
    const both = Boundary.dynamic(freshName(), {
      from: category,
      query: (tag: string) => [{ tags: [tag] }],
      initial: 0,
      evolve: () => 1,
      decide: (tag) => [
        EventStore.entry(one, [EventData.make(new Returned({ show, seat: "1" }), { tags: [tag] })]),
        EventStore.entry(other, notes("noted"), { expected: "no-stream" })
      ]
    })
    const first = yield* inStore(store)(both.run(tag, once))
    equal(first.state, 1)
    equal(first.events.map(({ streamId }) => streamId), [one.streamId, other.streamId])
    equal(first.position, first.events[1]!.position)
    has(yield* inStore(store)(both.run(tag, once)), { state: 1, position: first.position, isRepeated: true })
    yield* fails(
      inStore(store)(
        Boundary.dynamic(freshName(), {
          from: category,
          query: () => [{ tags: [freshName()] }],
          initial: 0,
          evolve: () => 1,
          decide: () => EventStore.entry(other, notes("again"), { expected: "no-stream" }),
          retry: Schedule.recurs(1)
        }).run("go")
      ),
      "WrongExpectedVersion"
    )
  })

  rule("refuses a question that guards nothing", function*(store) {
    const { category } = freshBooking(store)
    const asking = (items: ReadonlyArray<Boundary.Item>) =>
      inStore(store)(
        Boundary.dynamic(freshName(), {
          from: category,
          query: () => items,
          initial: 0,
          evolve: () => 1,
          decide: () => EventStore.entry(category.stream("1"), [new Returned({ show: "", seat: "" })])
        }).run("go")
      )
    const wrong: ReadonlyArray<readonly [ReadonlyArray<Boundary.Item>, string]> = [
      [[], "query"],
      [[{ tags: ["a"] }, {}], "query[1]"],
      [[{ types: [], tags: [] }], "query[0]"],
      [[{ types: ["Sold", "Sould"] }], "query[0].types"]
    ]
    for (const [items, field] of wrong) has(yield* fails(asking(items), "InvalidInput"), { field })
    equal((yield* store.info(category.stream("1"))).version, 0)
  })
}
