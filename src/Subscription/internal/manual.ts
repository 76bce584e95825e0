import { Deferred, Effect, Exit, Queue } from "effect"
import { LeaseLost, type ManualDelivery, Skip } from "../Delivery.ts"
import type { HandlePart } from "./handling.ts"

/** A delivery on its way to whoever answers it: its lease may be lost before it gets there. */
export interface Handed {
  readonly delivery: ManualDelivery<any>
  readonly isOpen: () => boolean
}

/** Handles a delivery by handing it out, and waiting for its answer. */
export const byHand = (out: Queue.Enqueue<Handed, any>): HandlePart => (delivery, { entry, isLast }) =>
  Effect.callback<void, unknown>((resume) => {
    let isAnswered = false
    const settled = Deferred.makeUnsafe<void, LeaseLost>()
    const conclude = (isRefused: boolean) => {
      const { position, subscription } = delivery
      Deferred.doneUnsafe(settled, isRefused ? Exit.fail(new LeaseLost({ subscription, position })) : Exit.void)
    }
    const answer = (exit: Exit.Exit<void, unknown>, isStored: boolean) => {
      if (isAnswered) return
      isAnswered = true
      // of an event with several parts only what ends it is stored
      if (isStored) entry.onSettled = conclude
      else conclude(false)
      resume(exit)
    }
    const answering = (exit: Exit.Exit<void, unknown>, isStored: boolean) =>
      Effect.suspend(() => {
        answer(exit, isStored)
        return Deferred.await(settled)
      })
    const manual: ManualDelivery<any> = {
      ...delivery,
      transaction: (effect) =>
        // what is committed is answered, whatever interrupts
        Effect.uninterruptibleMask((restore) =>
          Effect.tap(restore(delivery.transaction(effect)), () => Effect.sync(() => answer(Exit.void, false)))
        ),
      ack: answering(Exit.void, isLast),
      nack: (action) => answering(Exit.fail(action), isLast || !(action instanceof Skip))
    }
    Queue.offerUnsafe(out, { delivery: manual, isOpen: () => !isAnswered })
    return Effect.sync(() => {
      if (isAnswered) return
      isAnswered = true
      conclude(true)
    })
  })
