import { Effect, Latch, type Scope } from "effect"
import * as StreamId from "../../Stream/StreamId.ts"
import type { InlineProjection } from "../Inline.ts"
import type { AppendCommand } from "../LogStorage.ts"
import { InlineProjectionMissing, type ProjectionVersion } from "../StoreError.ts"

/** A version that this process runs, and how many transactions are about to apply it. */
interface Run {
  readonly projection: InlineProjection
  readonly idle: Latch.Latch
  users: number
}

/** The versions that this process can apply, and which of them it believes to be applied at the moment. */
export class InlineVersions {
  /** By id: a process may run a version more than once, and applies it once. */
  private readonly registered = new Map<number, Array<Run>>()
  private readonly believed = new Set<number>()

  /** Until the scope closes; transactions that count on it by then may use what closes with it, and are waited for. */
  register(projection: InlineProjection): Effect.Effect<void, never, Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() => {
        const run: Run = { projection, idle: Latch.makeUnsafe(true), users: 0 }
        const runs = this.registered.get(projection.id)
        if (runs === undefined) this.registered.set(projection.id, [run])
        else runs.push(run)
        return run
      }),
      (run) =>
        Effect.suspend(() => {
          const runs = this.registered.get(projection.id)!
          runs.splice(runs.indexOf(run), 1)
          if (runs.length === 0) {
            this.registered.delete(projection.id)
            this.believed.delete(projection.id)
          }
          return Effect.timeoutOption(run.idle.await, patienceAtEnd)
        })
    ))
  }

  /** Runs an effect that may apply any of them, in one order for all. */
  using<A, E>(use: (projections: ReadonlyArray<InlineProjection>) => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const runs = [...this.registered.values()].map(([run]) => run!).sort((a, b) => a.projection.id - b.projection.id)
      for (const run of runs) if (run.users++ === 0) run.idle.closeUnsafe()
      return Effect.onExitPrimitive(use(runs.map(({ projection }) => projection)), () => {
        for (const run of runs) if (--run.users === 0) run.idle.openUnsafe()
        return undefined
      })
    })
  }

  get isEmpty(): boolean {
    return this.registered.size === 0
  }

  /** Whether one of them may want something of a command. */
  wants(command: AppendCommand): boolean {
    for (const [run] of this.registered.values()) if (mayWant(run!.projection, command)) return true
    return false
  }

  /** Whether one that is believed to be applied may want something of a command. */
  applyTo(command: AppendCommand): boolean {
    for (const id of this.believed) if (mayWant(this.registered.get(id)![0]!.projection, command)) return true
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
      for (const [id, [run]] of this.registered) {
        if (run!.projection.name !== name || run!.projection.version !== version) continue
        this.believed.add(id)
        return false
      }
      return true
    })
  }
}

/** How long a projection that ends waits for appends that apply it: one may wait for a transaction that nobody ends. */
const patienceAtEnd = "3 seconds"

/** By category and type, as a storage that refuses an append does; the rest of a filter is looked at event by event. */
const mayWant = ({ filter: { categories, types } }: InlineProjection, { entries }: AppendCommand): boolean =>
  entries.some(({ events, streamId }) =>
    events.length > 0 &&
    (categories === null || categories.includes(StreamId.category(streamId))) &&
    (types === null || events.some(({ type }) => types.includes(type)))
  )
