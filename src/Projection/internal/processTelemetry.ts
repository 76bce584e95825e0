import { type Context, Metric } from "effect"

const seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60]

/** What a process manager measures besides its subscriptions. */
export class ProcessTelemetry {
  private readonly context: Context.Context<never>
  private readonly counters: Readonly<Record<Counted, Metric.Counter<number>>>
  private readonly delay: Metric.Histogram<number>

  constructor(manager: string, context: Context.Context<never>) {
    this.context = context
    const attributes = { manager }
    const counter = (name: string, description: string) =>
      Metric.counter(`eventstore.process.${name}`, { description, incremental: true, attributes })
    this.counters = {
      moved: counter("moved", "Moves of processes"),
      ended: counter("ended", "Processes that ended"),
      ignored: counter("ignored", "Events and timers that were of no concern to their process"),
      sent: counter("sent", "Commands that were sent"),
      fired: counter("timers.fired", "Timers that fired")
    }
    this.delay = Metric.histogram("eventstore.process.timers.delay", {
      description: "From the time a timer was due to the time it fired, in seconds",
      boundaries: seconds,
      attributes
    })
  }

  count(name: Counted, by = 1): void {
    if (by > 0) this.counters[name].updateUnsafe(by, this.context)
  }

  /** A timer fired so many seconds after it was due. */
  fired(delay: number): void {
    this.count("fired")
    this.delay.updateUnsafe(Math.max(0, delay), this.context)
  }
}

type Counted = "moved" | "ended" | "ignored" | "sent" | "fired"
