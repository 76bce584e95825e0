import type { PGlite } from "@electric-sql/pglite"
import { Duplex } from "node:stream"

/** A message of Postgres' wire protocol, see https://www.postgresql.org/docs/current/protocol-message-formats.html. */
const frame = (tag: string, body: Uint8Array) => Buffer.concat([Buffer.from(tag), int32(4 + body.length), body])

const int32 = (...values: ReadonlyArray<number>) => {
  const buffer = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) buffer.writeInt32BE(value, 4 * i)
  return buffer
}

const cancelRequest = 80877102
const idle = frame("Z", Buffer.from("I"))
const sync = frame("S", Buffer.alloc(0))
const rollback = frame("Q", Buffer.from("ROLLBACK\0"))
const authenticated = frame("R", int32(0))
const canceled = Buffer.concat([frame("E", Buffer.from("SERROR\0C57014\0Mcanceled\0\0")), idle])

const breathMillis = 5

/**
 * Lets the native Postgres client talk to PGlite: each call of the function it returns opens a connection, and all
 * connections share PGlite's one backend. Therefore it runs whole request cycles only, keeps PGlite's own transaction
 * lock from BEGIN until the backend is idle again, rolls back for a connection that vanishes, and hands notifications to
 * every connection.
 */
export const pgliteDuplex = (db: PGlite): () => Duplex => {
  const sessions = new Map<number, Session>()
  let lastPid = 0
  let breathed = performance.now()

  /**
   * Lets timers and sockets have their turn, often enough. Nothing here leaves the promise queue by itself: an answer is
   * handed over, and the next request comes back, before the caller of `push` goes on.
   */
  const breathe = async () => {
    if (performance.now() - breathed < breathMillis) return
    await new Promise((resolve) => setImmediate(resolve))
    breathed = performance.now()
  }

  class Session extends Duplex {
    private readonly pid = ++lastPid
    /** Prepared statements of this session: the backend outlives it and has to forget them. */
    private readonly prepared = new Set<string>()
    private input: Buffer = Buffer.alloc(0)
    /** Complete request cycles: each ends in Sync or Query. */
    private cycles: Array<Buffer> = []
    private inTransaction = false
    private working = false
    private wake = () => {}

    override _read() {}

    override _write(chunk: Buffer, _encoding: string, done: () => void) {
      this.input = this.input.length === 0 ? chunk : Buffer.concat([this.input, chunk])
      if (sessions.has(this.pid) || this.start()) this.split()
      done()
    }

    override _final(done: () => void) {
      done()
      this.destroy()
    }

    override _destroy(error: Error | null, done: (error: Error | null) => void) {
      sessions.delete(this.pid)
      const drop = Array.from(this.prepared, (name) => frame("C", Buffer.from(`S${name}\0`)))
      this.cycles = drop.length === 0 ? [] : [Buffer.concat([...drop, sync])]
      this.work()
      done(error)
    }

    /** Answers the startup packet, or carries out a request to cancel another session's statements. */
    private start(): boolean {
      const length = this.input.length < 8 ? Infinity : this.input.readInt32BE(0)
      if (this.input.length < length) return false
      if (this.input.readInt32BE(4) === cancelRequest) {
        const target = sessions.get(this.input.readInt32BE(8))
        if (target !== undefined && !target.inTransaction) {
          // what runs cannot be stopped, what waits can
          for (const _ of target.cycles.splice(0)) target.push(canceled)
        }
        this.destroy()
        return false
      }
      this.input = this.input.subarray(length)
      sessions.set(this.pid, this)
      this.push(Buffer.concat([authenticated, frame("K", int32(this.pid, 0)), idle]))
      return true
    }

    private split() {
      let start = 0
      for (let at = 0, end = 0; this.input.length - at >= 5; at = end) {
        end = at + 1 + this.input.readInt32BE(at + 1)
        if (end > this.input.length) break
        const tag = String.fromCharCode(this.input[at]!)
        if (tag === "P") this.noteParse(at)
        else if (tag === "C") this.prepared.delete(this.input.toString("utf8", at + 6, end - 1))
        else if (tag === "S" || tag === "Q") this.cycles.push(this.input.subarray(start, start = end))
      }
      this.input = this.input.subarray(start)
      this.work()
    }

    /** Parse carries a name and the SQL. */
    private noteParse(at: number) {
      const sql = this.input.indexOf(0, at + 5) + 1
      if (sql > at + 6) this.prepared.add(this.input.toString("utf8", at + 5, sql - 1))
      // the one backend listens for all sessions: another one may still want the channel
      if (this.input.toString("latin1", sql, sql + 9) === "UNLISTEN ") this.input.write("  LISTEN", sql)
    }

    private work() {
      this.wake()
      if (!this.working && this.cycles.length > 0) this.drain().catch((error) => this.destroy(error))
    }

    private async drain() {
      this.working = true
      try {
        while (this.cycles.length > 0) {
          await db._runExclusiveTransaction(async () => {
            // canceled while it waited
            if (this.cycles.length === 0) return
            // outside of a transaction, whoever waits has his turn before the next request
            do {
              if (this.cycles.length > 0) {
                await this.execute(Buffer.concat(this.cycles.splice(0)))
                await breathe()
              } else if (this.destroyed) this.cycles.push(rollback)
              else {
                await new Promise<void>((resolve) => {
                  this.wake = resolve
                })
              }
            } while (this.inTransaction)
          })
        }
      } finally {
        this.working = false
      }
    }

    private async execute(request: Buffer) {
      const chunks: Array<Buffer> = []
      // the data are a view of the backend's memory
      const onRawData = (data: Uint8Array) => void chunks.push(Buffer.from(data))
      await db.runExclusive(() => db.execProtocolRawStream(request, { onRawData }))
      const reply = Buffer.concat(chunks)
      const own: Array<Buffer> = []
      let from = 0
      for (let at = 0, end = 0; at < reply.length; at = end) {
        end = at + 1 + reply.readInt32BE(at + 1)
        if (reply[at] === 0x5a) this.inTransaction = reply[at + 5] !== 0x49 // ReadyForQuery says "I" for idle
        if (reply[at] !== 0x41) continue // a NotificationResponse goes to every session
        own.push(reply.subarray(from, at))
        for (const session of sessions.values()) session.push(reply.subarray(at, from = end))
      }
      if (!this.destroyed) this.push(Buffer.concat([...own, reply.subarray(from)]))
    }
  }

  return () => new Session()
}
