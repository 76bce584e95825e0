/** Ledgers, whose entries tell which state they were decided on, as a decider and as an entity that processes share. */
import { NodeClusterSocket } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Option, Redacted, Schema } from "effect"
import { Category, Decider, PgEventStore } from "effect-eventstore"
import * as DeciderEntity from "effect-eventstore/Aggregate/DeciderEntity"
import { RunnerAddress } from "effect/cluster"

export class Entered extends Schema.TaggedClass<Entered>()("Entered", {
  by: Schema.Int,
  /** What the command was decided on. */
  saw: Schema.Int,
  note: Schema.String
}) {}

/** Enters an amount `times` times. */
export class Enter extends Schema.TaggedClass<Enter>()("Enter", {
  by: Schema.Int,
  note: Schema.String.pipe(Schema.withConstructorDefault(Effect.succeed(""))),
  times: Schema.Natural.pipe(Schema.withConstructorDefault(Effect.succeed(1)))
}) {}
export class Die extends Schema.TaggedClass<Die>()("Die", {}) {}

export class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { sum: Schema.Int }) {}

const State = Schema.Struct({ sum: Schema.Int, entries: Schema.Natural })

const decideEnter = ({ by, note, times }: Enter, { sum }: typeof State.Type) =>
  sum + by * times < 0
    ? Effect.fail(new Overdrawn({ sum }))
    : Effect.succeed(Array.from({ length: times }, (_, i) => new Entered({ by, saw: sum + by * i, note })))

/** Ledgers under a name of their own. */
export const makeLedgers = (name: string, decide: typeof decideEnter = decideEnter) => {
  const Ledger = Category.make(name, { id: Schema.String, events: [Entered] })
  const ledgers = Decider.make(Ledger, {
    state: State,
    commands: [Enter, Die],
    initial: { sum: 0, entries: 0 },
    evolve: { Entered: ({ entries, sum }, { by }) => ({ sum: sum + by, entries: entries + 1 }) },
    decide: {
      Enter: decide,
      Die: () => {
        throw new Error("this one dies")
      }
    }
  })
  return { Ledger, ledgers, entity: DeciderEntity.make(ledgers, { error: Overdrawn }) }
}

/** Those that the processes of a test share. */
export const shared = makeLedgers("ledger")

/** A cluster of several processes on one database; without a port, only a client of it. */
export const cluster = (url: string, port?: number) => {
  const shardingConfig = {
    runnerAddress: port === undefined ? Option.none() : Option.some(RunnerAddress.make("127.0.0.1", port)),
    shardLockExpiration: "6 seconds",
    shardLockRefreshInterval: "1 second",
    runnerHealthCheckInterval: "1 second",
    refreshAssignmentsInterval: "500 millis"
  } as const
  const layer = port === undefined
    ? NodeClusterSocket.layer({ clientOnly: true, shardingConfig })
    : NodeClusterSocket.layer({ shardingConfig })
  return layer.pipe(
    Layer.orDie,
    Layer.provideMerge(PgEventStore.layer()),
    Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))
  )
}
