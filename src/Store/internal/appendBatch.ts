import type { AppendCommand } from "../LogStorage.ts"

/** What may travel together: commands, and bytes of their payload (one command always may). */
const mostCommands = 512
const mostBytes = 1024 * 1024
/** A condition makes the database look at what the batch stored before it, so these travel in smaller groups. */
const mostConditions = 64

/** Commands that travel together, as far as that may be. */
export class AppendBatch<W extends { readonly command: AppendCommand }> {
  readonly items: Array<W> = []
  private readonly mostStreams: number
  private readonly ids = new Set<string>()
  private readonly streams = new Set<string>()
  private bytes = 0
  private conditions = 0

  /** `mostStreams`: where each of them is locked. */
  constructor(mostStreams: number) {
    this.mostStreams = mostStreams
  }

  /** Says whether a command may travel with the others. */
  add(item: W): boolean {
    const { command } = item
    if (this.items.length > 0) {
      if (this.items.length >= mostCommands || this.bytes + command.bytes > mostBytes) return false
      if (command.condition !== undefined && this.conditions >= mostConditions) return false
      if (this.streamsWith(command) > this.mostStreams) return false
    }
    // the same event twice in one statement would be a conflict with itself: the repetition travels in a later batch
    if (command.repeatable && !addIds(command, this.ids)) return false
    if (command.condition !== undefined) this.conditions++
    if (this.mostStreams < Infinity) { for (const { streamId } of command.entries) this.streams.add(streamId) }
    this.bytes += command.bytes
    this.items.push(item)
    return true
  }

  private streamsWith({ entries }: AppendCommand): number {
    if (this.mostStreams === Infinity) return 0
    let count = this.streams.size
    for (const { streamId } of entries) if (!this.streams.has(streamId)) count++
    return count
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
