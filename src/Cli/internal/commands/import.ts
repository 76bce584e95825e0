import { Config, Effect, Path, Stdio } from "effect"
import { Argument, Flag } from "effect/cli"
import * as Archive from "../../Archive.ts"
import * as Emmett from "../foreign/emmettSql.ts"
import { emmettNames, fromRules, sameNames } from "../foreign/foreignRename.ts"
import { check, type ForeignSource } from "../foreign/foreignSource.ts"
import * as KurrentDb from "../foreign/kurrentDb.ts"
import * as MessageDb from "../foreign/messageDbSql.ts"
import { applicationCommand } from "../frame/command.ts"
import { OpenLog, SqlClient } from "../frame/logSql.ts"
import { answer, note } from "../frame/output.ts"
import { environment, type Target, target, withDestination, withForeign } from "../frame/pgTarget.ts"
import { during } from "../frame/progress.ts"
import { wrongInput } from "../frame/refusal.ts"
import { valueOf } from "../frame/settings.ts"
import { numberOf } from "../frame/table.ts"
import { foreignText, goesOn, importedText, moving, noteStopped } from "../moving.ts"

const formats = ["archive", "emmett", "message-db", "kurrentdb"] as const

type Format = typeof formats[number]

/** Flags that not all formats know, with those that do. */
const knownBy: { readonly [flag: string]: ReadonlyArray<Format> } = {
  "from-url": ["emmett", "message-db"],
  "from-schema": ["emmett", "message-db"],
  partition: ["emmett"],
  rename: ["emmett", "message-db", "kurrentdb"],
  renumber: ["emmett", "message-db", "kurrentdb"],
  stream: ["kurrentdb"],
  "recorded-at": ["kurrentdb"]
}

export const importCommand = applicationCommand(
  "import",
  {
    source: Argument.String("source").pipe(
      Argument.withDescription(
        "An archive's directory, or a JSON export of KurrentDB (a file, - for the standard input)"
      ),
      Argument.optional
    ),
    format: Flag.Literals("format", formats).pipe(
      Flag.withDescription("Where the events come from"),
      Flag.withDefault("archive" as const)
    ),
    fromUrl: Flag.Redacted("from-url").pipe(
      Flag.withMetavar("<postgres://...>"),
      Flag.withDescription("Database of Emmett or message-db (EVENTSTORE_FROM_URL)"),
      Flag.optional
    ),
    fromSchema: Flag.String("from-schema").pipe(
      Flag.withDescription("Its database schema (else public for Emmett, message_store for message-db)"),
      Flag.optional
    ),
    partition: Flag.String("partition").pipe(Flag.withDescription("Only this partition of Emmett"), Flag.optional),
    rename: Flag.String("rename").pipe(
      Flag.withMetavar("<regex=replacement>"),
      Flag.withDescription("Gives streams other names, the first rule that matches; may be given several times"),
      Flag.atLeast(0)
    ),
    renumber: Flag.Boolean("renumber").pipe(
      Flag.withDescription("Counts the events of a stream from 1, whatever their numbers"),
      Flag.withDefault(false)
    ),
    stream: Flag.String("stream").pipe(
      Flag.withDescription("The stream of events that name none: a file of one stream"),
      Flag.optional
    ),
    recordedAt: Flag.String("recorded-at").pipe(
      Flag.withDescription("The time of events without one, ISO 8601"),
      Flag.optional
    )
  },
  {
    description:
      "Brings events into the log, with their ids, versions, times and order: from an archive, which is checked " +
      "before anything is written, or from another kind of store. Run again it goes on where it stopped.",
    examples: [
      { command: "eventstore import ./backup-2026-11-21" },
      {
        command:
          "eventstore import --format emmett --from-url postgres://localhost/shop --rename '^shopping_cart:=cart-'"
      },
      { command: "eventstore import --format kurrentdb ./export.json" }
    ]
  },
  Effect.fnUntraced(function*(input) {
    const { format } = input
    const given = {
      "from-url": valueOf(input.fromUrl) !== undefined,
      "from-schema": valueOf(input.fromSchema) !== undefined,
      partition: valueOf(input.partition) !== undefined,
      rename: input.rename.length > 0,
      renumber: input.renumber,
      stream: valueOf(input.stream) !== undefined,
      "recorded-at": valueOf(input.recordedAt) !== undefined
    }
    for (const [flag, isGiven] of Object.entries(given)) {
      if (isGiven && !knownBy[flag]!.includes(format)) {
        return yield* wrongInput(`--${flag} means nothing for an import of the format ${format}`)
      }
    }
    const source = valueOf(input.source)
    const path = yield* Path.Path
    const found = yield* target
    const rename = yield* fromRules(input.rename, format === "emmett" ? emmettNames : sameNames)
    const options = { rename, renumber: input.renumber }

    // the log is opened last: what is wrong with a source is found before there is a log, if there is none yet
    switch (format) {
      case "archive": {
        if (source === undefined) return yield* wrongInput("It is not said which archive", "eventstore import ./backup")
        const archive = yield* Archive.open(path.resolve(source))
        yield* moving("check", nothingStored, (options) => Archive.check(archive, options))
        return yield* importInto(found, Archive.fromArchive(archive), (imported) => imported, importedText)
      }
      case "kurrentdb": {
        if (source === undefined) return yield* wrongInput("It is not said which file", "- reads the standard input")
        const stdio = yield* Stdio.Stdio
        const made = KurrentDb.make(source === "-" ? stdio.stdin : path.resolve(source), {
          ...options,
          stream: valueOf(input.stream),
          recordedAt: valueOf(input.recordedAt)
        })
        return yield* Effect.scoped(Effect.flatMap(made, (foreign) => importForeign(found, foreign)))
      }
      case "emmett":
      case "message-db": {
        if (source !== undefined) {
          return yield* wrongInput(`The format ${format} is read from a database`, "--from-url postgres://...")
        }
        const url = valueOf(input.fromUrl) ?? valueOf(yield* environment("EVENTSTORE_FROM_URL", Config.Redacted))
        if (url === undefined) {
          return yield* wrongInput(
            `It is not said which database of ${format} to read`,
            "--from-url postgres://..., or EVENTSTORE_FROM_URL"
          )
        }
        const schema = valueOf(input.fromSchema)
        const made = Effect.flatMap(SqlClient, (sql) =>
          format === "emmett"
            ? Emmett.make({ sql, schema }, { ...options, partition: valueOf(input.partition) })
            : MessageDb.make({ sql, schema }, options))
        return yield* withForeign(url, Effect.flatMap(made, (foreign) => importForeign(found, foreign)))
      }
    }
  })
)

const nothingStored = "nothing was stored"

const importForeign = (found: Target, foreign: ForeignSource) =>
  Effect.gen(function*() {
    // read once to its end before anything is stored: what cannot be taken over is found before
    let read = 0
    yield* during(
      { label: "check", total: foreign.total },
      (report) => check(foreign, (events) => report(read += events))
    ).pipe(Effect.onInterrupt(() => noteStopped("check", read, nothingStored)))
    // the positions of the source are none of its own
    yield* importInto(
      found,
      foreign,
      ({ present, stored, streamsChanged }) => ({ stored, present, streamsChanged }),
      foreignText
    )
    for (const { count, what } of foreign.passedOver) {
      yield* note(`Passed over: ${numberOf(count)} ${what}.`)
    }
  })

const importInto = <E, R, A extends object>(
  found: Target,
  source: Archive.Source<E, R>,
  answerOf: (imported: Archive.Imported) => A,
  textOf: (imported: Archive.Imported, log: OpenLog["Service"]) => string
) =>
  withDestination(
    found,
    Effect.gen(function*() {
      const log = yield* OpenLog
      const imported = yield* moving("import", goesOn, (options) => Archive.importFrom(source, log, options))
      yield* answer(answerOf(imported), () => textOf(imported, log))
    })
  )
