/** A wire between client and server that a test can cut where it hurts, deafen, or lead to another server. */
import { Effect, type Scope } from "effect"
import * as Net from "node:net"

export interface TcpProxy {
  /** The address of a database, through the proxy. */
  readonly url: string
  /**
   * Cuts the connections that carry `marker` to the server, `times` times: the server gets it all and answers, but the
   * answer is lost. `meanwhile` runs when the answer has come, before the client hears of the cut.
   */
  readonly loseAnswers: (marker: string, times: number, meanwhile?: () => Promise<unknown>) => void
  /** Answers lost so far. */
  readonly lost: () => number
  /**
   * Cuts every connection at once, but those on which the client listens where `listeners` is false. The server does not
   * notice while it works for one.
   */
  readonly cut: (options?: { readonly listeners?: boolean }) => void
  /** Swallows the notifications of the server, or lets them pass again: who listens hears nothing, and no error. */
  readonly deafen: (isDeaf: boolean) => void
  /** Notifications swallowed so far. */
  readonly swallowed: () => number
  /** Leads connections to the server of another address from now on; those that stand stay where they are. */
  readonly leadTo: (url: string) => void
}

/** Starts a proxy in front of the server of `url`. */
export const make = (url: string): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<State>((resume) => {
        const state = new State(new URL(url))
        state.server.listen(0, "127.0.0.1", () => resume(Effect.succeed(state)))
      }),
      (state) => Effect.sync(() => state.close())
    ),
    (state): TcpProxy => ({
      url: state.url(),
      loseAnswers: (marker, times, meanwhile) => {
        state.marker = marker
        state.times = times
        state.meanwhile = meanwhile
      },
      lost: () => state.lost,
      cut: (options) => state.cut(options?.listeners ?? true),
      deafen: (isDeaf) => {
        state.isDeaf = isDeaf
      },
      swallowed: () => state.swallowed,
      leadTo: (url) => {
        state.target = new URL(url)
      }
    })
  )

class State {
  marker = ""
  times = 0
  lost = 0
  meanwhile: (() => Promise<unknown>) | undefined
  isDeaf = false
  swallowed = 0
  target: URL
  private readonly sockets = new Set<Net.Socket>()
  private readonly listeners = new Set<Net.Socket>()
  readonly server: Net.Server

  constructor(target: URL) {
    this.target = target
    this.server = Net.createServer((client) => this.connect(client))
  }

  url(): string {
    const url = new URL(this.target)
    url.port = String((this.server.address() as Net.AddressInfo).port)
    return url.href
  }

  close(): void {
    this.server.close()
    this.cut(true)
  }

  cut(listeners: boolean): void {
    for (const socket of this.sockets) if (listeners || !this.listeners.has(socket)) socket.destroy()
  }

  private connect(client: Net.Socket): void {
    const server = Net.connect(Number(this.target.port), this.target.hostname)
    let marked = false
    for (const socket of [client, server]) {
      this.sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => {
        this.sockets.delete(socket)
        this.listeners.delete(socket)
        if (!marked) (socket === client ? server : client).destroy()
      })
    }
    client.on("data", (chunk) => {
      if (this.times > 0 && !marked && chunk.includes(this.marker)) {
        marked = true
        this.times--
      }
      if (chunk.includes("LISTEN ")) { for (const socket of [client, server]) this.listeners.add(socket) }
      server.write(chunk)
    })
    let answered = false
    const split = messages()
    server.on("data", (chunk) => {
      if (!marked) {
        const passing = split(chunk).filter((message) =>
          !this.isDeaf || message[0] !== notification || !++this.swallowed
        )
        return void client.write(Buffer.concat(passing))
      }
      // an answer ends with ReadyForQuery
      if (answered || chunk.subarray(-6, -1).toString("latin1") !== "Z\0\0\0\x05") return
      answered = true
      this.lost++
      void (this.meanwhile?.() ?? Promise.resolve()).then(() => {
        client.destroy()
        server.destroy()
      })
    })
  }
}

/** The tag of a NotificationResponse. */
const notification = "A".charCodeAt(0)

/** Splits what a server says into messages: a tag, the length of what follows, and what follows. */
const messages = () => {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk: Buffer): ReadonlyArray<Buffer> => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const whole: Array<Buffer> = []
    for (;;) {
      const end = rest.length < 5 ? Infinity : 1 + rest.readInt32BE(1)
      if (rest.length < end) return whole
      whole.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}
