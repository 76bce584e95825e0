/** What the end of a log takes in memory: not more, however much is stored and however slow those are who follow it. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Stream } from "effect"
import { Category, EventStore, type LogStorage, type StoredEvent, Subscription } from "effect-eventstore"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { makeMemoryStorage } from "../../src/Store/internal/memoryStorage.ts"
import { TailPages } from "../../src/Store/internal/tailPages.ts"

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const heap = () => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

const mebibyte = 1024 * 1024

const eventAt = (position: number, data: string): StoredEvent.StoredEvent => ({
  position,
  streamId: `a-${position % 100}` as never,
  streamVersion: Math.ceil(position / 100),
  eventId: `00000000-0000-7000-8000-${String(position).padStart(12, "0")}` as never,
  type: "T",
  schemaVersion: 1,
  data,
  metadata: null,
  tags: null,
  recordedAt: 0
})

/** A text of its own, flat in memory. */
const textAt = (position: number) => JSON.stringify(Buffer.alloc(500, `${position} `).toString("latin1"))

/** A log that is made up as it is read, so that what fills memory is not the log. */
class EndlessLog {
  head = 0
  pages = 0
  readonly storage: LogStorage.LogStorage = {
    ...makeMemoryStorage(),
    identity: (position) =>
      Effect.sync(() => ({ head: this.head, eventId: position > 0 ? eventAt(position, "").eventId : undefined })),
    logPage: (_, { from, limit, to }) =>
      Effect.sync(() => {
        this.pages++
        const last = Math.min(to, this.head, from + limit - 1)
        const events = Array.from(
          { length: Math.max(0, last - from + 1) },
          (_, i) => eventAt(from + i, textAt(from + i))
        )
        return { events, more: last < Math.min(to, this.head) }
      })
  }
}

it.live("keeps the newest 8,192 events, or the newest 16 MiB, and says where they begin", () =>
  Effect.sync(() => {
    for (const [bytes, most] of [[10, 8192], [100_000, 168]] as const) {
      const pages = new TailPages()
      const data = "x".repeat(bytes)
      pages.begin(7, undefined)
      let position = 7
      for (let i = 0; i < 1000; i++) {
        const size = 1 + i % 97
        pages.publish(Array.from({ length: size }, () => eventAt(++position, data)))
        const kept = [...pages.after(0)]
        const events = kept.reduce((sum, page) => sum + page.size, 0)
        assert.isTrue(kept.length === 1 || events <= most)
        assert.strictEqual(pages.begins, kept[0]!.after)
        assert.strictEqual(kept.at(-1)!.to, position)
        assert.strictEqual(pages.begins + events, position)
      }
      assert.isAbove(pages.begins, 7)
    }
  }))

it.live("keeps few pages of which nothing is left to read", () =>
  Effect.sync(() => {
    const pages = new TailPages()
    for (let i = 1; i <= 100_000; i++) pages.passOver(i)
    assert.isAtMost([...pages.after(0)].length, 8192)
    assert.strictEqual(pages.position, 100_000)
  }))

it.live("keeps nothing for subscribers that stand still, though 200,000 events go by", () =>
  Effect.gen(function*() {
    const log = new EndlessLog()
    const store = yield* EventStore.make(log.storage)
    const subscribe = (options?: Subscription.SubscribeOptions<typeof Category.raw>) =>
      Stream.provideService(Subscription.catchUp(Category.raw, options), EventStore, store)
    /** Counts what comes, in order and whole. */
    const follow = (options: Subscription.SubscribeOptions<typeof Category.raw>, stall: Effect.Effect<void>) =>
      Effect.gen(function*() {
        const seen = { position: 0 }
        const counting = Stream.runForEachArray(subscribe(options), (events) =>
          Effect.suspend(() => {
            for (const { position } of events) {
              if (position !== ++seen.position) assert.fail(`position ${position} at ${seen.position}`)
            }
            return stall
          }))
        return { seen, running: yield* Effect.forkScoped(counting, { startImmediately: true }) }
      })
    const goOn = yield* Latch.make()
    const slow = yield* Effect.forEach(
      [{}, { types: ["T"] }, { streamPrefix: "a" }],
      (options) => follow(options, goOn.await)
    )
    const quick = yield* follow({}, Effect.void)
    const end = ({ running, seen }: typeof quick) =>
      Effect.raceFirst(Fiber.join(running), Effect.repeat(Effect.yieldNow, { until: () => seen.position === log.head }))
    const write = Effect.gen(function*() {
      log.head += 500
      // tells the store that something was stored
      yield* store.transaction(Effect.void)
      yield* end(quick)
    })
    yield* write
    const begun = heap()
    while (log.head < 20_000) yield* write
    const early = heap()
    while (log.head < 220_000) yield* write
    const late = heap()
    // by then the pages are full
    assert.isBelow(early - begun, 40 * mebibyte)
    assert.isBelow(late - early, 4 * mebibyte)
    // those who stood still go on, each by itself
    for (const { seen } of slow) assert.isAtMost(seen.position, 2000)
    const pages = log.pages
    yield* goOn.open
    for (const follower of slow) yield* end(follower)
    assert.isAbove(log.pages - pages, slow.length * 100)
    assert.isBelow(log.pages - pages, slow.length * 150)
  }).pipe(Effect.scoped), 60_000)
