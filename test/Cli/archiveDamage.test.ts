import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Archive from "effect-eventstore/Cli/Archive"
import { createHash } from "node:crypto"
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import * as Manifest from "../../src/Cli/internal/archive/archiveManifest.ts"
import { Databases, directory, insert, newLog, placesOf, rows, setState } from "../support/archives.ts"

const events = "events-00001.jsonl.gz"
const streams = "streams.jsonl.gz"
const manifest = "manifest.json"

type Change = (path: string) => void

const sums = (bytes: Uint8Array, compressed: Uint8Array) => {
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")
  return {
    bytes: bytes.length,
    sha256: sha256(bytes),
    compressedBytes: compressed.length,
    compressedSha256: sha256(compressed)
  }
}

/** Changes the lines of a file; with `isHonest`, the manifest tells the sums of the changed file. */
const relined =
  (name: string, change: (lines: Array<string>) => ReadonlyArray<string>, isHonest: boolean): Change => (path) => {
    const file = join(path, name)
    const text = gunzipSync(readFileSync(file)).toString()
    const bytes = Buffer.from(change(text.split("\n").slice(0, -1)).join("\n") + "\n")
    const compressed = gzipSync(bytes)
    writeFileSync(file, compressed)
    if (!isHonest) return
    remanifest((fields) => ({
      ...fields,
      eventsFiles: fields.eventsFiles.map((file) =>
        file.name === name ? { ...file, ...sums(bytes, compressed) } : file
      ),
      streamsFile: name === streams ? { ...fields.streamsFile, ...sums(bytes, compressed) } : fields.streamsFile
    }))(path)
  }

/** Changes the manifest, with a checksum that fits. */
const remanifest = (change: (fields: Manifest.Manifest) => Manifest.Manifest): Change => (path) => {
  const { sha256: _, ...fields } = JSON.parse(readFileSync(join(path, manifest), "utf8"))
  writeFileSync(join(path, manifest), Manifest.encode(change(fields)))
}

const edited = (name: string, change: (text: string) => string): Change => (path) =>
  writeFileSync(join(path, name), change(readFileSync(join(path, name), "latin1")), "latin1")

const flipped = (name: string, at: (length: number) => number): Change => (path) => {
  const bytes = readFileSync(join(path, name))
  const place = at(bytes.length)
  bytes[place] = bytes[place]! ^ 1
  writeFileSync(join(path, name), bytes)
}

/** What is done to an archive, and what is said of it. */
const damages: ReadonlyArray<readonly [name: string, change: Change, tag: string, says: string]> = [
  ["a bit flipped in the middle", flipped(events, (length) => length >> 1), "ArchiveDamaged", events],
  ["a bit flipped in the header", flipped(events, () => 4), "ArchiveDamaged", events],
  ["a bit flipped at the end", flipped(streams, (length) => length - 1), "ArchiveDamaged", streams],
  ["cut off", (path) => truncateSync(join(path, events), 100), "ArchiveDamaged", "has 100 bytes, and"],
  ["something appended", (path) => appendFileSync(join(path, events), "x"), "ArchiveDamaged", "bytes were written"],
  ["a file missing", (path) => rmSync(join(path, streams)), "ArchiveDamaged", `${streams} is missing`],
  [
    "a payload changed and packed again",
    relined(events, (lines) => lines.map((line) => line.replace(`"n":7`, `"n":8`)), false),
    "ArchiveDamaged",
    events
  ],
  [
    "a number changed in the manifest",
    edited(manifest, (text) => text.replace(`"events": 20`, `"events": 21`)),
    "ArchiveDamaged",
    "checksum"
  ],
  ["a manifest cut off", (path) => truncateSync(join(path, manifest), 50), "NotAnArchive", "not JSON"],
  ["no manifest", (path) => rmSync(join(path, manifest)), "NotAnArchive", `no ${manifest}`],
  ["another manifest", (path) => writeFileSync(join(path, manifest), "{}"), "NotAnArchive", "format"],
  [
    "a newer format",
    edited(manifest, (text) => text.replace(`"version": 1`, `"version": 2`)),
    "NotAnArchive",
    "version 2"
  ],
  // whoever writes archives by other means
  ["a line less", relined(events, (lines) => lines.slice(1), true), "ArchiveDamaged", "begins at position 2"],
  [
    "a line less at the end",
    relined(events, (lines) => lines.slice(0, -1), true),
    "ArchiveDamaged",
    "has 19 lines, and had 20"
  ],
  [
    "two lines swapped",
    relined(events, (lines) => [...lines.slice(1, 2), ...lines.slice(0, 1), ...lines.slice(2)], true),
    "ArchiveDamaged",
    "line 1"
  ],
  [
    "a position twice",
    relined(events, (lines) => lines.map((line) => line.replace(`"position":9,`, `"position":8,`)), true),
    "ArchiveDamaged",
    "line 9"
  ],
  [
    "a line that is not JSON",
    relined(events, (lines) => lines.with(4, "{"), true),
    "ArchiveDamaged",
    "line 5, is not JSON"
  ],
  [
    "an id that is none",
    relined(events, (lines) => lines.map((line) => line.replace("00000000-0000", "x")), true),
    "ArchiveDamaged",
    "line 1"
  ],
  [
    "a key that nothing knows of",
    relined(events, (lines) => lines.with(4, lines[4]!.replace("{", `{"new":1,`)), true),
    "ArchiveDamaged",
    `"new"`
  ],
  [
    "a text that is not JSON",
    relined(events, (lines) => lines.with(4, lines[4]!.replace(/"data":.*/, `"dataText":"{"}`)), true),
    "ArchiveDamaged",
    "line 5"
  ],
  [
    "no data",
    relined(events, (lines) => lines.with(4, lines[4]!.replace(/,"data":.*/, "}")), true),
    "ArchiveDamaged",
    "line 5"
  ],
  [
    "a name with a control character",
    relined(events, (lines) => lines.with(4, lines[4]!.replace(`"a-`, `"a-\\u001b`)), true),
    "ArchiveDamaged",
    "line 5"
  ],
  [
    "more than the manifest says behind what it says",
    (path) => {
      const file = join(path, events)
      const more = gzipSync(Buffer.alloc(100_000, 0x0a))
      const compressed = Buffer.concat([readFileSync(file), more])
      writeFileSync(file, compressed)
      remanifest((fields) => ({
        ...fields,
        eventsFiles: fields.eventsFiles.map((file) => ({
          ...file,
          compressedBytes: compressed.length,
          compressedSha256: sums(compressed, compressed).sha256
        }))
      }))(path)
    },
    "ArchiveDamaged",
    "has more than the"
  ],
  [
    "streams out of order",
    relined(streams, (lines) => lines.toReversed(), true),
    "ArchiveDamaged",
    "has stream a-0 after a-1"
  ],
  [
    "a whole log with too few events",
    remanifest((fields) => ({
      ...fields,
      eventsFiles: [{ ...fields.eventsFiles[0]!, lastPosition: 30 }],
      lastPosition: 30
    })),
    "ArchiveDamaged",
    "is whole"
  ],
  [
    "a file elsewhere",
    remanifest((fields) => ({ ...fields, eventsFiles: [{ ...fields.eventsFiles[0]!, name: "../../x" }] })),
    "ArchiveDamaged",
    manifest
  ]
]

layer(Databases.layer, { excludeTestServices: true, timeout: "1 minute" })("A damaged archive", (it) => {
  it.effect("is refused, and named, before anything is stored", () =>
    Effect.scoped(Effect.gen(function*() {
      const [log, target, path] = [yield* newLog("pglite"), yield* newLog("pglite"), yield* directory]
      yield* insert(log, rows(20))
      yield* setState(log, { stream: "a-0", metadata: "{}" })
      yield* setState(log, { stream: "a-1", truncatedBefore: 2 })
      yield* Archive.exportLog(log, join(path, "good"))
      for (const [name, change, tag, says] of damages) {
        const bad = join(path, name)
        cpSync(join(path, "good"), bad, { recursive: true })
        change(bad)
        const error = yield* Effect.flip(Archive.importArchive(bad, target))
        assert.strictEqual(error._tag, tag, name)
        assert.include(error.message, says, name)
        assert.isNotEmpty((error as { readonly hint: string }).hint)
        assert.deepStrictEqual(yield* placesOf(target), [], name)
      }
      // the same without damage
      yield* Archive.importArchive(join(path, "good"), target)
      assert.strictEqual((yield* placesOf(target)).length, 20)
    })))

  it.effect("that is not there is said so", () =>
    Effect.scoped(Effect.gen(function*() {
      const error = yield* Effect.flip(Archive.open(join(yield* directory, "none")))
      assert.deepInclude(error, { _tag: "NotAnArchive", problem: "there is no manifest.json in it" })
      const path = yield* directory
      writeFileSync(join(path, "file"), "x")
      mkdirSync(join(path, manifest))
      const file = yield* Effect.flip(Archive.open(join(path, "file")))
      assert.deepInclude(file, { _tag: "NotAnArchive", problem: "it is a file, and an archive is a directory" })
      const odd = yield* Effect.flip(Archive.open(path))
      assert.deepInclude(odd, { _tag: "NotAnArchive", problem: "manifest.json in it is a directory" })
    })))
})
