import { Config, Effect, Option, Path } from "effect"
import { Flag } from "effect/cli"
import * as Archive from "../../Archive.ts"
import { logSource } from "../archive/exportLog.ts"
import { tablesCommand } from "../frame/command.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer } from "../frame/output.ts"
import { environment, targetAt, withDestination } from "../frame/pgTarget.ts"
import { wrongInput } from "../frame/refusal.ts"
import { filterFlags, filterOf, goesOn, importedText, moving, noteEmpty } from "../moving.ts"

export const copy = tablesCommand(
  "copy",
  {
    toUrl: Flag.Redacted("to-url").pipe(
      Flag.withMetavar("<postgres://...>"),
      Flag.withDescription("Database of the other log (EVENTSTORE_TO_URL)"),
      Flag.optional
    ),
    toDir: Flag.String("to-dir").pipe(
      Flag.withMetavar("<directory>"),
      Flag.withDescription("Directory of the other log"),
      Flag.optional
    ),
    toSchema: Flag.String("to-schema").pipe(
      Flag.withDescription("Its database schema"),
      Flag.withDefault("eventstore")
    ),
    toLog: Flag.Int("to-log").pipe(Flag.withDescription("Its number"), Flag.withDefault(1)),
    ...filterFlags
  },
  {
    description:
      "Copies the log, or a part of it, into another one, from PGlite to Postgres or back, with ids, versions, " +
      "times and order. Run again it goes on where it stopped, and brings what is new.",
    examples: [
      { command: "eventstore copy --dir ./data --to-url postgres://localhost/shop" },
      { command: "eventstore copy --to-dir ./copy --category cart" }
    ]
  },
  Effect.fnUntraced(function*({ toDir, toLog, toSchema, toUrl, ...input }) {
    const from = yield* OpenLog
    const path = yield* Path.Path
    const filter = yield* filterOf(input)
    const url = Option.isSome(toUrl) || Option.isSome(toDir)
      ? toUrl
      : yield* environment("EVENTSTORE_TO_URL", Config.Redacted)
    if (Option.isNone(url) && Option.isNone(toDir)) {
      return yield* wrongInput(
        "It is not said where to",
        "--to-url postgres://..., --to-dir ./data, or EVENTSTORE_TO_URL"
      )
    }
    const target = yield* targetAt({
      from: "The flags name",
      url,
      dir: Option.map(toDir, (dir) => path.resolve(dir)),
      schema: toSchema,
      log: toLog
    })
    if (target.name === from.name && target.schema === from.schema && target.log === from.log) {
      return yield* wrongInput("A log cannot be copied into itself")
    }
    yield* withDestination(
      target,
      Effect.gen(function*() {
        const to = yield* OpenLog
        const source = yield* logSource(from, filter)
        const imported = yield* moving("copy", goesOn, (options) => Archive.importFrom(source, to, options))
        yield* answer(imported, (imported) => importedText(imported, to))
        yield* noteEmpty(source.emptyCategories)
      })
    )
  })
)
