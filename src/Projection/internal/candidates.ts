import { Effect } from "effect"
import type { StoreError } from "../../Store/StoreError.ts"
import { type Decode, decodeFrom } from "../../Stream/Decode.ts"
import type { DecodeError } from "../../Stream/DecodeError.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import { mayKeep, type Target } from "./definition.ts"
import type { Candidate } from "./pattern.ts"

/** The candidates of keys as documents: each event as it is stored, once, and where each candidate has it. */
interface Document {
  readonly events: ReadonlyArray<{ readonly part: number; readonly stored: StoredEvent }>
  readonly candidates: ReadonlyArray<{
    readonly since: number
    readonly clock: number
    /** Indexes into the events, by step. */
    readonly steps: ReadonlyArray<ReadonlyArray<number>>
  }>
}

/** Most keys that an owner remembers from one transaction to the next. */
const mostRemembered = 2_000

/** Keeps the candidates of each key in the storage of projections. */
export class Candidates {
  private readonly base: Decode<any, any>
  /** How the events in hand are stored: today's form of an older one cannot always be stored again. */
  private readonly stored = new WeakMap<Recorded<any>, StoredEvent>()

  constructor(decode: Decode<any, any>) {
    this.base = decode
  }

  /** Decodes an event, and remembers how it is stored. */
  readonly decode: Decode<any, any> = (stored, into) =>
    this.base(stored, {
      push: (recorded) => {
        this.stored.set(recorded, stored)
        return into.push(recorded)
      }
    })

  /** The candidates of keys: copies, as they are changed before it is certain that the transaction succeeds. */
  load(
    { id, kept, store }: Target,
    keys: ReadonlySet<string>
  ): Effect.Effect<Map<string, ReadonlyArray<Candidate>>, DecodeError | StoreError, any> {
    return Effect.gen({ self: this }, function*() {
      const loaded = new Map<string, ReadonlyArray<Candidate>>()
      const missing: Array<string> = []
      for (const key of keys) {
        const known = kept?.get(key) as ReadonlyArray<Candidate> | undefined
        if (known === undefined) missing.push(key)
        else {loaded.set(
            key,
            known.map(({ steps, ...rest }) => ({ ...rest, steps: steps.map((events) => [...events]) }))
          )}
      }
      if (missing.length === 0) return loaded
      // one owner works on a key at a time: what another one does under an older epoch is refused
      const documents = yield* store.storage.projections.documents.load(id, missing, { isLocking: false })
      for (const key of missing) {
        const text = documents.get(key)
        loaded.set(key, text === undefined ? [] : yield* this.parse(JSON.parse(text)))
      }
      return loaded
    })
  }

  /** Keeps what became of them: `before` are the keys that had some. */
  save(
    target: Target,
    candidates: ReadonlyMap<string, ReadonlyArray<Candidate>>,
    before: ReadonlySet<string>
  ): Effect.Effect<void, StoreError> {
    const { id, kept, store } = target
    const changes: Array<{ readonly key: string; readonly state: string | null }> = []
    for (const [key, open] of candidates) {
      if (open.length > 0) changes.push({ key, state: JSON.stringify(this.toDocument(open)) })
      else if (before.has(key)) changes.push({ key, state: null })
    }
    // until they are saved nobody knows; and in a savepoint not even then
    for (const { key } of changes) kept?.delete(key)
    const remember = Effect.map(mayKeep(target), (isKept) => {
      if (!isKept || kept === undefined) return
      if (kept.size > mostRemembered) kept.clear()
      for (const [key, open] of candidates) kept.set(key, open)
    })
    return changes.length === 0
      ? remember
      : Effect.andThen(store.storage.projections.documents.save(id, changes), remember)
  }

  private toDocument(candidates: ReadonlyArray<Candidate>): Document {
    const indexes = new Map<Recorded<any>, number>()
    const events: Array<Document["events"][number]> = []
    const indexOf = (recorded: Recorded<any>): number => {
      let index = indexes.get(recorded)
      if (index === undefined) {
        indexes.set(recorded, index = events.length)
        events.push({ part: recorded.part, stored: this.stored.get(recorded)! })
      }
      return index
    }
    return {
      candidates: candidates.map(({ clock, since, steps }) => ({
        since,
        clock,
        steps: steps.map((step) => step.map(indexOf))
      })),
      events
    }
  }

  private parse({ candidates, events }: Document): Effect.Effect<ReadonlyArray<Candidate>, DecodeError, any> {
    return Effect.gen({ self: this }, function*() {
      const decoded: Array<Recorded<any>> = []
      for (const { part, stored } of events) {
        const parts: Array<Recorded<any>> = []
        yield* decodeFrom(this.decode, [stored], 0, parts) ?? Effect.void
        const found = parts.find((recorded) => recorded.part === part)
        if (found === undefined) {
          return yield* Effect.die(
            new Error(
              `Part ${part} of the event at position ${stored.position} is not there any more: raise the version`
            )
          )
        }
        decoded.push(found)
      }
      return candidates.map(({ clock, since, steps }) => ({
        since,
        clock,
        steps: steps.map((step) => step.map((index) => decoded[index]!))
      }))
    })
  }
}
