/**
 * Every operation is a span and a number, named by OpenTelemetry's conventions; nothing has to be switched on.
 *
 * Here a tracer that prints; in production `Otlp.layerJson` of `effect/observability` sends both to a collector.
 */
import { Console, Effect, Exit, Layer, Metric, Schema, Stream, Tracer } from "effect"
import { Category, EventStore } from "effect-eventstore"

class Clicked extends Schema.TaggedClass<Clicked>()("Clicked", {}) {}
const Page = Category.make("page", { id: Schema.String, events: [Clicked] })

class PrintedSpan extends Tracer.NativeSpan {
  override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    super.end(endTime, exit)
    if (!this.name.startsWith("eventstore.")) return
    console.log(`${this.name} ${this.attributes.get("db.collection.name")} ${Exit.isSuccess(exit) ? "ok" : "failed"}`)
  }
}

const Printed = Layer.succeed(Tracer.Tracer, Tracer.make({ span: (options) => new PrintedSpan(options) }))

const program = Effect.gen(function*() {
  const store = yield* EventStore
  yield* store.append(Page.stream("home"), [new Clicked(), new Clicked()])
  yield* store.append(Page.stream("home"), [new Clicked()], { expected: 7 }).pipe(Effect.ignore)
  yield* Stream.runDrain(store.readCategory(Page))

  const lines = (yield* Metric.snapshot).flatMap((metric) => {
    if (metric.type === "Counter" && metric.id.startsWith("eventstore.")) {
      return [`${metric.id} = ${metric.state.count}`]
    }
    if (metric.type !== "Histogram" || metric.id !== "db.client.operation.duration") return []
    return [`${metric.id} of ${metric.attributes?.["db.operation.name"]}: ${metric.state.count} measured`]
  })
  yield* Console.log(lines.sort().join("\n"))
})

await Effect.runPromise(program.pipe(Effect.provide([EventStore.layerMemory, Printed])))
