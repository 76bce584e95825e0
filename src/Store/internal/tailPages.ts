import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import * as StreamId from "../../Stream/StreamId.ts"

/** What the tail keeps at most: enough for a follower that is a little slower, however many there are. */
const keptEvents = 8192
const keptBytes = 16 * 1024 * 1024

/** By what a follower is found without asking its filter: `"*"` for all events. */
export type TailKey = `stream:${string}` | `category:${string}` | `type:${string}` | `tag:${string}` | "*"

/** Somebody whom new events of some keys concern. */
export interface TailListener {
  readonly keys: ReadonlyArray<TailKey>
  /** A page that may hold something for it begins behind a position. It is woken when all have been told. */
  readonly onPage: (after: number) => void
  readonly wake: () => void
}

/** The events behind `after` up to `to`. */
export class TailPage {
  readonly after: number
  readonly to: number
  readonly eventId: string | undefined
  readonly bytes: number
  private readonly events: ReadonlyArray<StoredEvent>
  private index: Map<TailKey, Array<StoredEvent>> | undefined

  constructor(after: number, to: number, eventId: string | undefined, events: ReadonlyArray<StoredEvent>) {
    this.after = after
    this.to = to
    this.eventId = eventId
    this.events = events
    let bytes = 0
    for (const { data, metadata } of events) bytes += data.length + (metadata?.length ?? 0)
    this.bytes = bytes
  }

  get size(): number {
    return this.events.length
  }

  /** Its events of some keys, in the order of positions; those of several keys may hold more than was asked for. */
  of(keys: ReadonlyArray<TailKey>): ReadonlyArray<StoredEvent> {
    return keys.length === 1 && keys[0] !== "*" ? this.byKey().get(keys[0]!) ?? noEvents : this.events
  }

  /** Made once, whatever the number of followers. */
  byKey(): ReadonlyMap<TailKey, ReadonlyArray<StoredEvent>> {
    if (this.index !== undefined) return this.index
    const index = new Map<TailKey, Array<StoredEvent>>()
    const add = (key: TailKey, event: StoredEvent) => {
      const known = index.get(key)
      if (known === undefined) index.set(key, [event])
      // an event may carry a tag twice
      else if (known[known.length - 1] !== event) known.push(event)
    }
    for (const event of this.events) {
      add(`stream:${event.streamId}`, event)
      add(`category:${StreamId.category(event.streamId)}`, event)
      add(`type:${event.type}`, event)
      for (const tag of event.tags ?? []) add(`tag:${tag}`, event)
    }
    return this.index = index
  }
}

const noEvents: ReadonlyArray<StoredEvent> = []

/** The newest pages of the log, for all who follow it. Nobody is waited for: who is too slow reads for itself. */
export class TailPages {
  /** Everything up to here was published, or is older than the tail. */
  position = 0
  /** The event at `position`. */
  eventId: string | undefined
  /** The pages kept begin behind this position. */
  begins = 0
  private pages: Array<TailPage> = []
  private events = 0
  private bytes = 0
  private readonly listeners = new Map<TailKey, Set<TailListener>>()

  begin(position: number, eventId: string | undefined): void {
    this.position = this.begins = position
    this.eventId = eventId
  }

  publish(events: ReadonlyArray<StoredEvent>): void {
    const last = events[events.length - 1]!
    this.add(new TailPage(this.position, last.position, last.eventId, events))
  }

  /** Nothing up to a position can be read any more. */
  passOver(position: number): void {
    this.add(new TailPage(this.position, position, undefined, noEvents))
  }

  /** The pages that reach beyond a position, oldest first. */
  *after(position: number): Iterable<TailPage> {
    // the newest are asked for most
    let first = this.pages.length
    while (first > 0 && this.pages[first - 1]!.to > position) first--
    for (; first < this.pages.length; first++) yield this.pages[first]!
  }

  join(listener: TailListener): void {
    for (const key of listener.keys) {
      const known = this.listeners.get(key)
      if (known === undefined) this.listeners.set(key, new Set([listener]))
      else known.add(listener)
    }
  }

  leave(listener: TailListener): void {
    for (const key of listener.keys) {
      const known = this.listeners.get(key)
      known?.delete(listener)
      if (known?.size === 0) this.listeners.delete(key)
    }
  }

  wakeAll(): void {
    for (const listeners of this.listeners.values()) {
      for (const listener of listeners) listener.wake()
    }
  }

  private add(page: TailPage): void {
    this.pages.push(page)
    this.events += page.size
    this.bytes += page.bytes
    this.position = page.to
    this.eventId = page.eventId
    while (
      this.pages.length > 1 &&
      (this.events > keptEvents || this.bytes > keptBytes || this.pages.length > keptEvents)
    ) {
      const oldest = this.pages.shift()!
      this.events -= oldest.size
      this.bytes -= oldest.bytes
      this.begins = oldest.to
    }
    // who is woken goes on at once, and may ask how far the others are: they have to know by then
    const concerned = [...this.concernedBy(page)]
    for (const listener of concerned) listener.onPage(page.after)
    for (const listener of concerned) listener.wake()
  }

  private *concernedBy(page: TailPage): Iterable<TailListener> {
    if (page.size === 0) return
    yield* this.listeners.get("*") ?? []
    if (this.listeners.size === (this.listeners.has("*") ? 1 : 0)) return
    for (const key of page.byKey().keys()) yield* this.listeners.get(key) ?? []
  }
}
