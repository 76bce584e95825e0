import { Effect, Exit, SchemaAST } from "effect"
import * as EventId from "../../Event/EventId.ts"
import { InvalidInput } from "../../Store/StoreError.ts"
import type { StreamRef } from "../../Stream/Category.ts"
import type { Recorded } from "../../Stream/Recorded.ts"

type AnyStream = StreamRef<never, any, any>
type Codec = AnyStream["category"]["codec"]

/**
 * Events as they will read once they are stored. A codec may keep less than an event has, an amount with two digits or a text
 * without its spaces: a state that is answered, kept or saved has to be that of the events in the log.
 *
 * Costs nothing where the stored form of an event has all of it. Events that cannot be stored stay as they are, since the
 * append says why; one that could be stored and not be read is refused here.
 */
export const readBack = (
  stream: AnyStream,
  events: ReadonlyArray<any>
): Effect.Effect<ReadonlyArray<any>, InvalidInput, any> => {
  const { codec } = stream.category
  const exact = exactOf(codec)
  const isExact = (event: any) => exact.has(event?._tag)
  return events.every(isExact)
    ? Effect.succeed(events)
    : Effect.forEach(events, (event, i) => isExact(event) ? Effect.succeed(event) : readOne(stream, event, i))
}

const readOne = ({ category: { codec }, streamId }: AnyStream, event: any, index: number) =>
  Effect.gen(function*(): Effect.fn.Return<any, InvalidInput, any> {
    const encoded = yield* Effect.exit(codec.encode(event as never))
    if (Exit.isFailure(encoded)) return event
    const refuse = (problem: string) =>
      new InvalidInput({ field: `events[${index}]`, problem: `of the type ${encoded.value.type} ${problem}` })
    const read: Array<Recorded<any>> = []
    yield* Effect.mapError(
      codec.decode({ ...nowhere, ...encoded.value, streamId }, read) ?? Effect.void,
      ({ message }) => refuse(`could not be read once it is stored: ${message}`)
    )
    return read.length === 1 ? read[0]!.event : yield* refuse(`would read as ${read.length} events once it is stored`)
  })

/** What a codec does not look at. */
const nowhere = {
  position: 0,
  streamVersion: 0,
  eventId: EventId.fromName("effect-eventstore/read-back"),
  metadata: null,
  tags: null,
  recordedAt: 0
}

const known = new WeakMap<Codec, ReadonlySet<string>>()

/** The types of a category whose events are stored as they are. */
const exactOf = (codec: Codec): ReadonlySet<string> => {
  let exact = known.get(codec)
  if (exact === undefined) {
    known.set(
      codec,
      exact = new Set(codec.types.flatMap(({ current, tag }) => isExactClass(current) ? [tag] : []))
    )
  }
  return exact
}

/** Whether a schema is a class whose fields are stored as they are. */
const isExactClass = (schema: { readonly ast: SchemaAST.AST } | undefined): boolean => {
  if (schema === undefined || typeof (schema as unknown) !== "function" || !("fields" in schema)) return false
  const { encoding } = schema.ast
  return encoding !== undefined && encoding.length === 1 && isPlain(encoding[0].to, new Set())
}

/** Whether JSON has all of a value: nothing is transformed, and nothing is left out. */
const isPlain = (ast: SchemaAST.AST, seen: Set<SchemaAST.AST>): boolean => {
  if (seen.has(ast)) return true
  seen.add(ast)
  if (ast.encoding !== undefined) return false
  const are = (asts: ReadonlyArray<SchemaAST.AST>) => asts.every((ast) => isPlain(ast, seen))
  if (SchemaAST.isLiteral(ast)) return typeof ast.literal !== "bigint"
  if (SchemaAST.isArrays(ast)) return are(ast.elements) && are(ast.rest)
  if (SchemaAST.isObjects(ast)) return are([...ast.propertySignatures, ...ast.indexSignatures].map(({ type }) => type))
  if (SchemaAST.isUnion(ast)) return are(ast.types)
  if (SchemaAST.isSuspend(ast)) return isPlain(ast.thunk(), seen)
  return plain.has(ast._tag)
}

const plain: ReadonlySet<string> = new Set(["String", "Number", "Boolean", "Null", "TemplateLiteral", "Enum"])
