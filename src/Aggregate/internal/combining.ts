import { Effect, HashMap, Option } from "effect"
import { dual } from "effect/Function"
import * as Event from "../../Event/Event.ts"
import type { Decider, Keyed, Left, Right } from "../Decider.ts"
import { decideBy, evolveBy } from "./byTag.ts"

type AnyDecider = Decider<any, any, any, any, any>

export const of = (options: {
  readonly events?: ReadonlyArray<Event.EventClass<any, any>>
  readonly commands?: ReadonlyArray<Event.EventClass<any, any>>
  readonly initial: unknown
  readonly evolve: any
  readonly decide: any
}): AnyDecider => ({
  initial: options.initial,
  evolve: evolveBy("a decider", options.evolve, tagsOf(options.events)),
  decide: decideBy("a decider", options.decide, tagsOf(options.commands))
})

const tagsOf = (classes: ReadonlyArray<Event.EventClass<any, any>> = []) =>
  classes.map((type) => Event.fromMember(type).tag)

export const replay: any = dual(2, ({ evolve, initial }: AnyDecider, events: Iterable<unknown>) => {
  let state = initial
  for (const event of events) state = evolve(state, event)
  return state
})

export const pair = <C1, E1, S1, X1, R1, C2, E2, S2, X2, R2>(
  first: Decider<C1, E1, S1, X1, R1>,
  second: Decider<C2, E2, S2, X2, R2>
): Decider<Left<C1> | Right<C2>, Left<E1> | Right<E2>, readonly [S1, S2], X1 | X2, R1 | R2> => ({
  initial: [first.initial, second.initial],
  evolve: ([one, other], event) =>
    event._tag === "Left" ? [first.evolve(one, event.value), other] : [one, second.evolve(other, event.value)],
  decide: (command, [one, other]): Effect.Effect<ReadonlyArray<Left<E1> | Right<E2>>, X1 | X2, R1 | R2> =>
    command._tag === "Left"
      ? Effect.map(
        first.decide(command.value, one),
        (events) => events.map((value): Left<E1> => ({ _tag: "Left", value }))
      )
      : Effect.map(
        second.decide(command.value, other),
        (events) => events.map((value): Right<E2> => ({ _tag: "Right", value }))
      )
})

export const mapCommands: any = dual(2, (self: AnyDecider, f: (command: unknown) => unknown): AnyDecider => ({
  ...self,
  decide: (command, state) => Effect.suspend(() => self.decide(f(command), state))
}))

export const mapEvents: any = dual(2, (self: AnyDecider, { from, to }: {
  readonly to: (event: unknown) => unknown
  readonly from: (event: unknown) => unknown
}): AnyDecider => ({
  initial: self.initial,
  evolve: (state, event) => {
    const own = from(event)
    return own === undefined ? state : self.evolve(state, own)
  },
  decide: (command, state) => Effect.map(self.decide(command, state), (events) => events.map(to))
}))

export const adaptState: any = dual(2, (self: AnyDecider, { get, initial, set }: {
  readonly initial: unknown
  readonly get: (state: unknown) => unknown
  readonly set: (state: unknown, part: unknown) => unknown
}): AnyDecider => ({
  initial,
  evolve: (state, event) => set(state, self.evolve(get(state), event)),
  decide: (command, state) => self.decide(command, get(state))
}))

export const many = <K>() =>
<C, E, S, X, R>(
  self: Decider<C, E, S, X, R>
): Decider<Keyed<K, C>, Keyed<K, E>, HashMap.HashMap<K, S>, X, R> => {
  const stateOf = (states: HashMap.HashMap<K, S>, key: K) =>
    Option.getOrElse(HashMap.get(states, key), () => self.initial)
  return {
    initial: HashMap.empty(),
    // shares all but the one that changes
    evolve: (states, { key, value }) => HashMap.set(states, key, self.evolve(stateOf(states, key), value)),
    decide: ({ key, value }, states) =>
      Effect.map(
        self.decide(value, stateOf(states, key)),
        (events) => events.map((value) => ({ key, value }))
      )
  }
}
