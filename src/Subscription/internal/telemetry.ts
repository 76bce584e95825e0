import { type Context, Metric, Tracer } from "effect"
import type { EventMetadata } from "../../Event/EventMetadata.ts"

const seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60]

/** What a consumer measures; attributes given at once, so that an update costs no merging of them. */
export class Telemetry {
  private readonly context: Context.Context<never>
  private readonly counters: Readonly<Record<Counted, Metric.Counter<number>>>
  private readonly gauges: Readonly<Record<Gauged, Metric.Gauge<number>>>
  private readonly histograms: Readonly<Record<Timed, Metric.Histogram<number>>>

  constructor(subscription: string, context: Context.Context<never>) {
    this.context = context
    const attributes = { subscription }
    const counter = (name: string, description: string) =>
      Metric.counter(`eventstore.subscription.${name}`, { description, incremental: true, attributes })
    const gauge = (name: string, description: string) =>
      Metric.gauge(`eventstore.subscription.${name}`, { description, attributes })
    const histogram = (name: string, description: string) =>
      Metric.histogram(`eventstore.subscription.${name}`, { description, boundaries: seconds, attributes })
    this.counters = {
      handled: counter("handled", "Events that were finished"),
      retries: counter("retries", "Failures after which an event waits for its next attempt"),
      parked: counter("parked", "Events that were set aside"),
      skipped: counter("skipped", "Events that the consumer passed over"),
      lostLeases: counter("lost_leases", "Events whose lease was lost before they were answered"),
      storeRetries: counter("store_retries", "Calls to the store that failed and were repeated")
    }
    this.gauges = {
      lagEvents: gauge("lag.events", "Positions of the log that are not finished"),
      lagSeconds: gauge("lag.seconds", "Age of the oldest event that is not finished, in seconds"),
      inFlight: gauge("in_flight", "Events that this consumer holds")
    }
    this.histograms = {
      latency: histogram("delivery.latency", "From the time an event was recorded to its first handling, in seconds"),
      duration: histogram("delivery.duration", "Duration of handlers, in seconds")
    }
  }

  count(name: Counted, by = 1): void {
    this.counters[name].updateUnsafe(by, this.context)
  }

  gauge(name: Gauged, value: number): void {
    this.gauges[name].updateUnsafe(value, this.context)
  }

  time(name: Timed, value: number): void {
    this.histograms[name].updateUnsafe(value, this.context)
  }
}

type Counted = "handled" | "retries" | "parked" | "skipped" | "lostLeases" | "storeRetries"
type Gauged = "lagEvents" | "lagSeconds" | "inFlight"
type Timed = "latency" | "duration"

const traceparent = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

/** The span in which an event was appended, by https://www.w3.org/TR/trace-context/#traceparent-header. */
export const linksOf = (metadata: EventMetadata): Array<Tracer.SpanLink> => {
  const parsed = metadata.traceparent === undefined ? null : traceparent.exec(metadata.traceparent)
  if (parsed === null) return []
  const [, version, traceId, spanId, flags, more] = parsed
  const isValid = version !== "ff" && !(version === "00" && more !== undefined) && /[^0]/.test(traceId!) &&
    /[^0]/.test(spanId!)
  if (!isValid) return []
  const sampled = (Number.parseInt(flags!, 16) & 1) === 1
  return [{ span: Tracer.externalSpan({ traceId: traceId!, spanId: spanId!, sampled }), attributes: {} }]
}
