import { fromName } from "../../../Event/EventId.ts"
import * as Json from "../archive/exactJson.ts"
import { ForeignEventRefused } from "./foreignError.ts"
import type { KurrentEvent } from "./kurrentDbEvent.ts"

/** Where an event is in a file: an object, and within it an entry. */
export interface Spot {
  readonly offset: number
  readonly line: number
  readonly length: number
  readonly entry: number
}

/** The last event of a stream. */
interface Last {
  version: number
  micros: number
  commit: number
}

/**
 * Finds out, event by event, whether a file is in order: commit positions ascend where every event has one, else times do; and
 * in each stream the numbers ascend. It holds a number and a time for each stream.
 */
export class OrderCheck {
  private readonly streams = new Map<string, Last>()
  /** The first events that stand after a newer one of their stream, by time and by commit position. */
  private timeBack: string | undefined
  private commitBack: string | undefined
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
    let last = this.streams.get(event.stream)
    if (last === undefined) this.streams.set(event.stream, last = { version: 0, micros: -Infinity, commit: -Infinity })
    if (event.version === undefined) this.hasNumbers = false
    else {
      if (event.version <= last.version) this.numbersAscend = false
      last.version = event.version
    }
    if (event.micros < last.micros) this.timeBack ??= event.place
    last.micros = event.micros
    if (event.commit !== undefined) {
      if (event.commit < last.commit) this.commitBack ??= event.place
      last.commit = event.commit
    }
  }

  get byCommits(): boolean {
    return this.hasCommits
  }

  get isInOrder(): boolean {
    return (!this.hasNumbers || this.numbersAscend) && (this.hasCommits ? this.commitsAscend : this.timesAscend)
  }

  /**
   * Where events have no numbers, the order of the file is the only one that a stream has: a file that is newest first, or the
   * other way round from page to page, would be stored backwards.
   */
  get refusal(): ForeignEventRefused | undefined {
    const place = this.hasCommits ? this.commitBack : this.timeBack
    if (this.hasNumbers || this.isInOrder || place === undefined) return undefined
    return new ForeignEventRefused({
      store: "KurrentDB",
      place,
      problem: "is older than the one before it in its stream, and events have no numbers that would tell their order",
      hint: "Export the events with their numbers, or put the oldest first."
    })
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
  private readonly content: Array<number> = []
  private readonly offset: Array<number> = []
  private readonly line: Array<number> = []
  private readonly length: Array<number> = []
  private readonly entry: Array<number> = []

  /** How many events a stream had before, for those without numbers. */
  private readonly counts: Array<number> = []
  private readonly hasNumbers: boolean

  constructor(options: { readonly hasNumbers: boolean }) {
    this.hasNumbers = options.hasNumbers
  }

  add(event: KurrentEvent, key: number, spot: Spot): void {
    let stream = this.streams.get(event.stream)
    if (stream === undefined) this.streams.set(event.stream, stream = this.streams.size)
    this.stream.push(stream)
    const count = this.counts[stream] = (this.counts[stream] ?? 0) + 1
    this.version.push(this.hasNumbers && event.version !== undefined ? event.version : count)
    this.key.push(key)
    this.content.push(contentHash(event))
    this.offset.push(spot.offset)
    this.line.push(spot.line)
    this.length.push(spot.length)
    this.entry.push(spot.entry)
  }

  /**
   * Puts the events in order, each once: pages of a feed overlap. Two different events with the same number are refused.
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
          if (this.content[at] === this.content[before]) continue
          return new ForeignEventRefused({
            store: "KurrentDB",
            place: `line ${this.line[at]}`,
            problem: `has the number ${version[at]! - 1} of its stream, and so has another one at line ${
              this.line[before]
            }, with another id, type, data or metadata`,
            hint: "Leave out the one that is wrong."
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

/** 52 bits of what an event is, but for its time: a feed may have that of a link. */
const contentHash = ({ data, id, metadata, type }: KurrentEvent): number => {
  const name = fromName(id.toLowerCase(), type, Json.toText(data), metadata === undefined ? "" : Json.toText(metadata))
  return Number.parseInt(name.slice(0, 8) + name.slice(9, 13) + name.slice(15, 16), 16)
}
