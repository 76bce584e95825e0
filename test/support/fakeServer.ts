/** A server that speaks enough of Postgres' protocol to pass for a database that is not Postgres. */
import { Effect } from "effect"
import * as Net from "node:net"

/** A column's value: a number is an `int4`. */
type Value = string | number | boolean

const int32 = (value: number) => {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

const int16 = (value: number) => int32(value).subarray(2)

const message = (tag: string, ...parts: ReadonlyArray<Buffer | string>) => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)))
  return Buffer.concat([Buffer.from(tag), int32(4 + body.length), body])
}

const encode = (value: Value): readonly [oid: number, size: number, bytes: Buffer] =>
  typeof value === "number" ?
    [23, 4, int32(value)] :
    typeof value === "boolean" ?
    [16, 1, Buffer.from([value ? 1 : 0])] :
    [25, -1, Buffer.from(value)]

const ready = message("Z", "I")

const answerOf = (row: Readonly<Record<string, Value>> | string): Buffer => {
  if (typeof row === "string") return Buffer.concat([message("E", `SERROR\0VERROR\0C${row}\0Mrefused\0\0`), ready])
  const columns = Object.entries(row).map(([name, value]) => [name, ...encode(value)] as const)
  return Buffer.concat([
    message("1"),
    message("2"),
    message(
      "T",
      int16(columns.length),
      ...columns.flatMap(([name, oid, size]) => [
        `${name}\0`,
        int32(0),
        int16(0),
        int32(oid),
        int16(size),
        int32(-1),
        int16(1)
      ])
    ),
    message("D", int16(columns.length), ...columns.flatMap(([, , , bytes]) => [int32(bytes.length), bytes])),
    message("C", "SELECT 1\0"),
    ready
  ])
}

/**
 * Starts one; returns its address. It answers each statement with the row, or with an error of the SQLSTATE, that
 * `answer` gives for it.
 */
export const fakeServer = (answer: (statement: string) => Readonly<Record<string, Value>> | string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Net.Server>((resume) => {
        const server = Net.createServer((socket) => {
          let input = Buffer.alloc(0)
          let started = false
          let statement = ""
          socket.on("error", () => {})
          socket.on("data", (chunk) => {
            input = Buffer.concat([input, chunk])
            for (;;) {
              const head = started ? 1 : 0
              const end = input.length < head + 4 ? Infinity : head + input.readInt32BE(head)
              if (input.length < end) return
              const tag = String.fromCharCode(input[0]!)
              const body = input.subarray(head + 4, end)
              input = input.subarray(end)
              if (!started) {
                started = true
                socket.write(Buffer.concat([message("R", int32(0)), message("K", int32(1), int32(1)), ready]))
              } else if (tag === "P") {
                const name = body.indexOf(0)
                statement = body.toString("utf8", name + 1, body.indexOf(0, name + 1))
              } else if (tag === "C") socket.write(message("3"))
              else if (tag === "S") socket.write(answerOf(answer(statement)))
              else if (tag === "X") socket.end()
            }
          })
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => `postgres://somebody@127.0.0.1:${(server.address() as Net.AddressInfo).port}/postgres`
  )
