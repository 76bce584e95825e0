import { Clock, Effect } from "effect"
import type { EventData } from "../../Event/EventData.ts"
import { isDue } from "../../Snapshot/Snapshot.ts"
import * as SnapshotStore from "../../Snapshot/SnapshotStore.ts"
import { type Appended, EventStore } from "../../Store/EventStore.ts"
import { allSaved, type Folded, type Loaded, markOf } from "./loading.ts"

/** A state after the append of what was decided on it. */
export const advance = <S>(
  { truncatedBefore, unsaved }: Loaded<unknown>,
  state: S,
  news: ReadonlyArray<EventData<any>>,
  { position, version }: Pick<Appended, "position" | "version">
): Effect.Effect<Loaded<S>> =>
  Clock.clockWith((clock) =>
    Effect.succeed({
      state,
      version,
      position,
      mark: markOf({ eventId: news.at(-1)!.id!, position, streamVersion: version }, truncatedBefore),
      truncatedBefore,
      unsaved: {
        ...unsaved,
        events: unsaved.events + news.length,
        oldest: unsaved.oldest ?? clock.currentTimeMillisUnsafe()
      }
    })
  )

/** Saves a state behind the answer, where it is to be saved now: neither waits nor fails. */
export const saveIfDue = <S>(
  store: EventStore["Service"],
  { snapshot, stream }: Folded<S>,
  loaded: Loaded<S>
): Effect.Effect<Loaded<S>> =>
  snapshot === undefined ?
    Effect.succeed(loaded) :
    Clock.clockWith((clock) =>
      isDue(snapshot.policy, { ...loaded.unsaved, now: clock.currentTimeMillisUnsafe() })
        ? SnapshotStore.saveLater(snapshot, stream, loaded).pipe(
          Effect.provideService(EventStore, store),
          Effect.map((isAdded) => isAdded ? { ...loaded, unsaved: allSaved } : loaded)
        )
        : Effect.succeed(loaded)
    )
