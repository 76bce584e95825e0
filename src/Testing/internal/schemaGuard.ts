import { Effect, Schema } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type * as Event from "../../Event/Event.ts"
import type * as Snapshot from "../../Snapshot/Snapshot.ts"
import type * as Category from "../../Stream/Category.ts"
import { type Change, changes, type Shape, shapeOf, sorted } from "./schemaShape.ts"

/**
 * Stored data would not be read any more, or not as they were, or the file does not know what is declared. `problems` has a
 * paragraph for each version.
 *
 * @category errors
 * @since 0.1.0
 */
export class SchemaChanged extends Schema.TaggedError<SchemaChanged>()("SchemaChanged", {
  file: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.file}: ${this.problems.join("\n")}`
  }
}

/**
 * What is guarded: the events of categories, and the states of snapshots.
 *
 * @category models
 * @since 0.1.0
 */
export interface Guarded {
  readonly categories?: ReadonlyArray<Category.Any> | undefined
  readonly snapshots?: ReadonlyArray<Snapshot.Any> | undefined
}

/** Where shapes are kept, and whether what is new or harmless is noted there. */
export interface Guarding {
  readonly file: string
  readonly write: boolean
  /** What somebody does to have it noted; begins a sentence. */
  readonly toNote: string
}

/** What is wrong, in the order of declaration; answers how many versions there are. */
export const verifyAll = (guarded: Guarded, guarding: Guarding): Effect.Effect<number, SchemaChanged> =>
  Effect.gen(function*() {
    const problems: Array<string> = []
    const wanted = wantedOf(guarded)
    for (const one of wanted) problems.push(...yield* check(one, guarding))
    problems.push(...yield* vanished(guarded, guarding))
    if (problems.length > 0) return yield* new SchemaChanged({ file: guarding.file, problems })
    return wanted.length
  })

/** A version that is declared today. */
export interface Wanted {
  readonly kind: "events" | "snapshots"
  /** Where it stands in the file. */
  readonly path: readonly [owner: string, type: string]
  readonly version: number
  readonly isCurrent: boolean
  /** Whether another shape of the snapshot gets the next number by itself. */
  readonly isChained?: boolean | undefined
  readonly shape: Shape
  /** How an event type is declared today. */
  readonly type?: Event.Any | undefined
}

export const wantedOf = ({ categories = [], snapshots = [] }: Guarded): ReadonlyArray<Wanted> => [
  ...categories.flatMap((category) =>
    category.codec.types.flatMap((type) =>
      [...type.shapes, ...(type.current === undefined ? [] : [type.current])].map((schema, i): Wanted => ({
        kind: "events",
        path: [category.name, type.tag],
        version: i + 1,
        isCurrent: type.current !== undefined && i + 1 === type.schemaVersion,
        shape: shapeOf(schema, { isEvent: true }),
        type
      }))
    )
  ),
  ...snapshots.flatMap(({ name, schemaVersion, shapes }) =>
    shapes.map((schema, i): Wanted => ({
      kind: "snapshots",
      path: [name, "state"],
      version: schemaVersion - shapes.length + i + 1,
      isCurrent: i === shapes.length - 1,
      isChained: schemaVersion === shapes.length,
      shape: shapeOf(schema)
    }))
  )
]

export const nameOf = ({ kind, path: [owner, type], version }: Pick<Wanted, "kind" | "path" | "version">): string =>
  kind === "events" ? `${owner}: ${type} version ${version}` : `the snapshot ${owner} version ${version}`

/** What is wrong with one version. Notes it in the file where that was asked for and is right. */
export const check = (wanted: Wanted, options: Guarding): Effect.Effect<ReadonlyArray<string>, SchemaChanged> =>
  Effect.map(load(options.file), (file) => {
    const { kind, path: [owner, type], shape, version } = wanted
    const note = () => save(options.file, noted(file, wanted))
    const known = file[kind][owner]?.[type]?.[version]
    const again = `${options.toNote} to note it, and commit the file`
    if (known === undefined) {
      if (!options.write) return [`${nameOf(wanted)} is not in the file. ${again}`]
      note()
      return []
    }
    // what is passed over unread may have any shape, and the file goes on saying which one it has
    if (wanted.type?.isDropped === true) return []
    const found = changes(known, shape)
    if (found.length === 0) return []
    if (kind === "events" && !found.every(({ isHarmless }) => isHarmless)) {
      return [`${nameOf(wanted)} has changed:${listed(found)}\n${adviceFor(wanted)}`]
    }
    if (kind === "snapshots") return [`${nameOf(wanted)} has changed:${listed(found)}\n${adviceForSnapshot(wanted)}`]
    if (!options.write) {
      return [`${nameOf(wanted)} has changed, and all that is stored reads as it did:${listed(found)}\n${again}.`]
    }
    note()
    return []
  })

const listed = (found: ReadonlyArray<Change>): string =>
  found.map(({ isHarmless, text }) => `\n  - ${text}${isHarmless ? " (harmless)" : ""}`).join("")

const unlessNew = "If none was ever stored, remove it from the file by hand and have it noted anew."

const adviceFor = ({ isCurrent, path: [, type], type: declared, version }: Wanted): string => {
  if (!isCurrent) {
    return `It is a version of the past, whose events are stored as they are: put it back as it was. ${unlessNew}`
  }
  const chain = version === 1 ? "Event.oldest(before)" : ".next(before, upcast)"
  const name = declared?.current?.name ?? type
  return `Keep version ${version} as it was and let the new shape be version ${version + 1}: ` +
    `add the fields as they were to the chain with ${chain} and end it with .current(${name}, upcast). ${unlessNew}`
}

const adviceForSnapshot = ({ isChained, isCurrent, version }: Wanted): string => {
  if (!isCurrent) {
    return `It is a version of the past: put it back as it was, or take it out of the chain and raise the version, ` +
      `and those states are folded anew. ${unlessNew}`
  }
  const raised = `raise its version (version: ${version + 1}), and all states are folded anew`
  return `A saved state has to be what a fold of all events says: ` +
    `${
      isChained ? `put the shape before in front (Snapshot.oldest(before).current(state, upcast)), or ` : ""
    }${raised}. ` +
    unlessNew
}

/** Versions in the file that nothing declares any more. Of a snapshot that costs a fold, and no data. */
export const vanished = (
  { categories = [] }: Guarded,
  options: Guarding
): Effect.Effect<ReadonlyArray<string>, SchemaChanged> =>
  Effect.map(
    load(options.file),
    ({ events }) =>
      categories.flatMap((category) =>
        Object.entries(events[category.name] ?? {}).flatMap(([type, versions]) => {
          const declared = category.codec.types.find(({ tag }) => tag === type)
          if (declared?.isDropped === true) return []
          return Object.keys(versions).map(Number).filter((version) => version > (declared?.schemaVersion ?? 0)).map(
            (version) => {
              const name = nameOf({ kind: "events", path: [category.name, type], version })
              return declared === undefined
                ? `${name} is not declared any more, so its stored events cannot be read: ` +
                  `retire the type (Event.oldest(...).retired("${type}", upcast)) or drop it (Event.dropped("${type}")). ${unlessNew}`
                : `${name} is not declared any more: ${type} ends with version ${declared.schemaVersion}, ` +
                  `so what was stored later cannot be read. Put the versions back. ${unlessNew}`
            }
          )
        })
      )
  )

const Versions = Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Json)))
const File = Schema.fromJsonString(Schema.Struct({ events: Versions, snapshots: Versions }))

/** The file: kind, category or snapshot, type, version. */
type Noted = {
  readonly [Kind in Wanted["kind"]]: {
    readonly [owner: string]: { readonly [type: string]: { readonly [version: string]: Shape } }
  }
}

const load = (file: string): Effect.Effect<Noted, SchemaChanged> =>
  Effect.suspend(() => {
    if (!Fs.existsSync(file)) return Effect.succeed<Noted>({ events: {}, snapshots: {} })
    return Effect.mapBoth(Schema.decodeEffect(File)(Fs.readFileSync(file, "utf8")), {
      onFailure: (error) => new SchemaChanged({ file, problems: [`is not a file of shapes: ${error.message}`] }),
      onSuccess: (noted) => noted as Noted
    })
  })

const noted = (file: Noted, { kind, path: [owner, type], shape, version }: Wanted): Noted => {
  const types = file[kind][owner] ?? {}
  return { ...file, [kind]: { ...file[kind], [owner]: { ...types, [type]: { ...types[type], [version]: shape } } } }
}

/** Sorted, so that a new version is a plain diff. */
const save = (file: string, noted: Noted): void => {
  Fs.mkdirSync(Path.dirname(file), { recursive: true })
  Fs.writeFileSync(file, `${JSON.stringify(sorted(noted), null, 2)}\n`)
}
