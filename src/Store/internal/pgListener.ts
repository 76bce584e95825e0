import { type PgClient, PgConnection } from "@effect/sql-pg"
import { Effect, Queue } from "effect"
import type { LogStorage } from "../LogStorage.ts"
import { toStoreError } from "./pgRefusals.ts"

/**
 * Listens to a channel on a connection of its own, so that no statement of the application delays the news, and no
 * setting of a pool closes it. An empty payload says that the log has new events, any other is the name of a persistent
 * subscription whose deliveries changed.
 */
export const listenTo = (sql: PgClient.PgClient, channel: string): NonNullable<LogStorage["listen"]> => (onNews) =>
  Effect.gen(function*() {
    const connection = yield* PgConnection.make({
      ...sql.config,
      multiplex: false,
      applicationName: sql.config.applicationName ?? "effect-eventstore",
      // who only listens would never notice that the other side is gone
      keepAlive: sql.config.keepAlive ?? "10 seconds"
    })
    const notifications = yield* connection.listen(channel)
    return Effect.forever(Effect.map(Queue.takeAll(notifications), (all) => {
      for (const news of new Set(all.map(({ payload }) => payload))) onNews(news === "" ? undefined : news)
    })).pipe(Effect.mapError((error) => toStoreError("listen", error, "not-stored")))
  }).pipe(Effect.mapError((error) => toStoreError("listen", error, "not-stored")))
