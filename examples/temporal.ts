/**
 * The past: a state as of a version, a position or a time, folded when somebody asks. Nothing has to be kept for it.
 */
import { Clock, Console, DateTime, Effect, Schema } from "effect"
import { Category, EventStore, View } from "effect-eventstore"
import { TestClock } from "effect/testing"

class Hired extends Schema.TaggedClass<Hired>()("Hired", { salary: Schema.Int }) {}
class Promoted extends Schema.TaggedClass<Promoted>()("Promoted", { title: Schema.String, salary: Schema.Int }) {}
class Left extends Schema.TaggedClass<Left>()("Left", {}) {}
const Employee = Category.make("employee", { id: Schema.String, events: [Hired, Promoted, Left] })

interface Job {
  readonly title: string
  readonly salary: number
}

const CurrentJob = View.make(Employee, {
  initial: undefined as Job | undefined,
  evolve: {
    Hired: (_, { event }) => ({ title: "Engineer", salary: event.salary }),
    Promoted: (_, { event }) => ({ title: event.title, salary: event.salary }),
    Left: () => undefined
  }
})

/** What everybody costs together: the same events, all streams of them. */
const Payroll = View.make(Employee, {
  initial: {},
  evolve: {
    Hired: (state, { event, streamId }) => ({ ...state, [streamId]: event.salary }),
    Promoted: (state, { event, streamId }) => ({ ...state, [streamId]: event.salary }),
    Left: (state, { streamId }) => ({ ...state, [streamId]: 0 })
  }
})

const total = (salaries: Readonly<Record<string, number>>) => Object.values(salaries).reduce((sum, one) => sum + one, 0)
const endOf = (year: number) => DateTime.makeUnsafe(Date.UTC(year, 11, 31))
const show = (job: Job | undefined) => job === undefined ? "not with us" : `${job.title}, ${job.salary}`

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const anna = Employee.stream("anna")
  const clock = yield* TestClock.make()
  // in memory the time of an event is that of the clock it was stored under; in a database it is that of the database
  const inYear = <A, E, R>(year: number, effect: Effect.Effect<A, E, R>) =>
    Effect.andThen(clock.setTime(Date.UTC(year, 5, 1)), Effect.provideService(effect, Clock.Clock, clock))
  yield* inYear(2020, store.append(anna, [new Hired({ salary: 60_000 })]))
  yield* inYear(2021, store.append(Employee.stream("ben"), [new Hired({ salary: 50_000 })]))
  const { position } = yield* inYear(2022, store.append(anna, [new Promoted({ title: "Lead", salary: 75_000 })]))
  yield* inYear(2023, store.append(Employee.stream("ben"), [new Left()]))
  yield* inYear(2024, store.append(anna, [new Promoted({ title: "CTO", salary: 99_000 })]))

  const today = yield* View.of(CurrentJob, anna)
  yield* Console.log(`Anna today: ${show(today.state)} (version ${today.version})`)
  yield* Console.log(`at version 1: ${show((yield* View.of(CurrentJob, anna, { version: 1 })).state)}`)
  yield* Console.log(`at position ${position}: ${show((yield* View.of(CurrentJob, anna, { position })).state)}`)
  for (const year of [2019, 2021, 2023]) {
    const job = yield* View.of(CurrentJob, anna, { time: endOf(year) })
    const payroll = yield* View.of(Payroll, Employee, { time: endOf(year) })
    yield* Console.log(`at the end of ${year}: Anna ${show(job.state)}; all together ${total(payroll.state)}`)
  }
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(EventStore.layerMemory)))
