/** A log in memory whose storage misbehaves when it is told to, and what follows its end. */
import { it } from "@effect/vitest"
import { Deferred, Effect, Metric, References, type Scope, Stream } from "effect"
import { Category, EventStore, type LogStorage, RawEvent, StoreError, Subscription } from "effect-eventstore"
import { TestClock } from "effect/testing"
import { makeMemoryStorage } from "../../src/Store/internal/memoryStorage.ts"
import { gather, type Gathered } from "../../src/Testing/internal/subscribing.ts"

type Store = EventStore["Service"]
type StoreFailure = StoreError.StoreError

export const failure = (isRetryable: boolean) =>
  new StoreError.StoreError({
    operation: "test",
    isRetryable,
    outcome: "not-stored",
    cause: new Error("on purpose")
  })

/** A storage in memory that counts what it is asked, and fails, lies and keeps silent when it is told to. */
export class FaultyStorage {
  readonly memory = makeMemoryStorage()
  pages = 0
  identities = 0
  /** Connections that listen. */
  listening = 0
  listened = 0
  /** What every read does instead. */
  trouble: Effect.Effect<never, StoreFailure> | undefined
  /** What listening does instead. */
  deafness: Effect.Effect<never, StoreFailure> | undefined
  /** What a look at the head answers. */
  identity: LogStorage.LogStorage["identity"] = this.memory.identity
  private readonly lost: Array<Deferred.Deferred<never, StoreFailure>> = []
  private readonly onNews = new Set<(subscription: string | undefined) => void>()

  private readonly or = <A, E>(effect: Effect.Effect<A, E>) => this.trouble ?? effect

  readonly storage: LogStorage.LogStorage = {
    ...this.memory,
    logPage: (filter, range) =>
      Effect.suspend(() => {
        this.pages++
        return this.or(this.memory.logPage(filter, range))
      }),
    identity: (position) =>
      Effect.suspend(() => {
        this.identities++
        return this.or(this.identity(position))
      }),
    listen: (onNews) =>
      Effect.gen({ self: this }, function*() {
        if (this.deafness !== undefined) return yield* this.deafness
        const lost = yield* Deferred.make<never, StoreFailure>()
        this.lost.push(lost)
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            this.listening++
            this.listened++
            this.onNews.add(onNews)
          }),
          () =>
            Effect.sync(() => {
              this.listening--
              this.onNews.delete(onNews)
            })
        )
        return Deferred.await(lost)
      }),
    pollMillis: 5000
  }

  say(subscription?: string): void {
    for (const onNews of this.onNews) onNews(subscription)
  }

  /** The connections are gone. */
  readonly loseConnections = Effect.suspend(() =>
    Effect.forEach(this.lost.splice(0), (lost) => Deferred.fail(lost, failure(true)))
  )
}

/** A store as one process has it, another process on the same storage, and the storage between them. */
export const make = Effect.gen(function*() {
  const faulty = new FaultyStorage()
  const store = yield* EventStore.make(faulty.storage)
  const other = yield* EventStore.make({ ...faulty.memory })
  return { faulty, store, other }
})

export const append = (store: Store, count = 1, stream = "a-1", type = "T") =>
  store.append(
    Category.rawStream(stream),
    Array.from({ length: count }, (_, i) => RawEvent.make({ type, schemaVersion: 1, data: i }))
  )

export const catchUp = (store: Store, options?: Subscription.SubscribeOptions<typeof Category.raw>) =>
  gather(Stream.provideService(Subscription.catchUp(Category.raw, options), EventStore, store))

/** A subscription, and the error that ends it. */
export const ending = (store: Store, options?: Subscription.SubscribeOptions<typeof Category.raw>) =>
  Stream.runDrain(Subscription.catchUp(Category.raw, options)).pipe(
    Effect.flip,
    Effect.provideService(EventStore, store),
    Effect.forkScoped({ startImmediately: true })
  )

export const positionsOf = ({ all }: Gathered<{ readonly position: number }>) => all.map(({ position }) => position)

export const upTo = (last: number, after = 0) => Array.from({ length: last - after }, (_, i) => after + i + 1)

const counted = (id: string) =>
  Effect.map(
    Metric.snapshot,
    (metrics) =>
      metrics.reduce(
        (sum, metric) => metric.id === id ? sum + Number((metric.state as { count: number }).count) : sum,
        0
      )
  )

export const missed = counted("eventstore.tail.missed_notifications")
export const retries = counted("eventstore.tail.retries")

/** Lets everybody do what there is to do. */
export const settle = TestClock.adjust(1)

/** A test in virtual time, with metrics of its own and without its warnings. */
export const test = (name: string, body: () => Generator<Effect.Effect<any, any, Scope.Scope>, void, never>) =>
  it.effect(name, () =>
    Effect.gen(body).pipe(
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(References.MinimumLogLevel, "Error")
    ))
