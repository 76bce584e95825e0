/**
 * A pooler that shares connections by transaction, as PgBouncer does: a session has a process of the server only while a
 * transaction is open, and what the server says in between is heard by nobody. As small as the tests need it.
 */
import { Effect, type Scope } from "effect"
import * as Net from "node:net"

/** Length of a message with its type, where all of it is there. */
const messageLength = (bytes: Buffer): number | undefined => {
  if (bytes.length < 5) return undefined
  const length = bytes.readInt32BE(1) + 1
  return bytes.length < length ? undefined : length
}

const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5)
  head.write(type, 0, "latin1")
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const startup = (parameters: Readonly<Record<string, string>>): Buffer => {
  const text = Object.entries(parameters).map(([name, value]) => `${name}\0${value}\0`).join("")
  const body = Buffer.concat([Buffer.from([0, 3, 0, 0]), Buffer.from(`${text}\0`)])
  const head = Buffer.alloc(4)
  head.writeInt32BE(body.length + 4)
  return Buffer.concat([head, body])
}

/** What a server says to a client that it lets in. */
const welcome = Buffer.concat([
  message("R", Buffer.alloc(4)),
  ...Object.entries({
    server_version: "18.0",
    client_encoding: "UTF8",
    standard_conforming_strings: "on",
    TimeZone: "UTC"
  })
    .map(([name, value]) => message("S", Buffer.from(`${name}\0${value}\0`))),
  message("K", Buffer.alloc(8)),
  message("Z", Buffer.from("I"))
])

/** A connection to the server, and the client that has it. */
interface Shared {
  readonly socket: Net.Socket
  client: Net.Socket | undefined
}

/** Starts a pooler before the database of a URL, with two connections to it; answers its own URL. */
export const make = (url: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const { hostname, pathname, port, username } = new URL(url)
        const sockets = new Set<Net.Socket>()
        const free: Array<Shared> = []
        const waiting: Array<(shared: Shared) => void> = []
        const release = (shared: Shared) => {
          shared.client = undefined
          const next = waiting.shift()
          if (next === undefined) free.push(shared)
          else next(shared)
        }
        const open = () => {
          const socket = Net.connect(Number(port), hostname)
          sockets.add(socket)
          const shared: Shared = { socket, client: undefined }
          let bytes = Buffer.alloc(0)
          let isReady = false
          socket.write(startup({ user: username, database: pathname.slice(1), client_encoding: "UTF8" }))
          socket.on("error", () => {})
          socket.on("data", (chunk) => {
            bytes = Buffer.concat([bytes, chunk])
            for (let length = messageLength(bytes); length !== undefined; length = messageLength(bytes)) {
              const one = bytes.subarray(0, length)
              bytes = bytes.subarray(length)
              if (isReady) shared.client?.write(one)
              // ready for a query, in no transaction: somebody else may have it
              if (String.fromCharCode(one[0]!) === "Z" && String.fromCharCode(one[5]!) === "I") {
                isReady = true
                release(shared)
              }
            }
          })
        }
        open()
        open()
        const server = Net.createServer((client) => {
          sockets.add(client)
          let mine: Shared | undefined
          let isWelcome = false
          let bytes = Buffer.alloc(0)
          const send = (chunk: Buffer) => {
            if (mine?.client === client) return void mine.socket.write(chunk)
            const take = (shared: Shared) => {
              mine = shared
              shared.client = client
              shared.socket.write(chunk)
            }
            const shared = free.pop()
            if (shared === undefined) waiting.push(take)
            else take(shared)
          }
          client.on("error", () => {})
          client.on("data", (chunk) => {
            bytes = Buffer.concat([bytes, chunk])
            if (!isWelcome) {
              if (bytes.length < 8 || bytes.length < bytes.readInt32BE(0)) return
              const isQuestion = bytes.readInt32BE(4) === 80877103
              bytes = bytes.subarray(bytes.readInt32BE(0))
              if (isQuestion) return void client.write("N")
              isWelcome = true
              client.write(welcome)
            }
            // up to the end of what it asks at a time, so that no connection is taken for a half
            for (let from = 0, length = messageLength(bytes); length !== undefined;) {
              const type = String.fromCharCode(bytes[from]!)
              from += length
              if (type === "S" || type === "Q") {
                send(bytes.subarray(0, from))
                bytes = bytes.subarray(from)
                from = 0
              } else if (type === "X") return void client.end()
              length = messageLength(bytes.subarray(from))
            }
          })
        })
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
        return { server, sockets, pathname }
      }),
      ({ server, sockets }) =>
        Effect.promise(() => {
          for (const socket of sockets) socket.destroy()
          return new Promise<void>((resolve) => server.close(() => resolve()))
        })
    ),
    ({ pathname, server }) => `postgres://postgres@127.0.0.1:${(server.address() as Net.AddressInfo).port}${pathname}`
  )
