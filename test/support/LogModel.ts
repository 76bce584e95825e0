/**
 * What an event store does, written as simply as can be: one array of events, everything else looked up in it. Slow and
 * without any cleverness, so that what a real store does can be compared with it.
 */
import type { EventId, ExpectedVersion } from "effect-eventstore"

export interface ModelEvent {
  readonly id: EventId.EventId
  readonly type: string
  readonly text: string
  readonly tags: ReadonlyArray<string>
}

export interface Placed extends ModelEvent {
  readonly stream: string
  readonly version: number
  readonly position: number
}

export interface ModelEntry {
  readonly stream: string
  readonly events: ReadonlyArray<ModelEvent>
  readonly expected: ExpectedVersion.ExpectedVersion
}

export interface Condition {
  readonly tag: string
  readonly after: number
}

/** An error as its fields, so that it compares with what a store answers. */
export type Refusal = { readonly _tag: string; readonly [field: string]: unknown }

export type Verdict<A> = { readonly answer: A } | { readonly refusal: Refusal }

export interface Answer {
  readonly streamId: string
  readonly firstVersion: number
  readonly version: number
  readonly firstPosition: number
  readonly position: number
}

export class LogModel {
  /** Position of the newest event in the log before this model's first. */
  readonly base: number
  events: ReadonlyArray<Placed> = []
  /** Events below this version are hidden. */
  hidden: Readonly<Record<string, number>> = {}
  tombstoned: ReadonlyArray<string> = []

  constructor(base: number) {
    this.base = base
  }

  copy(): LogModel {
    return Object.assign(new LogModel(this.base), this)
  }

  get head(): number {
    return this.base + this.events.length
  }

  version(stream: string): number {
    return this.events.filter((event) => event.stream === stream).length
  }

  visible(stream: string): ReadonlyArray<Placed> {
    if (this.tombstoned.includes(stream)) return []
    return this.events.filter((event) => event.stream === stream && event.version >= (this.hidden[stream] ?? 0))
  }

  status(stream: string): "new" | "active" | "deleted" | "tombstoned" {
    if (this.tombstoned.includes(stream)) return "tombstoned"
    if (this.version(stream) === 0) return "new"
    return this.visible(stream).length > 0 ? "active" : "deleted"
  }

  isExpected(stream: string, expected: ExpectedVersion.ExpectedVersion): boolean {
    if (expected === "any") return true
    if (expected === "no-stream") return this.visible(stream).length === 0
    if (expected === "stream-exists") return this.visible(stream).length > 0
    return this.version(stream) === expected
  }

  append(entries: ReadonlyArray<ModelEntry>, condition?: Condition): Verdict<ReadonlyArray<Answer>> {
    const isKnown = ({ id }: ModelEvent) => this.events.some((event) => event.id === id)
    if (entries.some(({ events }) => events.some(isKnown))) return this.repeat(entries)

    const dead = entries.find(({ stream }) => this.tombstoned.includes(stream))
    if (dead !== undefined) return { refusal: { _tag: "StreamTombstoned", streamId: dead.stream } }

    const violations = entries.filter(({ expected, stream }) => !this.isExpected(stream, expected)).map((entry) => ({
      streamId: entry.stream,
      expected: entry.expected,
      actual: this.version(entry.stream)
    }))
    if (violations.length > 0) return { refusal: { _tag: "WrongExpectedVersion", ...violations[0], violations } }

    if (condition !== undefined) {
      const after = this.events.filter(({ position, tags }) =>
        position > condition.after && tags.includes(condition.tag)
      )
      const newest = after.at(-1)
      if (newest !== undefined) {
        return { refusal: { _tag: "AppendConditionFailed", after: condition.after, position: newest.position } }
      }
    }

    return {
      answer: entries.map(({ events, stream }) => {
        for (const event of events) {
          const place = { stream, version: this.version(stream) + 1, position: this.head + 1 }
          this.events = [...this.events, { ...event, ...place }]
        }
        const more = Math.max(0, events.length - 1)
        const [version, position] = [this.version(stream), this.head]
        return { streamId: stream, firstVersion: version - more, version, firstPosition: position - more, position }
      })
    }
  }

  /** Some of the ids are stored: the same append once more, or another one. */
  private repeat(entries: ReadonlyArray<ModelEntry>): Verdict<ReadonlyArray<Answer>> {
    const answers: Array<Answer> = []
    for (const { events, expected, stream } of entries) {
      const first = this.events.find(({ id }) => id === events[0]?.id)
      for (const [i, { id, tags, text, type }] of events.entries()) {
        const stands = this.events.some((stored) =>
          stored.id === id && stored.stream === stream && stored.version === (first?.version ?? 0) + i &&
          stored.type === type && stored.text === text && stored.tags.join() === tags.join() &&
          (typeof expected !== "number" || first?.version === expected + 1)
        )
        if (!stands) return { refusal: { _tag: "EventIdConflict", eventId: id, streamId: stream } }
      }
      const last = this.events.find(({ id }) => id === events.at(-1)?.id)
      const version = this.version(stream)
      answers.push({
        streamId: stream,
        firstVersion: first?.version ?? version,
        version: last?.version ?? version,
        firstPosition: first?.position ?? this.head,
        position: last?.position ?? this.head
      })
    }
    return { answer: answers }
  }

  private change(stream: string, expected: ExpectedVersion.ExpectedVersion, change: () => void): Verdict<undefined> {
    if (this.tombstoned.includes(stream)) return { refusal: { _tag: "StreamTombstoned", streamId: stream } }
    if (!this.isExpected(stream, expected)) {
      const violation = { streamId: stream, expected, actual: this.version(stream) }
      return { refusal: { _tag: "WrongExpectedVersion", ...violation, violations: [violation] } }
    }
    change()
    return { answer: undefined }
  }

  truncateBefore(stream: string, version: number, expected: ExpectedVersion.ExpectedVersion): Verdict<undefined> {
    return this.change(stream, expected, () => {
      // what is hidden stays hidden, and what is to come is not
      if (this.version(stream) === 0) return
      const before = Math.max(this.hidden[stream] ?? 0, Math.min(version, this.version(stream) + 1))
      this.hidden = { ...this.hidden, [stream]: before }
    })
  }

  delete(stream: string, expected: ExpectedVersion.ExpectedVersion): Verdict<undefined> {
    return this.truncateBefore(stream, Infinity, expected)
  }

  tombstone(stream: string, expected: ExpectedVersion.ExpectedVersion): Verdict<undefined> {
    return this.change(stream, expected, () => {
      this.tombstoned = [...this.tombstoned, stream]
    })
  }
}
