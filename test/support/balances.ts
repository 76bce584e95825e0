/** A read model of balances whose tables look otherwise in every other version, and what each has to say at any time. */
import { Effect, Schema } from "effect"
import { Category, Projection } from "effect-eventstore"

class Sent extends Schema.TaggedClass<Sent>()("Sent", {
  from: Schema.String,
  to: Schema.String,
  amount: Schema.Int
}) {}

export const sent = (from: string, to: string, amount: number) => new Sent({ from, to, amount })

export const Payments = Category.make("payment", { id: Schema.String, events: [Sent] })

const isOdd = (version: number) => version % 2 === 1

/** Odd versions keep a balance, even ones what came in and what went out. All together have nothing. */
export const balances = (version: number) =>
  Projection.make("balances", {
    version,
    from: Payments,
    setup: ({ sql, table }) =>
      Effect.andThen(
        isOdd(version)
          ? sql`CREATE TABLE ${
            table("accounts")
          } (name text PRIMARY KEY, balance int8 NOT NULL, payments int8 NOT NULL)`
          : sql`CREATE TABLE ${table("accounts")} (payments text, coming text, going text, name text PRIMARY KEY)`,
        sql`CREATE TABLE ${table("summary")} AS SELECT ${version}::int4 AS version, 0::int8 AS payments`
      ),
    handle: {
      Sent: ({ event: { amount, from, to } }, { sql, table }) =>
        isOdd(version)
          ? sql`
            WITH sides AS (
              INSERT INTO ${table("accounts")} AS a (name, balance, payments)
              VALUES (${from}, ${-amount}::int8, 1), (${to}, ${amount}::int8, 1)
              ON CONFLICT (name) DO UPDATE SET balance = a.balance + excluded.balance, payments = a.payments + 1
            )
            UPDATE ${table("summary")} SET payments = payments + 1`
          : sql`
            WITH sides AS (
              INSERT INTO ${table("accounts")} AS a (name, coming, going, payments)
              VALUES (${from}, 0, ${amount}::int8, '1'), (${to}, ${amount}::int8, 0, '1')
              ON CONFLICT (name) DO UPDATE SET coming = a.coming::int8 + excluded.coming::int8,
                going = a.going::int8 + excluded.going::int8, payments = a.payments::int8 + 1
            )
            UPDATE ${table("summary")} SET payments = payments + 1`
    }
  })

/** Asks the live version, in several steps; answers its number and what does not fit together. */
export const ask = (program: ReturnType<typeof balances>) =>
  Projection.read(program, ({ sql, table, version }) =>
    Effect.gen(function*() {
      const [summary] = yield* sql<{ version: number; payments: number }>`
        SELECT version, payments::float8 AS payments FROM ${table("summary")}`
      yield* Effect.sleep(2)
      const [accounts] = isOdd(version)
        ? yield* sql<{ balance: number; payments: number }>`
          SELECT coalesce(sum(balance), 0)::float8 AS balance, coalesce(sum(payments), 0)::float8 AS payments
          FROM ${table("accounts")}`
        : yield* sql<{ balance: number; payments: number }>`
          SELECT coalesce(sum(coming::int8 - going::int8), 0)::float8 AS balance,
            coalesce(sum(payments::int8), 0)::float8 AS payments
          FROM ${table("accounts")}`
      const problem = summary?.version !== version
        ? `asked version ${version} and was answered by ${summary?.version}`
        : accounts?.balance !== 0
        ? `all together have ${accounts?.balance}`
        : accounts.payments !== 2 * summary.payments
        ? `${accounts.payments} sides of ${summary.payments} payments`
        : undefined
      return { version, problem }
    }))
