/**
 * What the history of a repository becomes: a stream for each author, a stream for each path, and one that remembers how
 * far the import has come.
 *
 * Two of the event types have a past. The first quarter of a history is written in its old shapes, the way an older
 * version of this program would have left them, so that reading the log goes through the upcasters below.
 */
import { DateTime, Schema } from "effect"
import { Category, Event, RawEvent, StreamId } from "effect-eventstore"
import { fit } from "./escape.ts"
import type { Change, Commit } from "./git.ts"

export class CommitAuthored extends Schema.TaggedClass<CommitAuthored>()("CommitAuthored", {
  hash: Schema.String,
  parents: Schema.Array(Schema.String),
  name: Schema.String,
  email: Schema.String,
  at: Schema.DateTimeUtc,
  subject: Schema.String
}) {}

/** Version 1 wrote the parents as one text; 1 and 2 had name and address in one field, and a time in seconds. */
const CommitAuthoredVersions = Event
  .oldest(Schema.Struct({
    hash: Schema.String,
    parents: Schema.String,
    author: Schema.String,
    time: Schema.Int,
    subject: Schema.String
  }))
  .next(
    Schema.Struct({
      hash: Schema.String,
      parents: Schema.Array(Schema.String),
      author: Schema.String,
      time: Schema.Int,
      subject: Schema.String
    }),
    (v1) => ({ ...v1, parents: v1.parents === "" ? [] : v1.parents.split(" ") })
  )
  .current(CommitAuthored, ({ author, hash, parents, subject, time }) => {
    const bracket = author.indexOf(" <") // a name has no "<" in git
    const [name, email] = [author.slice(0, bracket), author.slice(bracket + 2, -1)]
    return { hash, parents, name, email, at: DateTime.makeUnsafe(time * 1000), subject }
  })

/** Every event of a file: the commit that did it, and the file's escaped path. */
const place = { commit: Schema.String, path: Schema.String }
/** What the file is from then on. */
const content = { mode: Schema.String, blob: Schema.String }

export class FileAdded extends Schema.TaggedClass<FileAdded>()("FileAdded", { ...place, ...content }) {}

export class FileChanged extends Schema.TaggedClass<FileChanged>()("FileChanged", {
  ...place,
  ...content,
  /** `null` for a binary file. */
  lines: Schema.NullOr(Schema.Struct({ added: Schema.Int, removed: Schema.Int }))
}) {}

/** Version 1 wrote the numbers of lines as git prints them: `"3 1"`, and `"- -"` for a binary file. */
const FileChangedVersions = Event
  .oldest(Schema.Struct({ ...place, ...content, lines: Schema.String }))
  .current(FileChanged, ({ lines, ...rest }) => {
    const [added, removed] = lines.split(" ").map(Number) as [number, number]
    return { ...rest, lines: Number.isNaN(added) ? null : { added, removed } }
  })

/** In the stream of the new path; the stream of the old one has a `FileDeleted` that says where the file went. */
export class FileRenamed extends Schema.TaggedClass<FileRenamed>()("FileRenamed", {
  ...place,
  ...content,
  from: Schema.String
}) {}

export class FileDeleted extends Schema.TaggedClass<FileDeleted>()("FileDeleted", {
  ...place,
  movedTo: Schema.optionalKey(Schema.String)
}) {}

/** The first so many commits are written in old shapes: settled once, so that a run that goes on does as the one before. */
export class ImportStarted extends Schema.TaggedClass<ImportStarted>()("ImportStarted", { oldUntil: Schema.Int }) {}

/**
 * How far the import has come: the commits whose children are still to come. Written together with the commits it speaks
 * of, at an expected version: of two imports at the same time one fails, and none stores a commit twice.
 */
export class CommitsImported extends Schema.TaggedClass<CommitsImported>()("CommitsImported", {
  total: Schema.Int,
  tips: Schema.Array(Schema.String)
}) {}

export const Author = Category.make("author", { id: Schema.String, events: [CommitAuthoredVersions] })

export const File = Category.make("file", {
  id: Schema.String,
  events: [FileAdded, FileChangedVersions, FileRenamed, FileDeleted]
})

export const Import = Category.make("import", { id: Schema.String, events: [ImportStarted, CommitsImported] })

export type FileEvent = Category.Out<typeof File>

/** The id of an author or a file within its category. Most stand there as they are. */
const idOf = (category: string, escaped: string): string => fit(escaped, StreamId.maxLength - category.length - 1)

export const authorStream = (email: string) => Author.stream(idOf(Author.name, email))
export const fileStream = (path: string) => File.stream(idOf(File.name, path))
export const importStream = Import.stream("history")

export const authored = ({ email, hash, name, parents, subject, time }: Commit): CommitAuthored =>
  new CommitAuthored({ hash, parents, name, email, at: DateTime.makeUnsafe(time * 1000), subject })

/** The events of one change, each for the stream of its path. */
export const changed = (commit: string, { blob, from, kind, lines, mode, path }: Change): ReadonlyArray<FileEvent> => {
  switch (kind) {
    case "added":
      return [new FileAdded({ commit, path, mode, blob })]
    case "changed":
      return [new FileChanged({ commit, path, mode, blob, lines: lines ?? null })]
    case "deleted":
      return [new FileDeleted({ commit, path })]
    case "renamed":
      return [
        new FileDeleted({ commit, path: from, movedTo: path }),
        new FileRenamed({ commit, path, mode, blob, from })
      ]
  }
}

/** The event as the first version of this program would have stored it. */
export const asVersion1 = (event: CommitAuthored | FileEvent): RawEvent.RawEvent => {
  switch (event._tag) {
    case "CommitAuthored": {
      const { at, email, hash, name, parents, subject } = event
      const time = DateTime.toEpochMillis(at) / 1000
      return version1(event, { hash, parents: parents.join(" "), author: `${name} <${email}>`, time, subject })
    }
    case "FileChanged": {
      const { lines, ...rest } = withoutTag(event)
      return version1(event, { ...rest, lines: lines === null ? "- -" : `${lines.added} ${lines.removed}` })
    }
    case "FileAdded":
    case "FileRenamed":
    case "FileDeleted":
      return version1(event, withoutTag(event)) // still of version 1 today
  }
}

const version1 = (event: { readonly _tag: string }, data: Schema.Json) =>
  RawEvent.make({ type: event._tag, schemaVersion: 1, data })

const withoutTag = <A extends { readonly _tag: string }>({ _tag, ...data }: A): Omit<A, "_tag"> => data
