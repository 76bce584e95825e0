/** Emmett's consumer of a Postgres store. It lies in this folder to see this folder's dependencies. */
import { reactor } from "@event-driven-io/emmett"
import { postgreSQLEventStoreConsumer } from "@event-driven-io/emmett-postgresql"
import { Effect, type Scope } from "effect"

/**
 * - `"default"`: a reactor with the settings there are: a hundred messages a batch, 50 ms between batches
 * - `"tuned"`: the same with a thousand a batch and 1 ms between
 * - `"no checkpoints"`: tuned, with a processor that does not store its position; the others do so after every message
 */
export type Settings = "default" | "tuned" | "no checkpoints"

/** What a handler is handed, as far as a bench looks at it. */
export interface EmmettMessage {
  readonly data: unknown
}

const tuned = { batchSize: 1000, pullingFrequencyInMs: 1 }

const make = (
  url: string,
  settings: Settings,
  options: {
    readonly name: string
    readonly startFrom: "BEGINNING" | "END"
    /** Answers `true` for the last message it wants. */
    readonly onMessage: (message: EmmettMessage) => boolean
  }
) => {
  let isLast = false
  const processor = {
    processorId: options.name,
    startFrom: options.startFrom,
    eachMessage: (message: EmmettMessage) => {
      isLast = options.onMessage(message)
    },
    stopAfter: () => isLast
  }
  const consumer = postgreSQLEventStoreConsumer({
    connectionString: url,
    ...settings === "default" ? {} : { pulling: tuned },
    ...settings === "no checkpoints" ? { processors: [reactor(processor)] } : {}
  })
  if (settings !== "no checkpoints") consumer.reactor(processor)
  return consumer
}

/** Hands out the first messages of a store; says how many milliseconds it took to the last one. */
export const consume = (url: string, settings: Settings, name: string, count: number): Effect.Effect<number> =>
  Effect.promise(async () => {
    const started = performance.now()
    let handled = 0
    let last = Number.NaN
    const consumer = make(url, settings, {
      name,
      startFrom: "BEGINNING",
      onMessage: () => {
        last = performance.now()
        return ++handled === count
      }
    })
    await consumer.start()
    await consumer.close()
    if (handled !== count) throw new Error(`Emmett handed out ${handled} of ${count} messages`)
    return last - started
  })

/** Hands out what comes from now on, until the scope closes. */
export const follow = (
  url: string,
  settings: Settings,
  name: string,
  onMessage: (message: EmmettMessage) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const consumer = make(url, settings, {
        name,
        startFrom: "END",
        onMessage: (message) => {
          onMessage(message)
          return false
        }
      })
      consumer.start().catch((error: unknown) => {
        throw error
      })
      return consumer
    }),
    (consumer) => Effect.promise(() => consumer.close())
  ))
