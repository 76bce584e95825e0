/**
 * A worker that mails customers about their orders. The store remembers which events are done; run it in as many processes
 * as you like.
 */
import { Context, Effect, pipe, Schedule, Schema } from "effect"
import { Category, Delivery, Middleware, PersistentSubscription } from "effect-eventstore"

export class OrderPlaced extends Schema.TaggedClass<OrderPlaced>()("OrderPlaced", { customer: Schema.String }) {}
export class OrderShipped extends Schema.TaggedClass<OrderShipped>()("OrderShipped", { customer: Schema.String }) {}
export const Order = Category.make("order", { id: Schema.String, events: [OrderPlaced, OrderShipped] })

export interface Mail {
  readonly to: string
  readonly text: string
  /** An event can come again after its mail was sent: a server that keeps the ids sends the second one nowhere. */
  readonly messageId: string
}

export class ServerBusy extends Schema.TaggedError<ServerBusy>()("ServerBusy", {}) {
  override get message(): string {
    return "the mail server is busy"
  }
}
export class NoSuchAddress extends Schema.TaggedError<NoSuchAddress>()("NoSuchAddress", {}) {}

export class Mailer extends Context.Service<Mailer, {
  readonly send: (mail: Mail) => Effect.Effect<void, ServerBusy | NoSuchAddress>
}>()("examples/Mailer") {}

/** Success acknowledges the event. `ServerBusy` passes; like any failure it means: again, later. */
const notify = ({ event, eventId, streamId }: Delivery.Delivery<OrderPlaced | OrderShipped>) =>
  Mailer.use((mailer) =>
    mailer.send({
      to: event.customer,
      text: event._tag === "OrderPlaced" ? `Thank you for ${streamId}` : `${streamId} is on its way`,
      messageId: eventId
    })
  ).pipe(
    // no attempt will change that: somebody has to look at it
    Effect.catchTag("NoSuchAddress", () => Effect.fail(new Delivery.Park({ reason: "no such address" })))
  )

/** Four orders at a time, the mails of one order after one another, and none before an earlier one has gone. */
export const OrderMails = PersistentSubscription.layer("order-mails", {
  from: Order,
  concurrency: 4,
  ordering: "stream",
  parkedBlocks: true,
  // a real server wants more time
  retry: Schedule.exponential("20 millis"),
  attempts: 4,
  handle: pipe(notify, Middleware.timeout("5 seconds"), Middleware.logging)
})
