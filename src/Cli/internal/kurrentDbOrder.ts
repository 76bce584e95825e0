import { fromName } from "../../Event/EventId.ts"
import { ForeignEventRefused } from "./foreignError.ts"
import type { KurrentEvent } from "./kurrentDbEvent.ts"

/** Where an event is in a file: an object, and within it an entry. */
export interface Spot {
  readonly offset: number
  readonly line: number
  readonly length: number
  readonly entry: number
}

/**
 * Finds out, event by event, whether a file is in order: commit positions ascend where every event has one, else times do; and
 * in each stream the numbers ascend. It holds a number for each stream.
 */
export class OrderCheck {
  private readonly numbers = new Map<string, number>()
  private hasCommits = true
  private commitsAscend = true
  private timesAscend = true
  private numbersAscend = true
  private lastCommit = -Infinity
  private lastMicros = -Infinity
  /** Whether every event has its number. */
  hasNumbers = true

  add(event: KurrentEvent): void {
    if (event.commit === undefined) this.hasCommits = false
    else {
      if (event.commit < this.lastCommit) this.commitsAscend = false
      this.lastCommit = event.commit
    }
    if (event.micros < this.lastMicros) this.timesAscend = false
    this.lastMicros = event.micros
    if (event.version === undefined) this.hasNumbers = false
    else {
      if (event.version <= (this.numbers.get(event.stream) ?? 0)) this.numbersAscend = false
      this.numbers.set(event.stream, event.version)
    }
  }

  get byCommits(): boolean {
    return this.hasCommits
  }

  /** Where events have no numbers, the order of the file is the only one there is. */
  get isInOrder(): boolean {
    return !this.hasNumbers || this.numbersAscend && (this.hasCommits ? this.commitsAscend : this.timesAscend)
  }
}

/**
 * The events of a file that is not in order, without what they hold: some 100 bytes each.
 *
 * They are ordered by commit position or by time, and in each stream by their numbers: where a clock was set back, an event
 * counts as recorded when the newest one before it in its stream was. Of streams with the same time, the one comes first that the
 * file has first.
 */
export class Index {
  private readonly streams = new Map<string, number>()
  private readonly stream: Array<number> = []
  private readonly version: Array<number> = []
  private readonly key: Array<number> = []
  private readonly idHash: Array<number> = []
  private readonly offset: Array<number> = []
  private readonly line: Array<number> = []
  private readonly length: Array<number> = []
  private readonly entry: Array<number> = []

  add(event: KurrentEvent, key: number, spot: Spot): void {
    let stream = this.streams.get(event.stream)
    if (stream === undefined) this.streams.set(event.stream, stream = this.streams.size)
    this.stream.push(stream)
    this.version.push(event.version ?? 0)
    this.key.push(key)
    this.idHash.push(Number.parseInt(fromName(event.id).slice(0, 8), 16))
    this.offset.push(spot.offset)
    this.line.push(spot.line)
    this.length.push(spot.length)
    this.entry.push(spot.entry)
  }

  /**
   * Puts the events in order, each once: pages of a feed overlap. Where two events have the same number, it says so.
   */
  sort(): { readonly order: Uint32Array; readonly repeated: number } | ForeignEventRefused {
    const { key, stream, version } = this
    const all = Uint32Array.from(stream, (_, i) => i)
    all.sort((a, b) => stream[a]! - stream[b]! || version[a]! - version[b]! || a - b)
    let count = 0
    for (let i = 0; i < all.length; i++) {
      const [at, before] = [all[i]!, count === 0 ? undefined : all[count - 1]!]
      if (before !== undefined && stream[at] === stream[before]) {
        if (version[at] === version[before]) {
          if (this.idHash[at] === this.idHash[before]) continue
          return new ForeignEventRefused({
            store: "KurrentDB",
            place: `line ${this.line[at]}`,
            problem: `has the number ${version[at]! - 1} of its stream, and so has another one at line ${
              this.line[before]
            }`
          })
        }
        key[at] = Math.max(key[at]!, key[before]!)
      }
      all[count++] = at
    }
    const order = all.subarray(0, count)
    order.sort((a, b) => key[a]! - key[b]! || stream[a]! - stream[b]! || version[a]! - version[b]!)
    return { order, repeated: all.length - count }
  }

  spot(event: number): Spot {
    return {
      offset: this.offset[event]!,
      line: this.line[event]!,
      length: this.length[event]!,
      entry: this.entry[event]!
    }
  }
}
