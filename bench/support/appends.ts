/** Callers that append one event, or a few, after the other: ten appends to a stream. Events are ready-made. */
import { Effect } from "effect"
import type { EmmettStore } from "../emmett/EmmettStore.ts"
import type { Store } from "./arena.ts"
import { fibres, promises, unique } from "./load.ts"
import { Cart, event, events, plainEvent } from "./shop.ts"

/** Streams of ten appends each, of one caller in one round. */
export const streams = () => {
  const run = unique()
  return (caller: number, i: number) => `${run}-${caller}-${Math.floor(i / 10)}`
}

export const ours = (store: Store, callers: number, size = 1) =>
  Effect.suspend(() => {
    const stream = streams()
    return fibres(callers, (caller, i) =>
      store.append(Cart.stream(stream(caller, i)), size === 1 ? [event(i)] : events(i, size)))
  })

export const emmetts = (emmett: EmmettStore, callers: number, size = 1) =>
  Effect.suspend(() => {
    const stream = streams()
    return promises(callers, (caller, i) =>
      emmett.append(`cart-${stream(caller, i)}`, Array.from({ length: size }, (_, n) => plainEvent(i + n))))
  })
