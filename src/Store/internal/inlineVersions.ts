import { Effect, type Scope } from "effect"
import * as StreamId from "../../Stream/StreamId.ts"
import type { InlineProjection } from "../Inline.ts"
import type { AppendCommand } from "../LogStorage.ts"
import { InlineProjectionMissing, type ProjectionVersion } from "../StoreError.ts"

/** The versions that this process can apply, and which of them it believes to be applied at the moment. */
export class InlineVersions {
  /** By id: a process may run a version more than once, and applies it once. */
  private readonly registered = new Map<number, Array<InlineProjection>>()
  private readonly believed = new Set<number>()

  register(projection: InlineProjection): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const runs = this.registered.get(projection.id)
        if (runs === undefined) this.registered.set(projection.id, [projection])
        else runs.push(projection)
      }),
      () =>
        Effect.sync(() => {
          const runs = this.registered.get(projection.id)!
          runs.splice(runs.indexOf(projection), 1)
          if (runs.length > 0) return
          this.registered.delete(projection.id)
          this.believed.delete(projection.id)
        })
    )
  }

  get isEmpty(): boolean {
    return this.registered.size === 0
  }

  get ids(): ReadonlyArray<number> {
    return [...this.registered.keys()]
  }

  /** The versions of these ids, in one order for all. */
  of(ids: ReadonlyArray<number>): ReadonlyArray<InlineProjection> {
    return [...ids].sort((a, b) => a - b).flatMap((id) => this.registered.get(id)?.slice(0, 1) ?? [])
  }

  /** Whether one of them may want something of a command. */
  wants(command: AppendCommand): boolean {
    for (const [projection] of this.registered.values()) if (mayWant(projection!, command)) return true
    return false
  }

  /** Whether one that is believed to be applied may want something of a command. */
  applyTo(command: AppendCommand): boolean {
    for (const id of this.believed) if (mayWant(this.registered.get(id)![0]!, command)) return true
    return false
  }

  /** What the storage answered: which are applied, and so which are not. */
  learn(applied: ReadonlyArray<number>): void {
    this.believed.clear()
    for (const id of applied) if (this.registered.has(id)) this.believed.add(id)
  }

  /**
   * Whether all versions that an append was refused for can be applied here. Those that can are believed to be applied from
   * now on.
   */
  recognize(missing: InlineProjectionMissing): boolean {
    return this.unknownOf(missing).length === 0
  }

  /** What an append was refused for that cannot be applied here; the rest only was not, as nobody knew that it has to be. */
  explain(missing: InlineProjectionMissing): InlineProjectionMissing {
    const [first, ...rest] = this.unknownOf(missing)
    return first === undefined ? missing : new InlineProjectionMissing({ projections: [first, ...rest] })
  }

  private unknownOf({ projections }: InlineProjectionMissing): ReadonlyArray<ProjectionVersion> {
    return projections.filter(({ name, version }) => {
      for (const [projection] of this.registered.values()) {
        if (projection!.name !== name || projection!.version !== version) continue
        this.believed.add(projection!.id)
        return false
      }
      return true
    })
  }
}

/** By category and type, as a storage that refuses an append does; the rest of a filter is looked at event by event. */
const mayWant = ({ filter: { categories, types } }: InlineProjection, { entries }: AppendCommand): boolean =>
  entries.some(({ events, streamId }) =>
    events.length > 0 &&
    (categories === null || categories.includes(StreamId.category(streamId))) &&
    (types === null || events.some(({ type }) => types.includes(type)))
  )
