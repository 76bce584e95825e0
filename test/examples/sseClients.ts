/** Clients of server-sent events as there are out there, and a wire that breaks. */
import { EventSource } from "@effect/platform-node/Undici"
import { Effect, type Scope } from "effect"
import { Sse } from "effect/encoding"
import * as Net from "node:net"

/** What a client has got so far. */
export interface Client {
  readonly status: number
  readonly headers: Headers
  readonly text: () => string
  readonly messages: ReadonlyArray<Sse.Event>
  /** How its connection ended, if it did. */
  readonly ended: () => "by the server" | "cut" | undefined
  readonly leave: Effect.Effect<void>
}

/** A client that notes every byte. It leaves with the scope. */
export const connect = (
  url: string,
  headers: Record<string, string> = {}
): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const controller = new AbortController()
      const response = await fetch(url, { headers, signal: controller.signal })
      let text = ""
      let ended: ReturnType<Client["ended"]>
      const messages: Array<Sse.Event> = []
      const parser = Sse.makeParser((message) => {
        if (message._tag === "Event") messages.push(message)
      })
      const write = (piece: string) => {
        text += piece
        parser.feed(piece)
      }
      void response.body!.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write })).then(
        () => ended = "by the server",
        () => ended = "cut"
      )
      return {
        status: response.status,
        headers: response.headers,
        text: () => text,
        messages,
        ended: () => ended,
        leave: Effect.sync(() => controller.abort())
      }
    }),
    ({ leave }) => leave
  )

/** What a browser does: it comes back by itself. Leaves with the scope. */
export const browse = (url: string, types: ReadonlyArray<string>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => quietly(() => new EventSource(url, { node: { reconnectionTime: 2 } }))),
      (source) => Effect.sync(() => source.close())
    ),
    (source) => {
      const messages: Array<Sse.Event> = []
      for (const type of types) {
        source.addEventListener(type, (message) => {
          const { data, lastEventId } = message as MessageEvent
          messages.push({ _tag: "Event", id: lastEventId, event: type, data })
        })
      }
      return { messages, hasGivenUp: () => source.readyState === EventSource.CLOSED }
    }
  )

/** Node warns that this class is experimental. */
const quietly = <A>(make: () => A): A => {
  const emitWarning = process.emitWarning.bind(process)
  process.emitWarning = () => {}
  try {
    return make()
  } finally {
    process.emitWarning = emitWarning
  }
}

/** A wire to a server that lets so many bytes of the answers pass and then breaks, in the middle of whatever is said. */
export const makeBrittleWire = (origin: string, bytes: () => number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Wire>((resume) => {
        const wire: Wire = { server: Net.createServer((client) => lead(wire, client, origin, bytes())), cuts: 0 }
        wire.server.listen(0, "127.0.0.1", () => resume(Effect.succeed(wire)))
      }),
      ({ server }) => Effect.sync(() => server.close())
    ),
    (wire) => ({ origin: `http://127.0.0.1:${(wire.server.address() as Net.AddressInfo).port}`, cuts: () => wire.cuts })
  )

interface Wire {
  readonly server: Net.Server
  cuts: number
}

const lead = (wire: Wire, client: Net.Socket, origin: string, bytes: number) => {
  const { hostname, port } = new URL(origin)
  const server = Net.connect(Number(port), hostname)
  let left = bytes
  for (const [socket, peer] of [[client, server], [server, client]] as const) {
    socket.on("error", () => {})
    socket.on("close", () => peer.destroy())
  }
  client.on("data", (chunk) => server.write(chunk))
  server.on("data", (chunk) => {
    if (left <= 0) return
    const passing = chunk.subarray(0, left)
    left -= passing.length
    client.write(passing, () => {
      if (left > 0) return
      wire.cuts++
      client.destroy()
    })
  })
}
