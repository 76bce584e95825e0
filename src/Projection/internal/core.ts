import { type Clock, type Context, Duration, Effect } from "effect"
import type { EventStore } from "../../Store/EventStore.ts"
import type { LogFilter } from "../../Store/LogFilter.ts"
import type { OwnedPartition, PartitionsClaimed } from "../../Store/ProjectionStorage.ts"
import { Signal } from "../../Store/Signal.ts"
import * as StorageTime from "../../Store/StorageTime.ts"
import { retryPassing, type StoreError } from "../../Store/StoreError.ts"
import type { Definition } from "./definition.ts"
import type { Settings } from "./settings.ts"
import { steadyMillis } from "./time.ts"

export interface CoreOptions {
  readonly store: EventStore["Service"]
  readonly definition: Definition
  readonly filter: LogFilter
  readonly settings: Settings
  /** Stands for the version in its storage. */
  readonly id: number
  /** Names the runner. */
  readonly runner: string
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
}

/** What a runner and its workers share. */
export class Core {
  readonly options: CoreOptions
  /** Raised when the storage is to be asked again what there is to do. */
  readonly signal = new Signal()
  /** What the storage said last. */
  known: PartitionsClaimed | undefined
  /** Whether one of the workers completes the version. */
  isCompleting = false
  /** Told when more is in the read model, or it is known that there is nothing more to put into it. */
  onProgress: () => void = () => {}

  constructor(options: CoreOptions) {
    this.options = options
  }

  /** Time for the storage to go by. */
  get now(): number | undefined {
    return StorageTime.of(this.options.clock)
  }

  /** Milliseconds that never go back. */
  get millis(): number {
    return steadyMillis(this.options.clock)
  }

  get lease(): number {
    return Duration.toMillis(this.options.settings.lease)
  }

  /** Whether the version has to be completed: it has not caught up before, or somebody wants it to be live. */
  get wantsCompletion(): boolean {
    const { definition: { isInline } } = this.options
    const { known } = this
    return known !== undefined &&
      (known.stage === "building" || known.isSwitchWanted || isInline && known.isLive && !known.isApplied)
  }

  /** Says that the version changed, to all in this process. */
  readonly changed = (): void => this.options.store.tail.changed(channelOf(this.options.definition.name))

  /** Goes on trying while the storage does not answer. */
  steadily<A, E, R>(
    what: string,
    effect: Effect.Effect<A, E, R>,
    onError: (error: StoreError) => Effect.Effect<void> = () => Effect.void
  ): Effect.Effect<A, E, R> {
    return retryPassing(effect, (error) => {
      const warning = Effect.logWarning(`The projection cannot be ${what} for now`, error.message)
      return Effect.andThen(this.annotated(warning), onError(error))
    })
  }

  /** Notes a failure, for operators. */
  report(
    { epoch, partition }: Pick<OwnedPartition, "partition" | "epoch">,
    failure: { readonly error: string; readonly position: number | null; readonly isFatal: boolean }
  ): Effect.Effect<void, StoreError> {
    const { id, store } = this.options
    const report = Effect.suspend(() => store.storage.projections.report({ id, partition, epoch }, failure))
    return this.steadily("reported", report)
  }

  /** Says what a log line is about. */
  annotated<A, E, R>(effect: Effect.Effect<A, E, R>, more: Record<string, unknown> = {}): Effect.Effect<A, E, R> {
    const { name: projection, version } = this.options.definition
    return Effect.annotateLogs(effect, { projection, version, ...more })
  }
}

/** Under which changes of a projection are told. */
export const channelOf = (name: string): string => `projection/${name}`
