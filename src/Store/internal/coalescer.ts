import { Effect, type Exit } from "effect"
import type { AppendCommand, AppendedEntry, AppendRefused } from "../LogStorage.ts"
import type { InlineProjectionFailed, InvalidInput, StoreError } from "../StoreError.ts"

/** What an append fails with; only where projections are applied in its transaction, one of these can. */
export type AppendFailure = AppendRefused | InlineProjectionFailed | InvalidInput | StoreError

export type AppendExit<E = Exclude<AppendFailure, InlineProjectionFailed>> = Exit.Exit<ReadonlyArray<AppendedEntry>, E>

/** What may travel together: commands, and bytes of their payload (one command always may). */
const batchCommands = 512
const batchBytes = 1024 * 1024
/** A condition makes the database look at what the batch stored before it, so these travel in smaller groups. */
const batchConditions = 64

interface Waiting<E> {
  readonly command: AppendCommand
  readonly resume: (answer: AppendExit<E>) => void
}

/** Sends a batch; what nobody wants any more may be left out as long as it was never sent. */
type Send<E> = (
  commands: ReadonlyArray<AppendCommand>,
  isWanted: (command: AppendCommand) => boolean,
  answer: (answers: ReadonlyArray<AppendExit<E>>) => void
) => void

/**
 * Groups the appends of a process. A batch leaves as soon as fewer than `lanes` are on the wire: a lone caller waits for
 * nothing, and the more callers there are, the more travel together. An interrupted caller withdraws its command if it
 * has not left yet, and never disturbs the others of its batch.
 */
export class Coalescer<E = Exclude<AppendFailure, InlineProjectionFailed>> {
  private readonly lanes: number
  private readonly send: Send<E>
  private queue: Array<Waiting<E>> = []
  private readonly withdrawn = new WeakSet<AppendCommand>()
  private onTheWire = 0
  private scheduled = false
  private idle: (() => void) | undefined
  private refusal: AppendExit<E> | undefined

  constructor(lanes: number, send: Send<E>) {
    this.lanes = lanes
    this.send = send
  }

  submit(command: AppendCommand): Effect.Effect<ReadonlyArray<AppendedEntry>, E> {
    return Effect.callback((resume) => {
      if (this.refusal !== undefined) return resume(this.refusal)
      this.queue.push({ command, resume })
      if (!this.scheduled) {
        this.scheduled = true
        // callers of the same tick travel together
        queueMicrotask(() => {
          this.scheduled = false
          this.pump()
        })
      }
      return Effect.sync(() => this.withdrawn.add(command))
    })
  }

  /** Takes no more commands, but answers them like this; resolves when nothing waits and nothing is on the wire. */
  close(refusal: AppendExit<E>): Effect.Effect<void> {
    return Effect.callback((resume) => {
      this.refusal = refusal
      this.idle = () => resume(Effect.void)
      this.pump()
    })
  }

  /** Answers what waits as `close` said, without sending it. */
  abandon() {
    for (const { resume } of this.queue.splice(0)) resume(this.refusal!)
  }

  private pump() {
    while (this.onTheWire < this.lanes) {
      const batch = this.take()
      if (batch.length === 0) break
      this.onTheWire++
      const isWanted = (command: AppendCommand) => !this.withdrawn.has(command)
      this.send(batch.map(({ command }) => command), isWanted, (answers) => {
        this.onTheWire--
        for (let i = 0; i < batch.length; i++) answer(batch[i]!, answers[i]!)
        this.pump()
      })
    }
    if (this.onTheWire === 0) this.idle?.()
  }

  private take(): ReadonlyArray<Waiting<E>> {
    const batch: Array<Waiting<E>> = []
    const ids = new Set<string>()
    let bytes = 0
    let conditions = 0
    let taken = 0
    for (; taken < this.queue.length && batch.length < batchCommands; taken++) {
      const waiting = this.queue[taken]!
      const { command } = waiting
      if (this.withdrawn.has(command)) continue
      if (batch.length > 0 && bytes + command.bytes > batchBytes) break
      if (command.condition !== undefined && ++conditions > batchConditions) break
      // the same event twice in one statement would be a conflict with itself: the repetition travels in a later batch
      if (command.repeatable && !addIds(command, ids)) break
      bytes += command.bytes
      batch.push(waiting)
    }
    this.queue = taken === this.queue.length ? [] : this.queue.slice(taken)
    return batch
  }
}

/** Answers a caller. What throws on the way, an observer of its fibre perhaps, is no reason to leave the others waiting. */
const answer = <E>({ resume }: Waiting<E>, exit: AppendExit<E>) => {
  try {
    resume(exit)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

const addIds = (command: AppendCommand, ids: Set<string>): boolean => {
  for (const { events } of command.entries) {
    for (const { eventId } of events) if (ids.has(eventId)) return false
  }
  for (const { events } of command.entries) {
    for (const { eventId } of events) ids.add(eventId)
  }
  return true
}
