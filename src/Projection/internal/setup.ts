import { Effect } from "effect"
import { retryPassing } from "../../Store/StoreError.ts"
import { ProjectionFailed } from "../ProjectionError.ts"
import type { CoreOptions } from "./core.ts"
import type { Target } from "./definition.ts"
import { failureOf, passingOf } from "./failure.ts"

/** The version as a whole, for what is done once. */
export const wholeTarget = ({ id, store }: Pick<CoreOptions, "id" | "store">): Target => ({
  store,
  id,
  owns: () => true,
  isRebuild: true,
  isInline: false
})

/** Sets a version up, unless it is: once, whoever else tries. */
export const setUp = (
  options: Pick<CoreOptions, "id" | "store" | "definition">
): Effect.Effect<void, ProjectionFailed, any> => {
  const { definition, id, store } = options
  const { name: projection, version } = definition
  const failed = (cause: unknown) => new ProjectionFailed({ projection, version, position: null, cause })
  return Effect.suspend(() => store.storage.projections.setUpWith(id, definition.setUp(wholeTarget(options)))).pipe(
    Effect.catchCause((cause) => Effect.fail(passingOf(cause) ?? failed(failureOf(cause)))),
    (set) =>
      retryPassing(
        set,
        (error) =>
          Effect.annotateLogs(Effect.logWarning("A projection cannot be set up for now", error.message), {
            projection,
            version
          })
      ),
    Effect.mapError((error) => error._tag === "ProjectionFailed" ? error : failed(error)),
    Effect.asVoid
  )
}
