/** What a reader keeps in memory does not depend on what the events hold, nor on what it has read so far. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import {
  Category,
  EventMetadata as Metadata,
  EventStore,
  PgEventStore,
  RawEvent,
  type Recorded
} from "effect-eventstore"
import * as TestPostgres from "../support/TestPostgres.ts"

const bound = 2 * 1024 * 1024
const large = 600_000

/** Random digits: what compresses well would be stored as small. */
const noise = (length: number) => {
  let text = ""
  for (let seed = length; text.length < length; seed = (seed * 48271) % 0x7fffffff) text += seed.toString(36)
  return text.slice(0, length)
}

const note = (text: string) => RawEvent.make({ type: "Noted", schemaVersion: 1, data: { text } })

layer(PgEventStore.layer().pipe(Layer.provide(TestPostgres.layer)), { excludeTestServices: true })((it) => {
  it.effect(
    "hands out pages of few bytes, also where large events follow a long run of small ones",
    () =>
      Effect.gen(function*() {
        const store = yield* EventStore
        const stream = Category.rawStream("page-1")
        for (let i = 0; i < 5; i++) yield* store.append(stream, Array.from({ length: 1000 }, () => note("small")))
        const [text, metadata] = [noise(large), { fields: { text: noise(large) } }]
        for (let i = 0; i < 10; i++) {
          yield* store.append(stream, [note("between"), note(text)])
          yield* store.append(stream, [note("with metadata")]).pipe(Effect.provideService(Metadata.Current, metadata))
        }
        const read = (events: Stream.Stream<Recorded.Recorded<RawEvent.RawEvent>, unknown>) =>
          Effect.gen(function*() {
            const versions: Array<number> = []
            let most = 0
            yield* Stream.runForEachArray(events, (page) =>
              Effect.sync(() => {
                const sizes = page.map(({ event, metadata }) => JSON.stringify([event.data, metadata]).length)
                most = Math.max(most, sizes.reduce((sum, size) => sum + size, 0))
                versions.push(...page.map(({ streamVersion }) => streamVersion))
              }))
            return { versions, most }
          })
        const all = Array.from({ length: 5030 }, (_, i) => i + 1)
        for (const forward of [read(store.read(stream)), read(store.readAll())]) {
          const { most, versions } = yield* forward
          assert.deepStrictEqual(versions, all)
          // the last event of a page may go beyond the bound
          assert.isBelow(most, bound + 2 * large)
        }
        const { most, versions } = yield* read(store.read(stream, { direction: "backward" }))
        assert.deepStrictEqual(versions, all.toReversed())
        assert.isBelow(most, bound + 2 * large)
      }),
    60_000
  )
})
