/**
 * How a stream ends, by degrees: its old events are hidden; it is deleted, and may come back; it is gone for ever.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Category, EventStore } from "effect-eventstore"

class Measured extends Schema.TaggedClass<Measured>()("Measured", { celsius: Schema.Number }) {}
const Sensor = Category.make("sensor", { id: Schema.String, events: [Measured] })

const program = Effect.gen(function*() {
  const store = yield* EventStore
  const sensor = Sensor.stream("1")
  const show = Effect.fn(function*(what: string) {
    const versions = yield* Stream.runCollect(Stream.map(store.read(sensor), ({ streamVersion }) => streamVersion))
    const { status, version } = yield* store.info(sensor)
    yield* Console.log(`${what}: ${status}, version ${version}, reads as [${versions.join(" ")}]`)
  })

  yield* store.append(sensor, [20, 21, 22, 23].map((celsius) => new Measured({ celsius })))
  yield* store.setMetadata(sensor, { room: "attic" })
  yield* store.truncateBefore(sensor, 3)
  yield* show("truncated")

  yield* store.delete(sensor, { expected: 4 })
  yield* show("deleted")

  // a deleted stream is as good as none, but its versions go on: no event has ever the place of another
  yield* store.append(sensor, [new Measured({ celsius: 18 })], { expected: "no-stream" })
  yield* show("recreated")

  yield* store.tombstone(sensor)
  const refused = yield* Effect.flip(store.append(sensor, [new Measured({ celsius: 0 })]))
  yield* Console.log(`tombstoned: ${refused._tag}; the log is still at position ${yield* store.head()}`)
})

await Effect.runPromise(program.pipe(Effect.provide(EventStore.layerMemory)))
