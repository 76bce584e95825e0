import { Effect, Schema, SchemaIssue } from "effect"
import * as Event from "../../Event/Event.ts"
import { CommandDecodeFailed } from "../AggregateError.ts"

/** Decodes what comes in by the classes of commands. */
export interface CommandCodec {
  readonly tags: ReadonlyArray<string>
  readonly decode: (input: unknown) => Effect.Effect<unknown, CommandDecodeFailed, any>
}

export const makeCommandCodec = (decider: string, classes: ReadonlyArray<Event.EventClass<any, any>>): CommandCodec => {
  const decoders = new Map<string, (input: unknown) => Effect.Effect<unknown, Schema.SchemaError, any>>()
  for (const type of classes) {
    const { tag } = Event.fromMember(type)
    if (decoders.has(tag)) throw new Error(`${decider} declares the command ${tag} twice`)
    decoders.set(tag, Schema.decodeUnknownEffect(Schema.toCodecJson(type as unknown as Schema.Top)))
  }
  const tags = [...decoders.keys()]
  const refuse = (command: string | undefined, field: string, problem: string) =>
    Effect.fail(new CommandDecodeFailed({ decider, command, field, problem }))
  return {
    tags,
    decode: (input) => {
      if (typeof input !== "object" || input === null || Array.isArray(input)) {
        return refuse(undefined, "", "it is no object")
      }
      const tag: unknown = (input as { readonly _tag?: unknown })._tag
      const decode = typeof tag === "string" ? decoders.get(tag) : undefined
      if (decode === undefined) {
        const what = tag === undefined ? "is missing" : `is ${JSON.stringify(tag)}`
        return refuse(undefined, "_tag", `${what}, known are ${tags.join(", ") || "none"}`)
      }
      return Effect.catch(decode(input), (error) => {
        const [issue] = formatIssue(error.issue).issues
        return refuse(tag as string, pathOf(issue?.path ?? []), issue?.message ?? error.message)
      })
    }
  }
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** `lines[0].sku` */
const pathOf = (path: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }>): string =>
  path.map((part) => typeof part === "object" ? part.key : part)
    .reduce<string>(
      (text, key) => typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`,
      ""
    )
