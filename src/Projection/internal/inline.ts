import { Array as Arr, Context, Effect, type Scope, Tracer } from "effect"
import { decodeFrom } from "../../Stream/Decode.ts"
import type { Recorded } from "../../Stream/Recorded.ts"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { Apply } from "../ProjectionMiddleware.ts"
import type { CoreOptions } from "./core.ts"
import type { Target } from "./definition.ts"
import { passingOf } from "./failure.ts"

/**
 * Lets the appends of this process apply a version in their transactions, until the scope closes. Whether they do is up to
 * the storage: a runner beside it catches up, and completes the version as often as that is asked for.
 *
 * Handlers run with the services that are there now, whoever appends; of the appender they have the transaction.
 */
export const registerInline = (
  { definition, filter, id, settings, store }: Pick<CoreOptions, "store" | "definition" | "filter" | "settings" | "id">
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const services = Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()) as Context.Context<any>
    const { name, version } = definition
    const target: Target = { store, id, owns: () => true, isRebuild: false, isInline: true }
    const inner: Apply<unknown, any> = ({ events }) =>
      Arr.isReadonlyArrayNonEmpty(events) ? Effect.asVoid(definition.apply(target, events)) : Effect.void
    const apply = settings.middleware === undefined ? inner : settings.middleware(inner)

    const put = (stored: ReadonlyArray<StoredEvent>) =>
      Effect.gen(function*() {
        const events: Array<Recorded<any>> = []
        yield* decodeFrom(definition.decode, stored, 0, events) ?? Effect.void
        if (events.length === 0) return
        yield* apply({ projection: name, version, partition: 0, isRebuild: false, attempt: 1, events })
      })

    yield* store.inline.register({
      id,
      name,
      version,
      filter,
      apply: (events) =>
        Effect.catchCause(Effect.provideContext(Effect.scoped(put(events)), services), (cause) => {
          const trouble = passingOf(cause)
          return trouble === undefined ? Effect.failCause(cause) : Effect.fail(trouble)
        })
    })
  })
