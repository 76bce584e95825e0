import { Effect, type Exit } from "effect"
import type { AppendCommand, AppendedEntry, AppendRefused } from "../LogStorage.ts"
import type { InlineProjectionFailed, InvalidInput, StoreError } from "../StoreError.ts"
import { AppendBatch } from "./appendBatch.ts"
import { Held, HeldAppends } from "./heldAppends.ts"

/** What an append fails with; only where projections are applied in its transaction, one of these can. */
export type AppendFailure = AppendRefused | InlineProjectionFailed | InvalidInput | StoreError

export type AppendExit<E = Exclude<AppendFailure, InlineProjectionFailed>> = Exit.Exit<ReadonlyArray<AppendedEntry>, E>

interface Waiting<E> {
  readonly command: AppendCommand
  readonly resume: (answer: AppendExit<E>) => void
  /** What it is answered where it is not sent again, if it may be stored. */
  doubt?: AppendExit<E> | undefined
}

/** What became of a command that was sent; it may be {@link Held} only where the batch was not to wait. */
export type Sent<E> = AppendExit<E> | Held<AppendExit<E>>

export interface Lanes {
  /** How many batches are on the wire at a time. */
  readonly lanes: number
  /** The same, for those that wait for streams which somebody else holds. Default: none does. */
  readonly heldLanes?: number | undefined
  /** Most streams of a batch, where each of them is locked. */
  readonly streams?: number | undefined
}

/** How a batch is sent. */
export interface SendOptions {
  /** Whether it waits for streams that somebody else holds. */
  readonly isWaiting: boolean
  /** Whether an earlier transaction may have stored it. */
  readonly mayBeStored: boolean
}

/** Sends a batch; what nobody wants any more may be left out as long as it was never sent. */
type Send<E> = (
  commands: ReadonlyArray<AppendCommand>,
  isWanted: (command: AppendCommand) => boolean,
  options: SendOptions,
  answer: (answers: ReadonlyArray<Sent<E>>) => void
) => void

/**
 * Groups the appends of a process. A batch leaves as soon as fewer than `lanes` are on the wire: a lone caller waits for
 * nothing, and the more callers there are, the more travel together. An interrupted caller withdraws its command if it
 * has not left yet, and never disturbs the others of its batch. What has to wait for a stream that somebody else holds does so
 * apart, and lets all else pass but what comes for the same stream.
 */
export class Coalescer<E = Exclude<AppendFailure, InlineProjectionFailed>> {
  private readonly lanes: number
  private readonly heldLanes: number
  private readonly streams: number
  private readonly send: Send<E>
  private readonly held: HeldAppends<AppendExit<E>, Waiting<E>>
  private queue: Array<Waiting<E>> = []
  private readonly withdrawn = new WeakSet<AppendCommand>()
  private onTheWire = 0
  private scheduled = false
  private idle: (() => void) | undefined
  private refusal: AppendExit<E> | undefined
  private isAbandoned = false
  /** Whether streams may be free that nobody waits for. */
  private mayBeFree = false

  constructor({ heldLanes = 0, lanes, streams = Infinity }: Lanes, send: Send<E>) {
    this.lanes = lanes
    this.heldLanes = heldLanes
    this.streams = streams
    this.held = new HeldAppends(streams)
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
    this.isAbandoned = true
    for (const { resume } of this.queue.splice(0)) resume(this.refusal!)
    for (const { doubt, resume } of this.held.clear()) resume(doubt ?? this.refusal!)
  }

  private readonly isWanted = (command: AppendCommand) => !this.withdrawn.has(command)

  private pump() {
    while (this.held.lanes < this.heldLanes) {
      const group = this.held.take(this.isWanted)
      if (group.length === 0) break
      const mayBeStored = group[0]!.doubt !== undefined
      this.sendOff(group, { isWaiting: true, mayBeStored }, group.length, () => {
        this.held.done(group)
        this.mayBeFree = true
      })
    }
    while (this.onTheWire < this.lanes) {
      const { batch, fresh } = this.take()
      if (batch.length === 0) break
      this.onTheWire++
      this.sendOff(batch, { isWaiting: this.heldLanes === 0, mayBeStored: false }, fresh, () => this.onTheWire--)
    }
    if (this.onTheWire === 0 && this.held.isEmpty) this.idle?.()
  }

  /** `fresh`: how many of the first ones the held ones did not lend. */
  private sendOff(batch: ReadonlyArray<Waiting<E>>, options: SendOptions, fresh: number, onAnswer: () => void) {
    this.send(batch.map(({ command }) => command), this.isWanted, options, (answers) => {
      onAnswer()
      const again: Array<Waiting<E>> = []
      for (let i = 0; i < batch.length; i++) {
        const [waiting, sent] = [batch[i]!, answers[i]!]
        if (!(sent instanceof Held)) answer(waiting, sent)
        else if (this.isAbandoned) answer(waiting, sent.doubt ?? this.refusal!)
        else {
          waiting.doubt = sent.doubt
          if (i < fresh) this.held.push(waiting)
          else again.push(waiting)
        }
      }
      if (fresh < batch.length) this.held.putBack(again)
      this.pump()
    })
  }

  private take(): { readonly batch: ReadonlyArray<Waiting<E>>; readonly fresh: number } {
    const batch = new AppendBatch<Waiting<E>>(this.streams)
    let taken = 0
    for (; taken < this.queue.length; taken++) {
      const waiting = this.queue[taken]!
      if (this.withdrawn.has(waiting.command)) continue
      // others of its streams wait already
      if (this.held.blocks(waiting.command)) this.held.push(waiting)
      else if (!batch.add(waiting)) break
    }
    this.queue = taken === this.queue.length ? [] : this.queue.slice(taken)
    const fresh = batch.items.length
    // alone they are tried again only when something has changed: else this would turn in circles
    if (fresh > 0 || this.mayBeFree) this.held.lend(batch, this.isWanted)
    this.mayBeFree = false
    return { batch: batch.items, fresh }
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
