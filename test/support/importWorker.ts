/**
 * Imports an archive and writes how far it came to standard output, a line a time.
 * `node importWorker.ts DIRECTORY URL LOG`
 */
import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import * as Archive from "effect-eventstore/Cli/Archive"
import { writeSync } from "node:fs"

const [directory, url, log] = process.argv.slice(2) as [string, string, string]

await Effect.runPromise(
  PgClient.PgClient.use((sql) =>
    Archive.importArchive(directory, { sql, schema: "eventstore", log: Number(log) }, {
      // not through a stream: it has to be in the pipe before anything can go wrong
      onProgress: ({ events, phase }) => Effect.sync(() => writeSync(1, `${phase} ${events}\n`))
    })
  ).pipe(Effect.provide(Layer.merge(PgClient.layer({ url: Redacted.make(url) }), NodeServices.layer)))
)
