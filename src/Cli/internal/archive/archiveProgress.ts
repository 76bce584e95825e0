import { Effect } from "effect"

/** How far an export or an import came; called again and again, last with all that there is. */
export interface ArchiveProgress {
  /** `checking` reads an archive through before anything is stored. */
  readonly phase: "checking" | "exporting" | "importing"
  /** Events that are done. */
  readonly events: number
  /** How many there are, where that is known. */
  readonly total: number | undefined
}

export interface ProgressOptions {
  readonly onProgress?: ((progress: ArchiveProgress) => Effect.Effect<void>) | undefined
}

/** Tells how many events more are done. */
export type Advance = (events: number) => Effect.Effect<void>

export const makeAdvance = (
  phase: ArchiveProgress["phase"],
  total: number | undefined,
  options: ProgressOptions | undefined
): Advance => {
  const onProgress = options?.onProgress
  if (onProgress === undefined) return () => Effect.void
  let done = 0
  return (events) => Effect.suspend(() => onProgress({ phase, events: done += events, total }))
}
