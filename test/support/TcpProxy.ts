/** A wire between client and server that a test can cut where it hurts. */
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
  /** Cuts every connection at once. The server does not notice while it works for one. */
  readonly cut: () => void
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
      cut: () => state.cut()
    })
  )

class State {
  marker = ""
  times = 0
  lost = 0
  meanwhile: (() => Promise<unknown>) | undefined
  private readonly target: URL
  private readonly sockets = new Set<Net.Socket>()
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
    this.cut()
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  private connect(client: Net.Socket): void {
    const server = Net.connect(Number(this.target.port), this.target.hostname)
    let marked = false
    for (const socket of [client, server]) {
      this.sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => {
        this.sockets.delete(socket)
        if (!marked) (socket === client ? server : client).destroy()
      })
    }
    client.on("data", (chunk) => {
      if (this.times > 0 && !marked && chunk.includes(this.marker)) {
        marked = true
        this.times--
      }
      server.write(chunk)
    })
    let answered = false
    server.on("data", (chunk) => {
      if (!marked) return void client.write(chunk)
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
