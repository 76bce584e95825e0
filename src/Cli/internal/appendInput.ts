import { Effect, FileSystem, Result, Schema, SchemaIssue, Stdio, Stream } from "effect"
import { EventId } from "../../Event/EventId.ts"
import { EventMetadata } from "../../Event/EventMetadata.ts"
import { isKept } from "./archive/decimals.ts"
import { byteLines } from "./frame/byteLines.ts"
import { wrongInput } from "./frame/refusal.ts"

/** An event on its way into a log, as somebody wrote it: nothing of it is checked against what an application declares. */
export const AppendInput = Schema.Struct({
  type: Schema.String,
  data: Schema.optionalKey(Schema.Json),
  metadata: Schema.optionalKey(EventMetadata),
  tags: Schema.optionalKey(Schema.Array(Schema.String)),
  id: Schema.optionalKey(EventId),
  schemaVersion: Schema.optionalKey(Schema.Int)
})

export type AppendInput = typeof AppendInput.Type

/** What was read from a line of the input, or what is wrong with it. `bytes` tells how long the line was. */
export type Line =
  | { readonly line: number; readonly bytes: number; readonly input: AppendInput }
  | { readonly line: number; readonly bytes: number; readonly problem: string }

/** The lines of the standard input, each an event. Empty ones are passed over; one that is longer than `longest` bytes is the last. */
export const inputLines = (longest: number) =>
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    if (yield* stdio.stdinIsTerminal) {
      return yield* wrongInput(
        "It is not said what to append",
        "--type TYPE --data '{...}', or lines of JSON on the standard input: {\"type\": \"Paid\", \"data\": {\"cents\": 100}}"
      )
    }
    return stdio.stdin.pipe(
      byteLines(longest),
      Stream.filter(({ text }) => Result.isFailure(text) || text.success.trim() !== ""),
      Stream.map(({ bytes, line, text }): Line => ({
        line,
        bytes,
        ...(Result.isFailure(text) ? { problem: text.failure } : read(text.success))
      }))
    )
  })

const read = (text: string): { readonly input: AppendInput } | { readonly problem: string } => {
  const json = parseJson(text)
  if ("problem" in json) return json
  const decoded = Schema.decodeUnknownResult(AppendInput)(json.value, { onExcessProperty: "error", errors: "all" })
  return decoded._tag === "Success" ? { input: decoded.success } : { problem: problemOfIssue(decoded.failure.issue) }
}

/** A JSON text from a flag, of at most so many bytes: itself, `@` and a file that has it, or `-` for the standard input. */
export const jsonArgument = (text: string, longest: number) =>
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    const fs = yield* FileSystem.FileSystem
    const refuse = (problem: string) =>
      wrongInput(`--data: ${problem}`, "JSON, as '{\"cents\": 100}', @file, or - for the standard input")
    const wholeOf = <E, R>(input: Stream.Stream<Uint8Array, E, R>) =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        let bytes = 0
        yield* Stream.runForEach(byteLines(longest)(input), (read) => {
          bytes += read.bytes
          if (bytes > longest) return refuse(`this is longer than ${longest} bytes`)
          if (Result.isFailure(read.text)) return refuse(`line ${read.line}: ${read.text.failure}`)
          lines.push(read.text.success)
          return Effect.void
        })
        return lines.join("\n")
      })
    const file = text.slice(1)
    const whole = text === "-"
      ? yield* wholeOf(stdio.stdin)
      : text.startsWith("@")
      ? yield* Effect.catchTag(
        wholeOf(fs.stream(file)),
        "PlatformError",
        () => Effect.fail(wrongInput(`The file ${file} cannot be read`))
      )
      : text
    const json = parseJson(whole)
    return "problem" in json ? yield* refuse(json.problem) : json.value
  })

/** Parses a JSON text; refuses numbers that a program would not keep. */
const parseJson = (text: string): { readonly value: Schema.Json } | { readonly problem: string } => {
  let lost: string | undefined
  // what a number was written as is known to its reviver alone
  const reviver = (_: string, value: unknown, context?: { readonly source?: string }) => {
    const source = context?.source
    if (typeof value === "number" && source !== undefined && !isKept(source, value)) {
      lost ??= `the number ${source} has more digits than a program keeps, which makes it ${value}: give it as a text`
    }
    return value
  }
  try {
    const value = JSON.parse(text, reviver)
    return lost === undefined ? { value } : { problem: lost }
  } catch (error) {
    return { problem: `this is no JSON: ${(error as Error).message}` }
  }
}

/** What does not fit a schema, each part named by its path. */
export const problemOfIssue = (issue: SchemaIssue.Issue, root = ""): string =>
  SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues.map(({ message, path }) => {
    const at = pathOf(root, (path ?? []) as ReadonlyArray<PropertyKey>)
    return at === "" ? message : `${at}: ${message}`
  }).join("; ")

const pathOf = (root: string, path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>((at, key) => {
    if (typeof key === "number") return `${at}[${key}]`
    const name = String(key)
    return /^[\w$]+$/.test(name) ? at === "" ? name : `${at}.${name}` : `${at}[${JSON.stringify(name)}]`
  }, root)
