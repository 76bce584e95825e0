import { Data, Effect, Option } from "effect"
import type { AppendRefused, LogStorage } from "../LogStorage.ts"
import { type InvalidInput, StoreError } from "../StoreError.ts"
import type { Held, SubscriptionStorage } from "../SubscriptionStorage.ts"
import type { Statement, Values } from "./eventsSql.ts"
import * as Sql from "./subscriptionsSql.ts"

/** Runs a statement and answers its rows. */
export type Query = (operation: string, statement: Statement) => Effect.Effect<ReadonlyArray<Values>, StoreError>

/** The same for what changes something. `repeatable` says that to do it twice is as good as once. */
export type Execute = (
  operation: string,
  statement: Statement,
  options?: { readonly repeatable: boolean }
) => Effect.Effect<ReadonlyArray<Values>, StoreError>

/** How the subscriptions of a log are reached. */
export interface PgSubscriptionsOptions {
  readonly schema: string
  readonly log: number
  /** With the client of the application, and in its transaction where one is open. */
  readonly query: Query
  /** On a connection of the store, beside every transaction that is open. */
  readonly execute: Execute
  /** The same for what may have to wait for the transaction of a consumer: nothing else is to stand behind it. */
  readonly change: Execute
  readonly inTransaction: Effect.Effect<boolean>
  /** Whether nothing is executed while a transaction is open: it would wait for the transaction that waits for it. */
  readonly isExclusive: boolean
  readonly transaction: LogStorage["transaction"]
}

/**
 * The queues of persistent subscriptions in a Postgres database.
 *
 * What changes them is one statement on a connection of the store's own, and a transaction by itself: it waits neither for
 * slow queries of the application, nor for what the application does in its transactions, and holds no lock while somebody
 * thinks. Only `finishWith` is a part of the application's transaction.
 *
 * An answer that is lost is a `StoreError` with an unknown outcome that is retryable: a repeated settlement is refused
 * where it was done, and of a repeated claim the deliveries come again when their leases run out, with an attempt counted.
 */
export const makePgSubscriptions = (options: PgSubscriptionsOptions): SubscriptionStorage => {
  const { inTransaction, isExclusive, log, query, schema, transaction } = options

  const guarded = (run: Execute): Execute => (operation, ...rest) =>
    isExclusive
      ? Effect.flatMap(inTransaction, (isOpen) => isOpen ? waitsForItself(operation) : run(operation, ...rest))
      : run(operation, ...rest)
  const execute = guarded(options.execute)
  const change = guarded(options.change)

  /** The only value of the only row. */
  const answer = <A>(rows: ReadonlyArray<Values>): A => rows[0]![0]

  return {
    create: (definition, start) =>
      Effect.map(
        execute("createSubscription", Sql.createSubscription(schema, log, definition, start)),
        answer<boolean>
      ),

    update: (name, { start, ...changes }) =>
      Effect.map(
        change("updateSubscription", Sql.updateSubscription(schema, log, name, changes, start)),
        answer<boolean>
      ),

    remove: (name) =>
      Effect.map(change("removeSubscription", Sql.removeSubscription(schema, log, name)), answer<boolean>),

    list: (now) =>
      Effect.map(
        query("subscriptions", Sql.subscriptionStates(schema, log, null, now)),
        (rows) => rows.map(Sql.toSubscriptionState)
      ),

    state: (name, now) =>
      Effect.map(
        query("subscription", Sql.subscriptionStates(schema, log, name, now)),
        (rows) => Option.map(Option.fromNullishOr(rows[0]), Sql.toSubscriptionState)
      ),

    claim: (claim) => Effect.map(execute("claim", Sql.claimDeliveries(schema, claim), repeatable), Sql.toClaimed),

    settle: (id, settlements, now) =>
      settlements.length === 0
        ? nothing
        : Effect.map(
          execute("settle", Sql.settleDeliveries(schema, id, settlements, now), repeatable),
          answer<ReadonlyArray<number>>
        ),

    extend: (id, held, lease, now) =>
      held.length === 0
        ? nothing
        : Effect.map(
          execute("extend", Sql.extendDeliveries(schema, id, held, lease, now), repeatable),
          answer<ReadonlyArray<number>>
        ),

    finishWith: <A, E, R>(id: number, { lease, position }: Held, effect: Effect.Effect<A, E, R>, now?: number) => {
      const lost = new LeaseIsLost()
      const done = Sql.settleDeliveries(schema, id, [{ position, lease, outcome: "done" }], now)
      const finish = Effect.flatMap(
        query("settle", done),
        (rows) => answer<ReadonlyArray<number>>(rows).length === 0 ? Effect.void : Effect.fail(lost)
      )
      return Effect.catch(
        Effect.asSome(transaction(Effect.tap(effect, finish))),
        (error): Effect.Effect<Option.Option<A>, E | AppendRefused | InvalidInput | StoreError> =>
          // the very one: the effect may have failed with that of another delivery
          error === lost ? Effect.succeedNone : Effect.fail(error as Exclude<typeof error, LeaseIsLost>)
      )
    },

    parked: (id, page) =>
      Effect.map(query("parked", Sql.parkedDeliveries(schema, log, id, page)), (rows) => rows.map(Sql.toParked)),

    replay: (id, positions) =>
      Effect.map(execute("replay", Sql.replayDeliveries(schema, id, positions)), answer<number>),

    discard: (id, positions) =>
      Effect.map(execute("discard", Sql.discardDeliveries(schema, id, positions)), answer<number>),

    skip: (id, positions) => Effect.map(change("skip", Sql.skipDeliveries(schema, id, positions)), answer<number>)
  }
}

const repeatable = { repeatable: true }

/** Rolls back the transaction that cannot finish its delivery. Nobody else sees it. */
class LeaseIsLost extends Data.TaggedError("LeaseIsLost") {}

const nothing = Effect.succeed<ReadonlyArray<number>>([])

/** The only connection is held by the transaction that would wait. */
export const waitsForItself = (operation: string) =>
  Effect.fail(
    new StoreError({
      operation,
      isRetryable: false,
      outcome: "not-stored",
      cause: new Error("the database has one connection, and the transaction that is open holds it")
    })
  )
