/**
 * The shape of every version of every event and snapshot that is stored, in a file under version control, and the proof that
 * today's program declares the same ones.
 *
 * Where somebody changes a class whose events are stored, this fails, says what changed, and what to do. Beside
 * `GoldenSamples`, which decodes one sample of each, it compares all that a schema says.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  check,
  type Guarded,
  type Guarding,
  nameOf,
  SchemaChanged,
  vanished,
  verifyAll,
  wantedOf
} from "./internal/schemaGuard.ts"

export {
  /**
   * @category models
   * @since 0.1.0
   */
  type Guarded,
  /**
   * @category errors
   * @since 0.1.0
   */
  SchemaChanged
}

/**
 * - `file`: path of the JSON file that keeps the shapes
 * - `write`: whether to note versions that the file does not have, and changes that are harmless; default is whether the
 *   environment variable `SCHEMA_GUARD` is `write`. A change that is not harmless is never noted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly file: string
  readonly write?: boolean | undefined
}

/**
 * Checks the shapes of events and snapshots against the file. Answers how many there are.
 *
 * **Details** Compared is what is stored: the JSON form of the schemas, what it is read as, and the checks that it has to pass.
 * Descriptions, messages, names of classes and the order of fields are no part of it.
 *
 * Of an event, a change is harmless where whatever was stored reads as it did: an optional field was added, a field may be
 * missing now or may have further values, a check is gone. It still has to be noted, with `SCHEMA_GUARD=write`: what is stored
 * from now on has that shape. Every other change needs a version of its own. A state of a snapshot has to be what a fold of
 * all events says, so there every change needs one; versions of snapshots that are gone are of no concern.
 *
 * **Gotchas** Of a check that is a function of your own it only sees that there is one, and of a transformation only what it
 * begins and ends with. `GoldenSamples` may notice more.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category, Snapshot } from "effect-eventstore"
 * import { SchemaGuard } from "effect-eventstore/Testing"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 * const Totals = Snapshot.make({ name: "totals", state: Schema.Struct({ cents: Schema.Int }) })
 *
 * export const program = SchemaGuard.verify({ categories: [Cart], snapshots: [Totals] }, {
 *   file: "test/fixtures/schemas.json"
 * })
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const verify = (guarded: Guarded, options: Options): Effect.Effect<number, SchemaChanged> =>
  verifyAll(guarded, guardingOf(options))

/**
 * Declares the checks of {@link verify} as tests, one for each version: call it at the top of a test file.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import { SchemaGuard } from "effect-eventstore/Testing"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * SchemaGuard.suite({ categories: [Cart] }, { file: "test/fixtures/schemas.json" })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const suite = (guarded: Guarded, options: Options): void => {
  const guarding = guardingOf(options)
  const passes = (found: Effect.Effect<ReadonlyArray<string>, SchemaChanged>) =>
    Effect.map(found, (problems) => {
      if (problems.length > 0) assert.fail(problems.join("\n"))
    })
  describe("stored schemas", () => {
    for (const one of wantedOf(guarded)) {
      it.effect(`keeps ${nameOf(one)}`, () => passes(check(one, guarding)))
    }
    it.effect("declares every type and version that was stored", () => passes(vanished(guarded, guarding)))
  })
}

const guardingOf = ({ file, write }: Options): Guarding => ({
  file,
  write: write ?? process.env["SCHEMA_GUARD"] === "write",
  toNote: "Run the tests once with SCHEMA_GUARD=write in the environment"
})
