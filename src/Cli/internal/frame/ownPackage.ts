import { Effect, FileSystem, Schema } from "effect"
import { fileURLToPath } from "node:url"

const Versions = Schema.Record(Schema.String, Schema.String)

/** What this package says of itself: its version, and the versions of what it works with. */
const OwnPackage = Schema.fromJsonString(Schema.Struct({
  name: Schema.String,
  version: Schema.String,
  peerDependencies: Versions,
  devDependencies: Versions
}))

/** The file that says what this program is stands at the same place beside the sources and beside what is built of them. */
export const ownPackage = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(fileURLToPath(new URL("../../../../package.json", import.meta.url)))
  return yield* Schema.decodeEffect(OwnPackage)(text)
}).pipe(Effect.orDie)
