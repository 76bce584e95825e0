/**
 * Subscribes to the whole log and writes what comes to standard output, a line an event: its position and its id.
 * `node subscribeWorker.ts URL OPTIONS AFTER`, the options of the store and the place as JSON. Ends with a line that names
 * the error when the subscription fails.
 */
import { Effect, References, Stream } from "effect"
import { Category, EventStore, Subscription } from "effect-eventstore"
import { writeSync } from "node:fs"
import { openStore } from "./Notes.ts"

const [url, options, after] = process.argv.slice(2) as [string, string, string]

await Effect.runPromise(
  Effect.scoped(
    Effect.flatMap(
      openStore(url, JSON.parse(options)),
      ({ store }) =>
        Subscription.catchUp(Category.raw, { after: JSON.parse(after) }).pipe(
          Stream.runForEachArray((events) =>
            Effect.sync(() =>
              writeSync(
                1,
                events.map(({ eventId, position }) => `${position} ${eventId}\n`).join("")
              )
            )
          ),
          Effect.provideService(EventStore, store),
          // standard output is for what comes
          Effect.provideService(References.MinimumLogLevel, "None"),
          Effect.catch((error) => Effect.sync(() => writeSync(1, `failed ${error._tag}\n`)))
        )
    )
  )
)
