import { type Context, Metric } from "effect"

const seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60]

/** What a partition measures; attributes given at once, so that an update costs no merging of them. */
export class Telemetry {
  private readonly context: Context.Context<never>
  private readonly counters: Readonly<Record<Counted, Metric.Counter<number>>>
  private readonly gauges: Readonly<Record<Gauged, Metric.Gauge<number>>>
  private readonly duration: Metric.Histogram<number>

  constructor(
    { partition, projection, version }: {
      readonly projection: string
      readonly version: number
      readonly partition: number
    },
    context: Context.Context<never>
  ) {
    this.context = context
    const attributes = { projection, version: String(version), partition: String(partition) }
    const counter = (name: string, description: string) =>
      Metric.counter(`eventstore.projection.${name}`, { description, incremental: true, attributes })
    const gauge = (name: string, description: string) =>
      Metric.gauge(`eventstore.projection.${name}`, { description, attributes })
    this.counters = {
      handled: counter("handled", "Events that are in the read model"),
      retries: counter("retries", "Failures of a batch after which it was tried again"),
      parked: counter("parked", "Events that were set aside"),
      fenced: counter("fenced", "Batches that were refused because the partition had changed hands"),
      storeRetries: counter("store_retries", "Calls to the store that failed and were repeated")
    }
    this.gauges = {
      lagEvents: gauge("lag.events", "Positions of the log that are not handled"),
      lagSeconds: gauge("lag.seconds", "Age of the oldest event that is not handled, in seconds")
    }
    this.duration = Metric.histogram("eventstore.projection.batch.duration", {
      description: "Duration of batches, in seconds",
      boundaries: seconds,
      attributes
    })
  }

  count(name: Counted, by = 1): void {
    if (by > 0) this.counters[name].updateUnsafe(by, this.context)
  }

  gauge(name: Gauged, value: number): void {
    this.gauges[name].updateUnsafe(value, this.context)
  }

  batch(took: number): void {
    this.duration.updateUnsafe(took, this.context)
  }
}

type Counted = "handled" | "retries" | "parked" | "fenced" | "storeRetries"
type Gauged = "lagEvents" | "lagSeconds"
