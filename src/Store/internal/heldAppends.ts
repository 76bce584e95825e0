import type { AppendCommand } from "../LogStorage.ts"
import { AppendBatch } from "./appendBatch.ts"

/** A command that was not appended because somebody else holds a stream of it. */
export class Held<Exit> {
  /** What it is answered where it is not sent again, if an earlier transaction may have stored it. */
  readonly doubt: Exit | undefined

  constructor(doubt: Exit | undefined) {
    this.doubt = doubt
  }
}

/** A command whose streams somebody else holds. */
export interface HeldItem<Exit> {
  readonly command: AppendCommand
  doubt?: Exit | undefined
}

/** Whether a command touches one of some streams. */
const touches = ({ entries }: AppendCommand, streams: { has(streamId: string): boolean }): boolean =>
  entries.some(({ streamId }) => streams.has(streamId))

/** Parts commands by whether they can be appended before some streams are free: those of each stream stay in order. */
export const partByStreams = (
  commands: ReadonlyArray<AppendCommand>,
  streams: Iterable<string>
): { readonly free: ReadonlyArray<AppendCommand>; readonly held: ReadonlyArray<AppendCommand> } => {
  const taken = new Set(streams)
  if (taken.size === 0) return { free: commands, held: [] }
  const free: Array<AppendCommand> = []
  const held: Array<AppendCommand> = []
  for (const command of commands) {
    if (!touches(command, taken)) {
      free.push(command)
      continue
    }
    held.push(command)
    for (const { streamId } of command.entries) taken.add(streamId)
  }
  return { free, held }
}

/**
 * Appends that wait until their streams are free, apart from all others. Each group of them waits for the streams of its first
 * command and for no others. What comes for a stream that is waited for stays behind what is there, and what nobody waits for
 * yet is tried again together with all else.
 */
export class HeldAppends<Exit, W extends HeldItem<Exit>> {
  private readonly mostStreams: number
  private queue: Array<W> = []
  /** How many commands of a stream are queued or on the wire. */
  private readonly streams = new Map<string, number>()
  private readonly onTheWire = new Set<ReadonlyArray<W>>()
  private lent: ReadonlyArray<W> = []

  constructor(mostStreams: number) {
    this.mostStreams = mostStreams
  }

  /** Groups on the wire. */
  get lanes(): number {
    return this.onTheWire.size
  }

  get isEmpty(): boolean {
    return this.queue.length === 0 && this.onTheWire.size === 0
  }

  /** Whether a command has to stay behind one that is here. */
  blocks(command: AppendCommand): boolean {
    return this.streams.size > 0 && touches(command, this.streams)
  }

  push(item: W): void {
    this.queue.push(item)
    this.remember(item)
  }

  /** Takes back what is left of the commands that {@link lend} handed out: they are older than all else of their streams. */
  putBack(items: ReadonlyArray<W>): void {
    this.lent = []
    this.queue = [...items, ...this.queue]
    for (const item of items) this.remember(item)
  }

  /** Hands out what nobody waits for, as far as it fits into a batch: its streams may be free by now. */
  lend(batch: AppendBatch<W>, isWanted: (command: AppendCommand) => boolean): void {
    const taken = this.takenStreams
    const own = batch.items.length
    const rest: Array<W> = []
    for (const item of this.queue) {
      const { command, doubt } = item
      if (!isWanted(command)) this.forget(item)
      else if (doubt === undefined && !touches(command, taken) && batch.add(item)) this.forget(item)
      else {
        rest.push(item)
        addStreams([item], taken)
      }
    }
    this.queue = rest
    this.lent = batch.items.slice(own)
  }

  /** Takes the next group, if there is one that need not stay behind one on the wire: see `done`. */
  take(isWanted: (command: AppendCommand) => boolean): ReadonlyArray<W> {
    if (this.queue.length === 0) return []
    const taken = this.takenStreams
    const batch = new AppendBatch<W>(this.mostStreams)
    const own = new Set<string>()
    const rest: Array<W> = []
    for (const item of this.queue) {
      const { command, doubt } = item
      if (!isWanted(command)) {
        this.forget(item)
        continue
      }
      const [first] = batch.items
      const joins = !touches(command, taken) && (first === undefined ||
        (first.doubt === undefined) === (doubt === undefined) &&
          command.entries.every(({ streamId }) => own.has(streamId)))
      if (joins && batch.add(item)) addStreams([item], own)
      else {
        rest.push(item)
        addStreams([item], taken)
      }
    }
    this.queue = rest
    if (batch.items.length > 0) this.onTheWire.add(batch.items)
    return batch.items
  }

  /** A group was answered. */
  done(group: ReadonlyArray<W>): void {
    this.onTheWire.delete(group)
    for (const item of group) this.forget(item)
  }

  /** Takes out all that is not on the wire. */
  clear(): ReadonlyArray<W> {
    const items = this.queue
    this.queue = []
    for (const item of items) this.forget(item)
    return items
  }

  private get takenStreams(): Set<string> {
    const taken = new Set<string>()
    for (const group of this.onTheWire) addStreams(group, taken)
    addStreams(this.lent, taken)
    return taken
  }

  private remember({ command }: W): void {
    for (const { streamId } of command.entries) this.streams.set(streamId, (this.streams.get(streamId) ?? 0) + 1)
  }

  private forget({ command }: W): void {
    for (const { streamId } of command.entries) {
      const count = this.streams.get(streamId)!
      if (count === 1) this.streams.delete(streamId)
      else this.streams.set(streamId, count - 1)
    }
  }
}

const addStreams = (items: ReadonlyArray<{ readonly command: AppendCommand }>, into: Set<string>): void => {
  for (const { command } of items) for (const { streamId } of command.entries) into.add(streamId)
}
