import { Effect } from "effect"
import type { NewParkedEvent, ParkedEvent } from "../../Store/ProjectionStorage.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import { messageOf } from "./failure.ts"
import { decodeItem, type Item } from "./reader.ts"
import type { Worker } from "./worker.ts"
import { type Worked, workThrough } from "./working.ts"

/** Parked events that are read at a time, and the most pages of a key before new events have their turn. */
const pageEvents = 500
const mostPages = 4

/** Most parked events of a transaction. */
const batchEvents = 100

/**
 * Handles parked events of a key in order, up to some thousand, and lets the key go on when none is left. Those that come
 * meanwhile are parked behind them, and only by this worker, between two calls: so none can come behind the last one
 * unseen. It handles more than can come between two calls, and so comes to an end.
 */
export const replayKey = (worker: Worker, key: string): Effect.Effect<Worked, unknown, any> =>
  Effect.gen(function*() {
    const { core, parking } = worker
    const { id, store } = core.options
    for (let pages = 0; pages < mostPages; pages++) {
      const asked = Effect.suspend(() => store.storage.projections.parked(id, { key, after: 0, limit: pageEvents }))
      const page = yield* core.steadily("replayed", asked)
      const worked = page.length === 0 ? "done" : yield* replayPage(worker, key, page)
      if (worked !== "done") return worked
      if (page.length < pageEvents) {
        parking.free(key)
        return "done"
      }
    }
    return "done"
  })

const replayPage = (worker: Worker, key: string, page: ReadonlyArray<ParkedEvent>) =>
  Effect.gen(function*() {
    const { core, owned, parking } = worker
    const { definition: { decode }, id, store } = core.options
    const { projections } = store.storage
    const items: Array<Item> = []
    const hidden: Array<number> = []
    for (const { event, position } of page) {
      if (event === undefined) {
        hidden.push(position)
        continue
      }
      const item: Item = { stored: event, parts: [], failure: undefined }
      yield* decodeItem(decode, item) ?? Effect.void
      items.push(item)
    }
    const owns = (other: string) => other === key
    if (hidden.length > 0) {
      // nothing is left to do for them
      const step = { ...worker.place, unpark: { key, positions: hidden } }
      if (!(yield* worker.advance(step, [], 1, owns))) return "refused"
    }
    // keys of events that were parked by their stream, because they did not decode then: these wait for their turn as well
    const moved = new Set<string>()
    const worked = yield* workThrough(items, {
      isAlone: ({ failure }) => failure !== undefined,
      isLeaving: worker.isLeaving,
      // somebody asked for one try, and all else of the partition waits for it
      retryIn: () => Effect.undefined,
      pause: () => Effect.succeed(true),
      limit: () => batchEvents,
      commit: (items, { number }) => {
        const { failure } = items[0]!
        if (failure !== undefined) return Effect.failCause(failure)
        const applied: Array<Recorded<any>> = []
        const park: Array<NewParkedEvent> = []
        for (const { parts, stored: { position } } of items) {
          const mine = parts.filter((part) => parking.keys(part).includes(key))
          applied.push(...mine)
          if (mine.length > 0) continue
          for (const other of new Set(parts.flatMap((part) => parking.keys(part)))) {
            park.push({ key: other, position, attempts: 0, error: null })
            moved.add(other)
          }
        }
        const positions = items.map(({ stored }) => stored.position)
        return worker.advance({ ...worker.place, park, unpark: { key, positions } }, applied, number, owns)
      },
      blame: ({ stored: { position } }, cause) =>
        Effect.gen(function*() {
          const partition = { id, partition: owned.partition, epoch: owned.epoch }
          const error = messageOf(cause)
          yield* core.steadily(
            "replayed",
            Effect.suspend(() => projections.replayFailed(partition, { key, position, error }))
          )
          yield* core.annotated(Effect.logWarning("A parked event failed again", cause), { position, key })
          parking.keep(key)
          return "stopped" as const
        })
    })
    if (moved.size > 0) {
      yield* core.steadily("replayed", Effect.suspend(() => projections.replay(id, [...moved])))
      core.changed()
      // their owners are asked to look, this one among them
      return "refused"
    }
    return worked
  })
