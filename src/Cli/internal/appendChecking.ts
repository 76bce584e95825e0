import { Effect, Option, Schema } from "effect"
import * as EventData from "../../Event/EventData.ts"
import * as EventId from "../../Event/EventId.ts"
import * as EventMetadata from "../../Event/EventMetadata.ts"
import * as RawEvent from "../../Event/RawEvent.ts"
import * as Category from "../../Stream/Category.ts"
import { type AppendInput, problemOfIssue } from "./appendInput.ts"
import { didYouMean } from "./frame/nearest.ts"
import { wrongInput } from "./frame/refusal.ts"

/** An event with an id, its own or one that was made for it. */
export type Identified = EventData.EventData<unknown> & { readonly id: EventId.EventId }

/** Where events go, and what becomes of one before it is stored; it fails with what is wrong with the event. */
export interface Checked {
  readonly stream: Category.StreamRef<any, unknown, any>
  /** Whether the application declares the category, so that its events are checked. */
  readonly isChecked: boolean
  readonly eventOf: (input: AppendInput) => Effect.Effect<Identified, string>
}

/** How events are checked that go to a stream: by its category where that is declared, unless `raw` says otherwise. */
export const checking = (
  streamId: string,
  options: {
    readonly categories: ReadonlyArray<Category.Any>
    readonly raw: boolean
    readonly metadata: EventMetadata.EventMetadata
  }
) =>
  Effect.gen(function*() {
    const stream = Category.rawStream(streamId)
    if (stream.problem !== undefined) {
      return yield* wrongInput(`The stream name ${JSON.stringify(streamId)} ${stream.problem}`)
    }
    const category = options.categories.find(({ name }) => name === Category.name(stream))
    if (category === undefined && options.categories.length > 0 && !options.raw) {
      const names = options.categories.map(({ name }) => name)
      return yield* wrongInput(
        `The application declares no category ${Category.name(stream)}`,
        `${didYouMean(Category.name(stream), names)} --raw stores it anyway`
      )
    }
    const carried = (event: unknown, { id, metadata, tags }: AppendInput) =>
      // with ids that are known here the append can be repeated, whatever became of it
      Effect.map(id === undefined ? EventId.make : Effect.succeed(id), (id): Identified =>
        Object.assign(
          EventData.make(event, {
            id,
            tags,
            metadata: EventMetadata.merge(options.metadata, metadata ?? EventMetadata.empty)
          }),
          { id }
        ))
    if (category === undefined || options.raw) {
      const raw: Checked = {
        stream,
        isChecked: false,
        eventOf: (input) => Effect.flatMap(rawOf(input, category), (event) => carried(event, input))
      }
      return raw
    }
    if (Option.isNone(category.idOf(streamId))) {
      return yield* wrongInput(
        `${streamId} is no stream of the category ${category.name}: what stands behind the hyphen is no id of it`,
        "--raw does not ask for that"
      )
    }
    const checked: Checked = {
      stream: { ...stream, category } as never,
      isChecked: true,
      eventOf: (input) => Effect.flatMap(typedOf(input, category), (event) => carried(event, input))
    }
    return checked
  })

const rawOf = ({ data = {}, schemaVersion, type }: AppendInput, category: Category.Any | undefined) => {
  const declared = category?.codec.types.find(({ tag }) => tag === type)?.schemaVersion ?? 1
  return schemaVersion === undefined && declared > 1
    ? Effect.fail(
      `schemaVersion: ${type} is declared in ${declared} shapes, so an event that is not checked has to say which of them it has`
    )
    : Effect.succeed(RawEvent.make({ type, schemaVersion: schemaVersion ?? 1, data }))
}

const typedOf = (
  { data = {}, schemaVersion, type }: AppendInput,
  { codec: { types }, name }: Category.Any
): Effect.Effect<unknown, string> => {
  const found = types.find(({ tag }) => tag === type)
  if (found === undefined) {
    const names = types.filter(({ current }) => current !== undefined).map(({ tag }) => tag)
    return Effect.fail(`type: ${name} has no type ${JSON.stringify(type)}; there are ${names.join(", ")}`)
  }
  const { current, schemaVersion: today } = found
  if (current === undefined) return Effect.fail(`type: ${type} is read only, it is not written any more`)
  if (schemaVersion !== undefined && schemaVersion !== today) {
    return Effect.fail(`schemaVersion: ${type} is stored in shape ${today}; another one takes --raw`)
  }
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    return Effect.fail("data: Expected an object with the fields of the event")
  }
  if (Object.hasOwn(data, "_tag")) return Effect.fail("data._tag: the type stands beside the data, not in it")
  // an event that is not what it says would be found out when it is read: a field too many by nobody
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(current as unknown as Schema.Top))
  return Effect.mapError(
    decode({ ...(data as { readonly [field: string]: Schema.Json }), _tag: type }, {
      onExcessProperty: "error",
      errors: "all"
    }) as Effect.Effect<
      unknown,
      Schema.SchemaError
    >,
    ({ issue }) => problemOfIssue(issue, "data")
  )
}
