import { Result, Stream } from "effect"

/** A line of an input, without what ends it; or why it cannot be read. */
export interface ByteLine {
  readonly line: number
  readonly bytes: number
  readonly text: Result.Result<string, string>
}

/**
 * Cuts an input into lines of UTF-8, each of at most so many bytes. A line that is longer is the last one, so that no more
 * than that is ever held.
 */
export const byteLines = (longest: number) => <E, R>(input: Stream.Stream<Uint8Array, E, R>) =>
  Stream.takeUntil(
    Stream.mapAccum(
      input,
      (): Partial => ({ line: 1, bytes: 0, parts: [] }),
      (partial, chunk) => {
        const lines: Array<ByteLine> = []
        let begin = 0
        while (begin < chunk.length && partial.bytes <= longest) {
          const found = chunk.indexOf(lineFeed, begin)
          const end = found === -1 ? chunk.length : found
          partial.parts.push(chunk.subarray(begin, end))
          partial.bytes += end - begin
          begin = end + 1
          if (found === -1 && partial.bytes <= longest) break
          lines.push(lineOf(partial, longest))
          if (partial.bytes > longest) break
          partial = { line: partial.line + 1, bytes: 0, parts: [] }
        }
        return [partial, lines]
      },
      { onHalt: (partial) => partial.bytes === 0 || partial.bytes > longest ? [] : [lineOf(partial, longest)] }
    ),
    ({ bytes }) => bytes > longest
  )

/** What is read of a line by now. */
interface Partial {
  readonly line: number
  bytes: number
  readonly parts: Array<Uint8Array>
}

const lineFeed = 10

const lineOf = ({ bytes, line, parts }: Partial, longest: number): ByteLine => ({
  line,
  bytes,
  text: bytes > longest ? Result.fail(`this is longer than ${longest} bytes`) : textOf(parts)
})

const textOf = (parts: ReadonlyArray<Uint8Array>): Result.Result<string, string> => {
  try {
    // what is no UTF-8 would be stored as other characters
    return Result.succeed(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts)))
  } catch {
    return Result.fail("this is no UTF-8")
  }
}
