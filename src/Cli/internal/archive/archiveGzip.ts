import { Effect, type Scope } from "effect"
import { createHash } from "node:crypto"
import * as Zlib from "node:zlib"

/** Size and SHA-256 of what went through. */
export interface Sum {
  readonly bytes: number
  readonly sha256: string
}

/** Counts and sums bytes as they pass. */
export const makeSummer = () => {
  const hash = createHash("sha256")
  let bytes = 0
  return {
    add: (chunk: Uint8Array): void => {
      bytes += chunk.length
      hash.update(chunk)
    },
    /** Only once. */
    sum: (): Sum => ({ bytes, sha256: hash.digest("hex") })
  }
}

/** Bytes in, bytes out: what is not out yet comes with what is written next, or at the end. */
export interface Codec {
  readonly write: (bytes: Uint8Array) => Effect.Effect<ReadonlyArray<Uint8Array>, Error>
  readonly end: Effect.Effect<ReadonlyArray<Uint8Array>, Error>
}

/** Packs with a fixed level and header, so that the same bytes give the same bytes. */
export const makeGzip: Effect.Effect<Codec, never, Scope.Scope> = Effect.suspend(() => {
  let isFirst = true
  return makeCodec(() => Zlib.createGzip({ level: 6, memLevel: 8 }), (chunk) => {
    // there is no time in the header, but the kind of system that wrote it: 255 stands for an unknown one
    if (isFirst) chunk[9] = 255
    isFirst = false
  })
})

export const makeGunzip: Effect.Effect<Codec, never, Scope.Scope> = Effect.suspend(() =>
  makeCodec(() => Zlib.createGunzip(), () => {})
)

const makeCodec = (
  make: () => Zlib.Gzip | Zlib.Gunzip,
  change: (chunk: Uint8Array) => void
): Effect.Effect<Codec, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(Effect.sync(make), (codec) => Effect.sync(() => codec.destroy())),
    (codec): Codec => {
      let chunks: Array<Uint8Array> = []
      let failure: Error | undefined
      /** Who waits: an error ends a write without a word to its callback. */
      let onDone = () => {}
      codec.on("data", (chunk: Uint8Array) => {
        change(chunk)
        chunks.push(chunk)
      })
      codec.on("error", (error) => {
        failure = error
        onDone()
      })
      codec.on("end", () => onDone())
      const take = Effect.suspend(() => {
        const taken = chunks
        chunks = []
        return failure === undefined ? Effect.succeed(taken) : Effect.fail(failure)
      })
      const waiting = (start: () => void) =>
        Effect.callback<ReadonlyArray<Uint8Array>, Error>((resume) => {
          onDone = () => resume(take)
          if (failure === undefined) start()
          else onDone()
        })
      return {
        write: (bytes) => waiting(() => codec.write(bytes, () => onDone())),
        end: waiting(() => codec.end())
      }
    }
  )
