/** What part of a log each of many readers wants, and how its events are made. */
import { EventData, EventStore } from "effect-eventstore"
import { Cart, categoryOf, marked } from "./shop.ts"

/** Its own category, its own stream, what has its own tag, or all of it, raw. */
export type Part = "category" | "stream" | "tag" | "all"

const categories: Array<ReturnType<typeof categoryOf>> = []

export const category = (reader: number) => categories[reader] ??= categoryOf(`reader${reader}`)
export const stream = (reader: number) => Cart.stream(`of-reader-${reader}`)
export const tag = (reader: number) => `reader:${reader}`

/** Events of a run from number `first` on, for one reader. */
export const entryFor = (part: Part, reader: number, run: string, first: number, size: number) => {
  const events = Array.from({ length: size }, (_, n) => marked(run, first + n))
  switch (part) {
    case "category":
      return EventStore.entry(category(reader).stream(`${run}-${first}`), events)
    case "stream":
      return EventStore.entry(stream(reader), events)
    case "tag":
      return EventStore.entry(
        Cart.stream(`${run}-${first}`),
        events.map((event) => EventData.make(event, { tags: [tag(reader)] }))
      )
    case "all":
      return EventStore.entry(Cart.stream(`${run}-${first}`), events)
  }
}
