/** A healthy log with something of every kind in it, and how to damage it for a moment. */
import { Effect, Layer, Schedule, Schema, Stream } from "effect"
import {
  Category,
  Decider,
  Delivery,
  Event,
  EventData,
  EventStore,
  PersistentSubscription,
  ProcessManager,
  Projection,
  RawEvent,
  Snapshot
} from "effect-eventstore"
import * as Archive from "effect-eventstore/Cli/Archive"
import type { ArchiveDamaged } from "effect-eventstore/Cli/ArchiveError"
import * as Verification from "effect-eventstore/Cli/Verification"
import { SqlClient } from "effect/sql"
import { inStore, until } from "../../src/Testing/internal/consuming.ts"
import { processed, untilState } from "../../src/Testing/internal/projecting.ts"
import type { Opened as OpenedStore } from "../support/Notes.ts"

export class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}
export class Added extends Schema.TaggedClass<Added>()("Added", { sku: Schema.String, quantity: Schema.Int }) {}

const AddedVersions = Event.oldest(Schema.Struct({ sku: Schema.String }))
  .current(Added, ({ sku }) => ({ sku, quantity: 1 }))

/** One stored event of the past is two of today. */
const OpenedWith = Event.oldest(Schema.Struct({ customer: Schema.String, sku: Schema.String }))
  .retired("OpenedWith", ({ customer, sku }) => [new Opened({ customer }), new Added({ sku, quantity: 1 })])

export const Cart = Category.make("cart", {
  id: Schema.String,
  events: [Opened, AddedVersions, OpenedWith, Event.dropped("Debugged")]
})

export const opened = (customer: string) => new Opened({ customer })
export const added = (sku: string, quantity: number) => new Added({ sku, quantity })

class Placed extends Schema.TaggedClass<Placed>()("Placed", { total: Schema.Int }) {}
const Order = Category.make("order", { id: Schema.String, events: [Placed] })

const State = Schema.Struct({ items: Schema.Int, skus: Schema.Array(Schema.String) })

const folded = (state: typeof State.Type, { quantity, sku }: Added) => ({
  items: state.items + quantity,
  skus: [...state.skus, sku]
})

export const Carts = Decider.make(Cart, {
  state: State,
  initial: { items: 0, skus: [] },
  evolve: { Opened: (state) => state, Added: folded },
  decide: {
    Add: ({ quantity, sku }: { readonly _tag: "Add"; sku: string; quantity: number }) => [added(sku, quantity)]
  },
  snapshot: Snapshot.make({ name: "cart", state: State, policy: Snapshot.onDemand })
})

/** A snapshot that no decider has. */
const Count = Snapshot.make({ name: "count", state: Schema.Int, policy: Snapshot.onDemand })

const Counts = Verification.snapshot(Count, Cart, { initial: () => 0, evolve: (count) => count + 1 })

const sizes = (mode: "async" | "inline") =>
  Projection.documents(`${mode}-sizes`, {
    mode,
    from: Cart,
    state: Schema.Int,
    initial: () => 0,
    evolve: {
      Opened: (size, { event: { customer } }) => {
        if (customer === "poison" && mode === "async") throw new Error("poison")
        return size
      },
      Added: (size, { event }) => size + event.quantity
    }
  })

const bySku = Projection.links("by-sku", {
  from: Cart,
  key: ({ event }) => event._tag === "Added" ? event.sku : []
})

const Reminders = ProcessManager.make("reminders", {
  from: Order,
  correlate: ProcessManager.byStreamId,
  state: Schema.Struct({ total: Schema.Int }),
  initial: () => ({ total: 0 }),
  timers: ["payment"]
}, {
  handle: { Placed: (_, { total }) => ({ state: { total }, timers: { payment: "1 day" } }) },
  onTimer: { payment: () => ({ end: true }) }
})

export const projections = [sizes("async"), sizes("inline"), bySku]

export const declared = {
  categories: [Cart, Order, Reminders.categories.processes],
  deciders: [Carts],
  snapshots: [Counts]
} as const

const text = (length: number) =>
  Array.from({ length }, (_, i) => String.fromCharCode(97 + (i * i * 31 + i) % 26)).join("")

/** Fills a log; whoever reads it has stopped when this is done. */
export const fill = ({ sql, store }: OpenedStore) =>
  Effect.scoped(Effect.gen(function*() {
    const run = inStore(store)
    const raw = (streamId: string, type: string, schemaVersion: number, data: Schema.Json) =>
      store.append(Category.rawStream(streamId), [RawEvent.make({ type, schemaVersion, data })])
    const carts = (id: string, ...events: ReadonlyArray<Opened | Added>) => store.append(Cart.stream(id), events)
    yield* carts("a", opened("anna")) // 1
    yield* store.append(Cart.stream("a"), [
      EventData.make(added("tea", 1), { tags: ["sku:tea"], metadata: { actor: "anna", fields: { ip: [1, null] } } }) // 2
    ])
    yield* carts("b", opened("bert")) // 3
    yield* carts("a", added("cup", 2), added("tea", 1)) // 4, 5
    yield* raw("cart-a", "Added", 1, { sku: "pot" }) // 6
    yield* raw("cart-b", "OpenedWith", 1, { customer: "bert", sku: "jam" }) // 7
    yield* raw("cart-b", "Debugged", 3, [1]) // 8
    yield* raw("note-x", "Noted", 1, "a text of its own") // 9
    yield* carts("c", opened("carl"), ...[1, 2, 3, 4].map((quantity) => added("oil", quantity))) // 10 to 14
    yield* store.truncateBefore(Cart.stream("c"), 4)
    yield* carts("d", opened("dora"), added("nut", 1)) // 15, 16
    yield* store.delete(Cart.stream("d"))
    yield* carts("e", opened("emil")) // 17
    yield* store.tombstone(Cart.stream("e"))
    yield* store.transaction(carts("f", opened("fred"), added("fig", 1))) // 18, 19
    yield* carts("g", opened(text(5000))) // 20
    yield* store.setMetadata(Cart.stream("a"), { limit: 1 })
    yield* store.setMetadata(Cart.stream("z"), [null])
    for (const quantity of [1, 2, 3]) yield* run(Carts.run("s", { _tag: "Add", sku: "sun", quantity })) // 21 to 23
    yield* run(Carts.snapshot("s"))
    yield* run(Carts.run("s", { _tag: "Add", sku: "sun", quantity: 4 })) // 24
    yield* carts("u", opened("ute"), added("urn", 1)) // 25, 26
    yield* run(Carts.snapshot("u"))
    yield* store.truncateBefore(Cart.stream("u"), 2)
    yield* carts("v", opened("vera"), added("van", 1), added("vat", 2)) // 27 to 29
    yield* run(Carts.snapshot("v"))
    yield* carts("p", opened("poison"), added("pea", 1)) // 30, 31
    yield* store.append(Order.stream("1"), [new Placed({ total: 5 })]) // 32

    const running = Layer.mergeAll(
      Projection.layer(projections[0]!, { onError: { giveUp: "park", retry: Schedule.recurs(0) } }),
      Projection.layer(projections[1]!),
      Projection.layer(projections[2]!),
      PersistentSubscription.layer("mails", {
        from: Cart,
        handle: ({ event }) =>
          event._tag === "Opened" && event.customer === "bert"
            ? Effect.fail(new Delivery.Park({ reason: "no Bert" }))
            : Effect.void
      }),
      PersistentSubscription.layer("slow", { from: Cart, capacity: 5, handle: () => Effect.never }),
      ProcessManager.layer(Reminders, { perform: {} })
    )
    yield* Effect.scoped(Effect.gen(function*() {
      yield* Layer.build(running).pipe(
        Effect.provideService(EventStore, store),
        Effect.provideService(SqlClient.SqlClient, sql)
      )
      yield* until("a move", () => Effect.map(store.head(), (head) => head === 33))
      yield* untilState(store, "inline-sizes", ({ isApplied }) => isApplied)
      yield* carts("h", opened("hans"), added("hop", 1), added("hop", 2)) // 34 to 36
      yield* carts("a", added("inn", 5)) // 37
      for (const { definition: { isInline, name } } of projections) if (!isInline) yield* processed(store, name)
      yield* until("mails", () =>
        Effect.map(run(PersistentSubscription.list), (list) =>
          list.find(({ name }) =>
            name === "mails"
          )!.checkpoint >= 37))
      yield* until("something to be slow with", () =>
        Effect.map(run(PersistentSubscription.list), (list) => {
          const slow = list.find(({ name }) => name === "slow")!
          return slow.waiting + slow.inFlight === 5
        }))
    }))
    // what readers have handled is hidden afterwards
    yield* store.truncateBefore(Cart.stream("h"), 3)
  }))

/** What a verification finds, a line for each: the check, the kind, and what it is about. How far readers came is chance. */
export const linesOf = ({ findings }: Verification.Report): ReadonlyArray<string> =>
  findings.map(({ about, check, kind }) => {
    const fields = Object.entries(about).filter(([field]) =>
      field !== "eventId" && !(field === "position" && kind === "CheckpointAhead")
    )
    return [check, kind, ...fields.map(([field, value]) => `${field}=${value}`)].join(" ")
  }).sort()

const tablesOf = ({ sql }: OpenedStore) => ({ sql, schema: "eventstore", log: 1 })

/** All that is in a log now, to be compared with later. */
export const archive = (log: OpenedStore): Effect.Effect<Archive.Source, unknown> =>
  Effect.gen(function*() {
    const source = yield* Archive.fromLog(tablesOf(log))
    const [events, streams] = yield* Effect.all([Stream.runCollect(source.events), Stream.runCollect(source.streams)])
    return { ...source, events: Stream.fromIterable(events), streams: Stream.fromIterable(streams) }
  })

export interface Archived extends OpenedStore {
  readonly archive: Archive.Source<ArchiveDamaged>
}

export const verify = (log: Archived, checks?: ReadonlyArray<Verification.CheckName>) =>
  inStore(log.store)(
    Verification.report({ tables: tablesOf(log), archive: log.archive, checks, projections, ...declared })
  ).pipe(Effect.provideService(SqlClient.SqlClient, log.sql))

/** Lets a superuser do something to a log that nobody else can. */
export const damage = ({ sql }: OpenedStore, statements: ReadonlyArray<string>) =>
  sql.withTransaction(Effect.gen(function*() {
    yield* sql.unsafe("SET LOCAL session_replication_role = replica")
    for (const statement of statements) yield* sql.unsafe(statement.replaceAll("es.", "eventstore."))
    yield* sql.unsafe("SET LOCAL session_replication_role = origin")
  }))

/** All checks but that of projections, which needs transactions of its own. */
const withinTransaction = Verification.CheckName.literals.filter((check) => check !== "projections")

/** What a verification says of a log that was damaged: all of it is undone then. */
export const afterDamage = (log: Archived, statements: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    let report: Verification.Report | undefined
    const looking = Effect.gen(function*() {
      yield* damage(log, statements)
      report = yield* verify(log, withinTransaction)
      return yield* Effect.fail("undo")
    })
    yield* Effect.catch(log.sql.withTransaction(looking), (error) => error === "undo" ? Effect.void : Effect.die(error))
    return report!
  })
