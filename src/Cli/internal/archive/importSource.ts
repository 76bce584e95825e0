import type { Stream } from "effect"
import type { ArchivedEvent, ArchivedStream } from "./archivedEvent.ts"

/**
 * Where an import takes events from: an archive, another log, another kind of store. Each time that `events` is run it gives
 * the same events in the same order, of each stream one version after the other, and perhaps more at the end.
 */
export interface Source<out E = never, out R = never> {
  /** How many events there are, where that is known. */
  readonly total: number | undefined
  /**
   * Whether it is all of a log, at positions without holes: an empty log then takes them at the same positions. `position` of
   * the events of any other source tells only where to look when something is wrong with one.
   */
  readonly isWhole: boolean
  /** The last position that a whole log used, where newer events than its last were there and are gone. */
  readonly head: number | undefined
  readonly events: Stream.Stream<ArchivedEvent, E, R>
  /** What the streams have beyond their events. */
  readonly streams: Stream.Stream<ArchivedStream, E, R>
}

const sources = new WeakSet<object>()

/** Marks a source of ours, which gives nothing that no log could have: what programs make is looked at by the import itself. */
export const checked = <S extends object>(source: S): S => {
  sources.add(source)
  return source
}

export const isChecked = (source: object): boolean => sources.has(source)
