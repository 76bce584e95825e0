import { Duration } from "effect"
import { compare } from "../../Stream/StreamId.ts"
import type {
  Advance,
  NewParkedEvent,
  PartitionClaim,
  PartitionsClaimed,
  PartitionState,
  ProjectionDefinition,
  ProjectionState
} from "../ProjectionStorage.ts"
import { MemoryLinks } from "./memoryLinks.ts"
import { MemoryMap } from "./memoryMap.ts"
import type { Ending, Transaction } from "./memoryTransaction.ts"

/** A place in the log. */
export interface Place {
  readonly position: number
  readonly eventId: string | null
}

/** Never changed, only replaced: whoever wants to move it has to have seen the one that is stored. */
interface Partition extends Place {
  readonly epoch: number
  readonly isCaughtUp: boolean
  readonly handled: number
  readonly rate: number
}

interface Parked extends NewParkedEvent {
  readonly parkedAt: number
}

/** A version of a projection. What belongs to transactions is kept in maps that they can change for themselves. */
export interface Version {
  readonly definition: ProjectionDefinition
  readonly id: number
  readonly start: Place
  isLive: boolean
  isSwitchWanted: boolean
  stage: ProjectionState["stage"]
  status: ProjectionState["status"]
  /** Numbers the time of being applied inline, `undefined` while it is not. */
  activation: number | undefined
  error: string | null
  errorPosition: number | null
  repartitionTo: number | null
  stopAt: number | null
  /** The newest epoch of any partition. */
  epochs: number
  of: number
  readonly partitions: MemoryMap<number, Partition>
  readonly leases: Map<number, { readonly runner: string; until: number }>
  /** When runners count as gone. */
  readonly runners: Map<string, number>
  readonly setUp: MemoryMap<SetUp, true>
  /** By position and key. */
  readonly parked: MemoryMap<string, Parked>
  /** Keys that somebody wants handled again. */
  readonly replays: MemoryMap<string, true>
  readonly documents: MemoryMap<string, string>
  readonly links: MemoryLinks
}

/** What is done once for a version. */
export type SetUp = "isSetUp" | "isIndexed"

export const makeVersion = (
  definition: ProjectionDefinition,
  id: number,
  partitions: number,
  start: Place,
  isLive: boolean
): Version => {
  const version: Version = {
    definition,
    id,
    start,
    isLive,
    isSwitchWanted: false,
    stage: "building",
    status: "running",
    activation: undefined,
    error: null,
    errorPosition: null,
    repartitionTo: null,
    stopAt: null,
    epochs: 0,
    of: partitions,
    partitions: new MemoryMap(),
    leases: new Map(),
    runners: new Map(),
    setUp: new MemoryMap(),
    parked: new MemoryMap(),
    replays: new MemoryMap(),
    documents: new MemoryMap(),
    links: new MemoryLinks()
  }
  for (let i = 0; i < partitions; i++) placePartition(version, i, start, false)
  return version
}

/** Puts a partition somewhere, with nothing handled yet. */
const placePartition = (version: Version, partition: number, { eventId, position }: Place, isCaughtUp: boolean) =>
  version.partitions.set(undefined, partition, {
    position,
    eventId,
    epoch: ++version.epochs,
    isCaughtUp,
    handled: 0,
    rate: 0
  })

const partitionsOf = (version: Version, transaction: Transaction | undefined): ReadonlyArray<Partition> =>
  Array.from({ length: version.of }, (_, i) => version.partitions.get(transaction, i)!)

/** Everything up to here is handled; `head` while appends apply it. */
export const progressOf = (version: Version, head: number, transaction?: Transaction): number =>
  version.activation === undefined
    ? Math.min(...partitionsOf(version, transaction).map(({ position }) => position))
    : head

export const stateOf = (
  version: Version,
  now: number,
  head: Place,
  transaction: Transaction | undefined
): ProjectionState => {
  const isApplied = version.activation !== undefined
  const partitions = partitionsOf(version, transaction).map((partition, i): PartitionState => ({
    partition: i,
    ...partition,
    ...(isApplied ? head : {}),
    owner: ownerOf(version, i, now) ?? null
  }))
  const parked = [...version.parked.entries(transaction)]
  return {
    ...version.definition,
    id: version.id,
    startPosition: version.start.position,
    isLive: version.isLive,
    isSetUp: version.setUp.get(transaction, "isSetUp") === true,
    stage: version.stage,
    status: version.status,
    isApplied,
    error: version.error,
    errorPosition: version.errorPosition,
    partitions,
    repartitionTo: version.repartitionTo,
    parkedKeys: new Set(parked.map(([, { key }]) => key)).size,
    parkedEvents: parked.length
  }
}

/** Who owns a partition, unless the lease has run out. */
const ownerOf = (version: Version, partition: number, now: number): string | undefined => {
  const lease = version.leases.get(partition)
  return lease !== undefined && lease.until > now ? lease.runner : undefined
}

/** Nobody moves a partition any more who worked on it until now. */
const fence = (version: Version, partition: number): void => {
  const stored = version.partitions.get(undefined, partition)!
  version.partitions.set(undefined, partition, { ...stored, epoch: ++version.epochs })
}

/** Makes owners look again. */
export const fenceAll = (version: Version): void => {
  for (let i = 0; i < version.of; i++) fence(version, i)
}

export const claim = (
  version: Version,
  { lease, runner }: PartitionClaim,
  now: number
): PartitionsClaimed => {
  const until = now + Duration.toMillis(lease)
  version.runners.set(runner, until)
  for (const [other, until] of version.runners) {
    if (until <= now) version.runners.delete(other)
  }
  repartitionIfDue(version)
  const owned: Array<number> = []
  let surplus = 0
  let next = Infinity
  if (version.status === "running" && version.activation === undefined) {
    const share = shareOf(version, runner, now)
    const free: Array<number> = []
    for (let i = 0; i < version.of; i++) {
      const held = version.leases.get(i)
      if (held?.runner === runner) owned.push(i)
      else if (held === undefined || held.until <= now) free.push(i)
    }
    for (const i of free) {
      if (owned.length >= share) break
      fence(version, i)
      owned.push(i)
    }
    for (const i of owned) version.leases.set(i, { runner, until })
    surplus = Math.max(0, owned.length - share)
    for (const held of version.leases.values()) {
      if (held.runner !== runner && held.until > now) next = Math.min(next, held.until)
    }
  }
  return {
    partitions: owned.sort((a, b) => a - b).map((partition) => {
      const { rate: _, ...stored } = version.partitions.get(undefined, partition)!
      return { partition, of: version.of, ...stored }
    }),
    surplus,
    status: version.status,
    stage: version.stage,
    isSetUp: version.setUp.get(undefined, "isSetUp") === true,
    isLive: version.isLive,
    isApplied: version.activation !== undefined,
    isSwitchWanted: isSwitchWanted(version),
    stopAt: version.stopAt,
    parkedKeys: [...new Set(Array.from(version.parked.entries(undefined), ([, { key }]) => key))],
    replays: Array.from(version.replays.entries(undefined), ([key]) => key),
    nextIn: next === Infinity ? undefined : next - now
  }
}

/** A live version that is to be applied inline, and is not, is wanted so: it was resumed, or rolled back to. */
const isSwitchWanted = ({ activation, definition, isLive, isSwitchWanted }: Version): boolean =>
  isSwitchWanted || (definition.isInline && isLive && activation === undefined)

/**
 * How many partitions a runner is to have: the same for all who are alive, and one more for some where that does not come out
 * even. These are the ones who have more already, so that nothing changes hands for nothing.
 */
const shareOf = (version: Version, runner: string, now: number): number => {
  const owned = new Map(Array.from(version.runners, ([name]) => [name, 0]))
  for (const lease of version.leases.values()) {
    if (lease.runner === runner || lease.until > now) owned.set(lease.runner, (owned.get(lease.runner) ?? 0) + 1)
  }
  const each = Math.floor(version.of / version.runners.size)
  const own = owned.get(runner)!
  const before = [...owned].filter(([other, count]) =>
    count > each && (count > own || (count === own && compare(other, runner) < 0))
  )
  return before.length < version.of % version.runners.size ? each + 1 : each
}

export const release = (version: Version, runner: string, partitions: ReadonlyArray<number> | undefined): void => {
  for (const [partition, lease] of version.leases) {
    if (lease.runner !== runner || partitions?.includes(partition) === false) continue
    version.leases.delete(partition)
    fence(version, partition)
  }
  if (partitions === undefined) version.runners.delete(runner)
}

/** Whether a partition may be moved so, as a transaction sees it. */
export const isAllowed = (version: Version, advance: Advance, transaction: Transaction | undefined): boolean => {
  const partition = version.partitions.get(transaction, advance.partition)
  return partition !== undefined && partition.epoch === advance.epoch && partition.position === advance.from &&
    version.status === "running" && version.activation === undefined &&
    (version.stopAt === null || advance.to <= version.stopAt) && isParked(version, advance.unpark, transaction)
}

/** Whether events are set aside: who does not know whether they were finished already has to be told. */
const isParked = (version: Version, unpark: Advance["unpark"], transaction: Transaction | undefined): boolean =>
  unpark === undefined ||
  unpark.positions.every((position) => {
    const name = nameOf({ key: unpark.key, position })
    return version.parked.get(transaction, name) !== undefined
  })

/** Moves a partition for a transaction; answers what happens when that is stored. */
export const advance = (version: Version, asked: Advance, transaction: Transaction, now: number): Ending => {
  const stored = version.partitions.get(undefined, asked.partition)
  const partition = version.partitions.get(transaction, asked.partition)!
  version.partitions.set(transaction, asked.partition, {
    position: asked.to,
    eventId: asked.eventId,
    epoch: asked.epoch,
    isCaughtUp: asked.isCaughtUp,
    handled: partition.handled + asked.handled,
    rate: asked.rate
  })
  for (const parked of asked.park ?? []) {
    version.parked.set(transaction, nameOf(parked), { ...parked, parkedAt: now })
  }
  if (asked.unpark !== undefined) {
    const { key, positions } = asked.unpark
    for (const position of positions) version.parked.set(transaction, nameOf({ key, position }), undefined)
    endReplays(version, transaction, [key])
  }
  return {
    isPossible: () => version.partitions.get(undefined, asked.partition) === stored,
    run: (now) => {
      const lease = version.leases.get(asked.partition)
      if (lease !== undefined) lease.until = (asked.now ?? now) + Duration.toMillis(asked.lease)
      if (asked.handled > 0) forgetError(version)
    }
  }
}

const nameOf = ({ key, position }: { readonly key: string; readonly position: number }): string => `${position} ${key}`

/** A key of which nothing is parked any more is not to be handled again. */
const endReplays = (version: Version, transaction: Transaction | undefined, keys: ReadonlyArray<string>): void => {
  const parked = new Set(Array.from(version.parked.entries(transaction), ([, { key }]) => key))
  for (const key of keys) {
    if (!parked.has(key)) version.replays.set(transaction, key, undefined)
  }
}

export const forgetError = (version: Version): void => {
  version.error = null
  version.errorPosition = null
}

/** Applies it no longer: its checkpoint is the head of the log. */
export const deactivate = (version: Version, head: Place): void => {
  if (version.activation === undefined) return
  version.activation = undefined
  const { handled, rate } = version.partitions.get(undefined, 0)!
  version.partitions.set(undefined, 0, { ...head, epoch: ++version.epochs, isCaughtUp: true, handled, rate })
}

/** Its partitions belong to nobody. */
export const freeAll = (version: Version): void => {
  version.leases.clear()
  fenceAll(version)
}

/** Back to where it began, as if it were new. */
export const reset = (version: Version): void => {
  version.activation = undefined
  version.stage = "building"
  if (version.status === "failed") version.status = "running"
  version.isSwitchWanted = false
  forgetError(version)
  version.setUp.clear()
  version.parked.clear()
  version.replays.clear()
  version.documents.clear()
  version.links.clear()
  version.leases.clear()
  if (version.stopAt !== null) version.stopAt = version.start.position
  for (let i = 0; i < version.of; i++) placePartition(version, i, version.start, false)
}

/** Wants another number of partitions, from where the first one of them is now. */
export const wantPartitions = (version: Version, partitions: number): void => {
  const isChange = partitions !== version.of
  version.repartitionTo = isChange ? partitions : null
  version.stopAt = isChange
    ? Math.max(...partitionsOf(version, undefined).map(({ position }) => position))
    : null
  fenceAll(version)
}

/** Changes the number of partitions, if all of them have come to where that is to be. */
const repartitionIfDue = (version: Version): void => {
  const { repartitionTo, stopAt } = version
  const partitions = partitionsOf(version, undefined)
  if (repartitionTo === null || partitions.some(({ position }) => position !== stopAt)) return
  version.partitions.clear()
  version.leases.clear()
  version.of = repartitionTo
  version.repartitionTo = null
  version.stopAt = null
  const isCaughtUp = partitions.every(({ isCaughtUp }) => isCaughtUp)
  for (let i = 0; i < repartitionTo; i++) placePartition(version, i, partitions[0]!, isCaughtUp)
  const handled = partitions.reduce((sum, { handled }) => sum + handled, 0)
  version.partitions.set(undefined, 0, { ...version.partitions.get(undefined, 0)!, handled })
}

export const isCaughtUp = (version: Version): boolean =>
  partitionsOf(version, undefined).every(({ isCaughtUp }) => isCaughtUp)

/** From now on appends apply it. Its only partition has handled all that there is. */
export const activate = (version: Version, activation: number, head: Place, handled: number): void => {
  const partition = version.partitions.get(undefined, 0)!
  version.activation = activation
  version.leases.clear()
  version.partitions.set(undefined, 0, {
    ...partition,
    ...head,
    epoch: ++version.epochs,
    isCaughtUp: true,
    handled: partition.handled + handled
  })
}

/**
 * Parked events behind a position, in the order of positions. An event that is parked under several keys is not torn
 * apart, though that is more than the limit.
 */
export const parkedAfter = (
  version: Version,
  { after, key, limit }: { readonly key: string | undefined; readonly after: number; readonly limit: number }
): ReadonlyArray<Parked> => {
  const sorted = Array.from(version.parked.entries(undefined), ([, parked]) => parked)
    .filter((parked) => parked.position > after && (key === undefined || parked.key === key))
    .sort((a, b) => a.position - b.position || (a.key < b.key ? -1 : 1))
  const last = sorted[limit - 1]?.position
  return last === undefined ? sorted : sorted.filter(({ position }) => position <= last)
}

/** Parked events of some keys, or of all. */
const parkedOf = (version: Version, keys: ReadonlyArray<string> | undefined): ReadonlyArray<Parked> => {
  const wanted = keys && new Set(keys)
  return Array.from(version.parked.entries(undefined), ([, parked]) => parked)
    .filter(({ key }) => wanted === undefined || wanted.has(key))
}

export const replay = (version: Version, keys: ReadonlyArray<string> | undefined): number => {
  const parked = parkedOf(version, keys)
  for (const { key } of parked) version.replays.set(undefined, key, true)
  if (parked.length > 0) fenceAll(version)
  return parked.length
}

export const discard = (version: Version, keys: ReadonlyArray<string> | undefined): number => {
  const parked = parkedOf(version, keys)
  for (const one of parked) {
    version.parked.set(undefined, nameOf(one), undefined)
    version.replays.set(undefined, one.key, undefined)
  }
  // an owner who still takes a key for parked would park what comes
  if (parked.length > 0) fenceAll(version)
  return parked.length
}

export const replayFailed = (
  version: Version,
  { error, key, position }: { readonly key: string; readonly position: number; readonly error: string }
): void => {
  const parked = version.parked.get(undefined, nameOf({ key, position }))
  if (parked !== undefined) {
    version.parked.set(undefined, nameOf(parked), { ...parked, attempts: parked.attempts + 1, error })
  }
  version.replays.set(undefined, key, undefined)
}

/** Whether a partition is still at an epoch. */
export const isAt = (
  version: Version | undefined,
  { epoch, partition }: { readonly partition: number; readonly epoch: number }
): version is Version => version?.partitions.get(undefined, partition)?.epoch === epoch
