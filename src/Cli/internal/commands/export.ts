import { Effect, Path } from "effect"
import { Argument } from "effect/cli"
import * as Archive from "../../Archive.ts"
import { tablesCommand } from "../frame/command.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answer, note } from "../frame/output.ts"
import { counted, numberOf } from "../frame/table.ts"
import { filterFlags, filterOf, moving, noteEmpty } from "../moving.ts"

export const exportCommand = tablesCommand(
  "export",
  {
    directory: Argument.String("directory").pipe(
      Argument.withDescription("Where the archive is written; it must not be there yet")
    ),
    ...filterFlags
  },
  {
    description:
      "Writes the log, or a part of it, to an archive: a directory of compressed JSON lines with a manifest " +
      "and checksums. The same events give the same bytes.",
    examples: [
      { command: "eventstore export ./backup-2026-11-21" },
      { command: "eventstore export ./carts --category cart --since 2026-01-01" }
    ]
  },
  Effect.fnUntraced(function*({ directory, ...input }) {
    const log = yield* OpenLog
    const path = yield* Path.Path
    const filter = yield* filterOf(input)
    const { emptyCategories, holes, manifest, missing } = yield* moving(
      "export",
      "nothing of the archive is left",
      (options) => Archive.exportLog(log, path.resolve(directory), { ...filter, ...options })
    )
    yield* answer(
      {
        directory: path.resolve(directory),
        events: manifest.events,
        firstPosition: manifest.firstPosition,
        lastPosition: manifest.lastPosition,
        files: manifest.eventsFiles.length,
        bytes: [...manifest.eventsFiles, manifest.streamsFile].reduce((sum, file) => sum + file.compressedBytes, 0),
        isWhole: manifest.isWhole,
        missing
      },
      ({ bytes, events, firstPosition, lastPosition }) =>
        `${counted(events, "event")} of ${log.name}` +
        (events === 0 ? "" : ` (positions ${numberOf(firstPosition!)} to ${numberOf(lastPosition!)})`) +
        ` are in ${directory}, ${counted(bytes, "byte")}.`
    )
    yield* noteEmpty(emptyCategories)
    if (missing > 0) {
      const first = holes[0]!
      yield* note(
        `${counted(missing, "position")} of the log have no event, the first after ${first.after}: ` +
          "eventstore verify says more."
      )
    }
  })
)
