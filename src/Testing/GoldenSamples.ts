/**
 * One stored sample of every version of every event type, in a file under version control, and the proof that today's
 * program still reads each of them.
 *
 * A change of an event class that needs a new version, or an upcaster that breaks, then fails a test and not the readers
 * of a log that is years old.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, DateTime, Effect, Layer, Schema } from "effect"
import * as Fs from "node:fs"
import type * as Event from "../Event/Event.ts"
import { EventMetadata } from "../Event/EventMetadata.ts"
import * as Category from "../Stream/Category.ts"
import type { Recorded } from "../Stream/Recorded.ts"
import type { StoredEvent } from "../Stream/StoredEvent.ts"
import { contains } from "./internal/contains.ts"

/**
 * A stored event: what the log holds of it that decoding may ask for.
 *
 * @category models
 * @since 0.1.0
 */
export const Sample = Schema.Struct({
  category: Schema.String,
  type: Schema.String,
  schemaVersion: Schema.Int,
  data: Schema.Json,
  metadata: Schema.optionalKey(EventMetadata),
  tags: Schema.optionalKey(Schema.Array(Schema.String))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Sample = typeof Sample.Type

/**
 * A sample is missing, does not decode any more, or the file is not one of samples. `problems` has a sentence for each.
 *
 * @category errors
 * @since 0.1.0
 */
export class GoldenSamplesBroken extends Schema.TaggedError<GoldenSamplesBroken>()("GoldenSamplesBroken", {
  file: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.file}: ${this.problems.join("; ")}`
  }
}

/**
 * - `file`: path of the JSON file that keeps the samples
 * - `write`: whether to add a generated sample of a current version that has none; default is whether the environment
 *   variable `GOLDEN_SAMPLES` is `write`. Samples that are there stay as they are, and no old version is made up: copy
 *   such a sample from your log.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly file: string
  readonly write?: boolean | undefined
}

/**
 * Checks the samples of some categories: that every declared version of every type has one, that each decodes to today's
 * events, and that one of a current version loses nothing on the way. Answers how many there are.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import { GoldenSamples } from "effect-eventstore/Testing"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export const program = GoldenSamples.verify([Cart], { file: "test/fixtures/events.json" })
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const verify = <const C extends ReadonlyArray<Category.Any>>(
  categories: C,
  options: Options
): Effect.Effect<number, GoldenSamplesBroken, Category.Services<C[number]>> =>
  Effect.gen(function*() {
    const problems: Array<string> = []
    for (const wanted of wantedOf(categories)) {
      const problem = yield* check(wanted, options)
      if (problem !== undefined) problems.push(problem)
    }
    const samples = yield* load(options.file)
    problems.push(...undeclared(categories, samples))
    if (problems.length > 0) return yield* new GoldenSamplesBroken({ file: options.file, problems })
    return samples.length
  })

/**
 * A sample, and the events that it reads as today.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decoded<out E> {
  readonly sample: Sample
  readonly events: ReadonlyArray<E>
}

/**
 * What the samples of a category read as, in the order of the file: for tests of your own that go on with them. Fails where a
 * declared version has no sample, one does not decode, or nothing declares it any more. Never writes.
 *
 * **Example** (Whatever was stored is about somebody)
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import { GoldenSamples } from "effect-eventstore/Testing"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * export const program = Effect.map(
 *   GoldenSamples.read(Cart, { file: "test/fixtures/events.json" }),
 *   (samples) => samples.every(({ events }) => events.every(({ customer }) => customer.length > 0))
 * )
 * ```
 * @category combinators
 * @since 0.1.0
 */
export const read = <const C extends Category.Any>(
  category: C,
  { file }: { readonly file: string }
): Effect.Effect<ReadonlyArray<Decoded<Category.Out<C>>>, GoldenSamplesBroken, Category.Services<C>> =>
  Effect.gen(function*() {
    const samples = yield* load(file)
    const problems = wantedOf([category])
      .filter((wanted) => !samples.some((sample) => isSampleOf(wanted, sample)))
      .map((wanted) => `${nameOf(wanted)} has no sample in ${file}`)
    problems.push(...undeclared([category], samples))
    const decoded: Array<Decoded<any>> = []
    for (const sample of samples) {
      if (sample.category !== category.name) continue
      yield* Effect.match(decode(category, sample), {
        onFailure: ({ message }) => void problems.push(`${nameOfSample(sample)}: ${message}`),
        onSuccess: (events) => void decoded.push({ sample, events })
      })
    }
    if (problems.length > 0) return yield* new GoldenSamplesBroken({ file, problems })
    return decoded
  })

/**
 * Declares the checks of {@link verify} as tests, one for each version of each type: call it at the top of a test file.
 * Upcasters that need services get them from `layer`.
 *
 * **Example**
 * ```ts
 * import { Schema } from "effect"
 * import { Category } from "effect-eventstore"
 * import { GoldenSamples } from "effect-eventstore/Testing"
 *
 * class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
 * const Cart = Category.make("cart", { id: Schema.String, events: [Opened] })
 *
 * GoldenSamples.suite([Cart], { file: "test/fixtures/events.json" })
 * ```
 * @category constructors
 * @since 0.1.0
 */
export const suite = <const C extends ReadonlyArray<Category.Any>, E = never>(
  categories: C,
  options:
    & Options
    & ([Category.Services<C[number]>] extends [never] ? { readonly layer?: undefined }
      : { readonly layer: Layer.Layer<Category.Services<C[number]>, E> })
): void => {
  const layer = (options.layer ?? Layer.empty) as Layer.Layer<any, E>
  describe("golden samples", () => {
    for (const wanted of wantedOf(categories)) {
      it.effect(`decodes ${nameOf(wanted)}`, () =>
        Effect.gen(function*() {
          const problem = yield* check(wanted, options)
          if (problem !== undefined) assert.fail(problem)
        }).pipe(Effect.provide(layer)))
    }
    it.effect("knows every type and version that there is a sample of", () =>
      Effect.map(load(options.file), (samples) => {
        const problems = undeclared(categories, samples)
        if (problems.length > 0) assert.fail(problems.join("\n"))
      }))
  })
}

/** A version of a type that needs a sample. */
interface Wanted {
  readonly category: Category.Any
  readonly type: Event.Any
  readonly schemaVersion: number
}

const wantedOf = (categories: ReadonlyArray<Category.Any>): ReadonlyArray<Wanted> =>
  categories.flatMap((category) =>
    category.codec.types
      // what is dropped unread needs no sample
      .filter(({ isDropped }) => !isDropped)
      .flatMap((type) =>
        Array.from({ length: type.schemaVersion }, (_, i) => ({ category, type, schemaVersion: i + 1 }))
      )
  )

const isCurrent = ({ schemaVersion, type }: Wanted) =>
  type.current !== undefined && schemaVersion === type.schemaVersion

const nameOf = ({ category, schemaVersion, type }: Wanted) => `${category.name}: ${type.tag} version ${schemaVersion}`

/** A sample in a sentence. */
const nameOfSample = ({ category, schemaVersion, type }: Sample): string =>
  `${category}: ${type} version ${schemaVersion}`

/** What is wrong with the sample of one version, or `undefined`. */
const check = (wanted: Wanted, options: Options): Effect.Effect<string | undefined, GoldenSamplesBroken, any> =>
  Effect.gen(function*() {
    const samples = yield* load(options.file)
    const sample = samples.find((sample) => isSampleOf(wanted, sample))
    if (sample !== undefined) return yield* decodes(wanted, sample)
    const write = options.write ?? process.env["GOLDEN_SAMPLES"] === "write"
    if (!isCurrent(wanted)) {
      return `${nameOf(wanted)} has no sample in ${options.file}. It is not written any more, so none can be made: ` +
        `copy one from your log as { "category", "type", "schemaVersion", "data" }`
    }
    if (!write) {
      return `${nameOf(wanted)} has no sample in ${options.file}. ` +
        `Run the tests once with GOLDEN_SAMPLES=write in the environment to add one, and commit the file`
    }
    const generated = yield* generate(wanted)
    if (typeof generated === "string") return `${nameOf(wanted)} has no sample, and none can be made: ${generated}`
    save(options.file, [...samples, generated])
    return yield* decodes(wanted, generated)
  })

const isSampleOf = ({ category, schemaVersion, type }: Wanted, sample: Sample) =>
  sample.category === category.name && sample.type === type.tag && sample.schemaVersion === schemaVersion

const decodes = (wanted: Wanted, sample: Sample): Effect.Effect<string | undefined, never, any> => {
  const { category } = wanted
  return Effect.gen(function*() {
    for (const event of yield* decode(category, sample)) {
      if (!category.codec.types.some(({ current, tag }) => tag === event?._tag && current !== undefined)) continue
      const encoded = yield* Effect.mapError(Category.strict(category).codec.encode(event as never), (problem) => ({
        message: `decodes to an event that cannot be appended today: ${problem}`
      }))
      if (isCurrent(wanted)) {
        const lost = contains(JSON.parse(encoded.data), sample.data)
        if (lost !== undefined) {
          const message = `${lost} of the sample is lost or changed where today's class reads and writes it: ` +
            `give the new shape a version of its own`
          return yield* Effect.fail({ message })
        }
      }
    }
    return undefined
  }).pipe(Effect.catch((error: { readonly message: string }) => Effect.succeed(`${nameOf(wanted)}: ${error.message}`)))
}

/** The events that a sample reads as. */
const decode = (
  category: Category.Any,
  sample: Sample
): Effect.Effect<ReadonlyArray<any>, { readonly message: string }, any> =>
  Effect.suspend(() => {
    const events: Array<Recorded<any>> = []
    const stored: StoredEvent = {
      position: 1,
      streamId: `${category.name}-sample`,
      streamVersion: 1,
      eventId: "00000000-0000-7000-8000-000000000000" as StoredEvent["eventId"],
      type: sample.type,
      schemaVersion: sample.schemaVersion,
      data: JSON.stringify(sample.data),
      metadata: sample.metadata === undefined ? null : JSON.stringify(sample.metadata),
      tags: sample.tags ?? null,
      recordedAt: DateTime.toEpochMillis(DateTime.makeUnsafe("2025-01-01T00:00:00Z"))
    }
    // whatever the category does with what it cannot decode, here it fails
    const decoding = Category.strict(category).codec.decode(stored, events) ?? Effect.void
    return Effect.map(decoding, () => events.map(({ event }) => event))
  })

/** Samples of the given categories that nothing declares any more. */
const undeclared = (categories: ReadonlyArray<Category.Any>, samples: ReadonlyArray<Sample>): ReadonlyArray<string> =>
  samples.flatMap((sample) => {
    const category = categories.find(({ name }) => name === sample.category)
    const type = category?.codec.types.find(({ tag }) => tag === sample.type)
    if (category === undefined || type?.isDropped === true) return []
    if (type !== undefined && sample.schemaVersion <= type.schemaVersion) return []
    return [
      `${sample.category}: ${sample.type} version ${sample.schemaVersion} is not declared any more, so its stored events ` +
      `cannot be read: retire or drop the type with Event.retired or Event.dropped`
    ]
  })

/** A sample of a current version, from its schema: the same one each time. */
const generate = (wanted: Wanted): Effect.Effect<Sample | string> =>
  Effect.gen(function*() {
    const { category, schemaVersion, type } = wanted
    const arbitrary = Arbitrary.schema(type.current as unknown as Schema.Codec<{ readonly _tag: string }>)
    const { codec } = Category.strict(category)
    const events = yield* Arbitrary.sampleEffect(arbitrary, { count: 20, size: 8, seed: nameOf(wanted) })
    let problem = ""
    // the first may hold what a store refuses, a lone surrogate for one
    for (const event of events) {
      const encoded = yield* Effect.result(codec.encode(event as never))
      if (encoded._tag === "Failure") problem = encoded.failure
      else return { category: category.name, type: type.tag, schemaVersion, data: JSON.parse(encoded.success.data) }
    }
    return problem
  }).pipe(Effect.catchCause((cause) => Effect.succeed(`its schema yields no values: ${cause}`)))

const File = Schema.fromJsonString(Schema.Struct({ samples: Schema.Array(Sample) }))

const load = (file: string): Effect.Effect<ReadonlyArray<Sample>, GoldenSamplesBroken> =>
  Effect.suspend(() => {
    if (!Fs.existsSync(file)) return Effect.succeed([])
    return Effect.mapBoth(Schema.decodeEffect(File)(Fs.readFileSync(file, "utf8")), {
      onFailure: (error) => new GoldenSamplesBroken({ file, problems: [`is not a file of samples: ${error.message}`] }),
      onSuccess: ({ samples }) => samples
    })
  })

/** Sorted, so that a new sample is a plain diff. */
const save = (file: string, samples: ReadonlyArray<Sample>): void => {
  const key = ({ category, schemaVersion, type }: Sample) =>
    `${category} ${type} ${String(schemaVersion).padStart(5, "0")}`
  const sorted = [...samples].sort((a, b) => key(a) < key(b) ? -1 : 1)
  Fs.writeFileSync(file, `${JSON.stringify({ samples: sorted }, null, 2)}\n`)
}
