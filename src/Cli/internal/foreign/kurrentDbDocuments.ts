import { Array as Arr, Effect, Stream } from "effect"
import { type ForeignError, NoForeignSource } from "./foreignError.ts"

/** One JSON object of a file: an event, or a page of a feed with many of them. */
export interface Document {
  /** Where it begins, in bytes. */
  readonly offset: number
  /** The line it begins in, from 1. */
  readonly line: number
  readonly bytes: Uint8Array
}

/** Most bytes of one object: a page of a feed, since an event is far smaller. */
export const maxDocumentBytes = 64 * 1024 * 1024

/**
 * Splits a file into its JSON objects, as the bytes come: objects one a line, one after the other, or the elements of a list,
 * of which only one is in memory at a time.
 */
export const split = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  options: { readonly maxDocumentBytes?: number | undefined } = {}
): Stream.Stream<Document, E | ForeignError, R> =>
  Stream.suspend(() => {
    const splitter = new Splitter(options.maxDocumentBytes ?? maxDocumentBytes)
    return bytes.pipe(
      Stream.mapEffect((chunk) => splitter.push(chunk)),
      Stream.filter(Arr.isReadonlyArrayNonEmpty),
      Stream.flattenArray,
      Stream.concat(Stream.unwrap(Effect.suspend(() => splitter.end())))
    )
  })

const [tab, newline, carriageReturn, space] = [9, 10, 13, 32]
const [quote, comma, backslash] = [34, 44, 92]
const [openList, closeList, openObject, closeObject] = [91, 93, 123, 125]
const byteOrderMark = [0xef, 0xbb, 0xbf]

class Splitter {
  private readonly maxBytes: number
  /** Bytes of the chunks before. */
  private before = 0
  private line = 1
  private inList = false
  /** Open braces and brackets of the object that is being read. */
  private depth = 0
  private inText = false
  private escaped = false
  private pieces: Array<Uint8Array> = []
  private startOffset = 0
  private startLine = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  push(chunk: Uint8Array): Effect.Effect<ReadonlyArray<Document>, NoForeignSource> {
    const found: Array<Document> = []
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!
      if (byte === newline) this.line++
      if (this.depth === 0) {
        const problem = this.between(byte, this.before + i)
        if (problem !== undefined) return this.refused(problem)
        start = i
      } else if (this.inText) {
        if (this.escaped) this.escaped = false
        else if (byte === backslash) this.escaped = true
        else if (byte === quote) this.inText = false
      } else if (byte === quote) this.inText = true
      else if (byte === openObject || byte === openList) this.depth++
      else if ((byte === closeObject || byte === closeList) && --this.depth === 0) {
        this.pieces.push(chunk.subarray(start, i + 1))
        found.push({ offset: this.startOffset, line: this.startLine, bytes: joined(this.pieces) })
        this.pieces = []
      }
    }
    if (this.depth > 0) {
      // a copy: whoever gives the bytes may use their place again
      this.pieces.push(chunk.slice(start))
      if (this.before + chunk.length - this.startOffset > this.maxBytes) {
        return this.refused(`has an object of more than ${this.maxBytes} bytes at line ${this.startLine}`)
      }
    }
    this.before += chunk.length
    return Effect.succeed(found)
  }

  /** Takes a byte between two objects; says what is wrong with it. */
  private between(byte: number, offset: number): string | undefined {
    switch (byte) {
      case tab:
      case newline:
      case carriageReturn:
      case space:
        return undefined
      case openObject:
        this.depth = 1
        this.startOffset = offset
        this.startLine = this.line
        return undefined
      case openList:
        if (this.inList) return `has a list in a list at line ${this.line}, where an event should be`
        this.inList = true
        return undefined
      case closeList:
        if (!this.inList) return `has a ] that closes nothing at line ${this.line}`
        this.inList = false
        return undefined
      case comma:
        return this.inList ? undefined : `has a comma outside of a list at line ${this.line}`
      default:
        return byte === byteOrderMark[offset] ? undefined : `has no JSON object at line ${this.line}`
    }
  }

  end(): Effect.Effect<Stream.Stream<never>, NoForeignSource> {
    if (this.depth > 0) return this.refused(`ends in the middle of the object that begins at line ${this.startLine}`)
    return this.inList ? this.refused("ends before its list does") : Effect.succeed(Stream.empty)
  }

  private refused(problem: string): Effect.Effect<never, NoForeignSource> {
    return Effect.fail(
      new NoForeignSource({
        store: "KurrentDB",
        problem: `The export of KurrentDB ${problem}`,
        hint: "It is one event a line, a list of events, or feeds of the HTTP API with embed=body, one after the other."
      })
    )
  }
}

const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array =>
  pieces.length === 1 ? pieces[0]! : new Uint8Array(Buffer.concat(pieces))

/** The bytes of a document as text; a `TypeError` where they are not UTF-8. */
export const textOf = (bytes: Uint8Array): string => utf8.decode(bytes)

const utf8 = new TextDecoder("utf-8", { fatal: true })
