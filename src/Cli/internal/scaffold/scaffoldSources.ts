import type { Names } from "./scaffoldNames.ts"

/** The files of a new project that are the user's own from then on, by path. All of them belong together. */
export const sources = (names: Names): Readonly<Record<string, string>> => ({
  "src/events.ts": events(names),
  "src/decider.ts": decider(names),
  "src/projections.ts": projections(names),
  "src/store.ts": store,
  "src/main.ts": main(names),
  "test/decider.test.ts": test(names),
  "eventstore.config.ts": config(names)
})

const events = ({ constant, name }: Names) =>
  `/** What happens: the events, in the past tense, and the category that ties them to their streams. */
import { Schema } from "effect"
import { Category, Event } from "effect-eventstore"

export class Opened extends Schema.TaggedClass<Opened>()("Opened", { customer: Schema.String }) {}

export class ItemAdded extends Schema.TaggedClass<ItemAdded>()("ItemAdded", {
  item: Schema.String,
  quantity: Schema.Int,
  cents: Schema.Int
}) {}

export class Closed extends Schema.TaggedClass<Closed>()("Closed", {}) {}

/** Version 1 knew no quantity. What is stored in that shape stays as it is, and is read in today's. */
const ItemAddedVersions = Event
  .oldest(Schema.Struct({ item: Schema.String, cents: Schema.Int }))
  .current(ItemAdded, (v1) => ({ ...v1, quantity: 1 }))

/** Each ${name} has a stream: that of the id 1 is \`${name}-1\`. */
export const ${constant} = Category.make("${name}", {
  id: Schema.String,
  events: [Opened, ItemAddedVersions, Closed]
})
`

const decider = ({ constant }: Names) =>
  `/** The rules: which events a command leads to, and which commands are refused. It meets no store, and neither does its test. */
import { Effect, Schema } from "effect"
import { Decider } from "effect-eventstore"
import { Closed, ItemAdded, Opened, ${constant} } from "./events.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

export class Open extends Schema.TaggedClass<Open>()("Open", { customer: Schema.NonEmptyString }) {}
export class AddItem extends Schema.TaggedClass<AddItem>()("AddItem", {
  item: Schema.NonEmptyString,
  quantity: Positive,
  cents: Positive
}) {}
export class Close extends Schema.TaggedClass<Close>()("Close", {}) {}

export class AlreadyOpen extends Schema.TaggedError<AlreadyOpen>()("AlreadyOpen", {}) {}
export class NotOpen extends Schema.TaggedError<NotOpen>()("NotOpen", {}) {}

const State = Schema.Struct({ isOpen: Schema.Boolean, items: Schema.Array(Schema.String) })

export const ${constant}Decider = Decider.make(${constant}, {
  state: State,
  commands: [Open, AddItem, Close],
  initial: { isOpen: false, items: [] },
  evolve: {
    Opened: (state) => ({ ...state, isOpen: true }),
    ItemAdded: (state, { item, quantity }) => ({ ...state, items: [...state.items, \`\${quantity} \${item}\`] }),
    Closed: (state) => ({ ...state, isOpen: false })
  },
  decide: {
    Open: ({ customer }, { isOpen }) =>
      isOpen ? Effect.fail(new AlreadyOpen()) : Effect.succeed([new Opened({ customer })]),
    AddItem: ({ cents, item, quantity }, { isOpen }) =>
      isOpen ? Effect.succeed([new ItemAdded({ item, quantity, cents })]) : Effect.fail(new NotOpen()),
    // to close it once more changes nothing
    Close: (_, { isOpen }) => isOpen ? [new Closed()] : []
  }
})
`

const projections = ({ constant, name, projection }: Names) =>
  `/** What is asked about all of them: read models, made of the events, that can be made anew at any time. */
import { Schema } from "effect"
import { Projection } from "effect-eventstore"
import { ${constant} } from "./events.ts"

/** A document for each ${name}. Whoever changes this raises \`version\`: the new one is built beside the old one. */
export const ${constant}Summary = Projection.documents("${projection}", {
  version: 1,
  from: ${constant},
  state: Schema.Struct({ customer: Schema.String, items: Schema.Int, isOpen: Schema.Boolean }),
  initial: () => ({ customer: "", items: 0, isOpen: false }),
  evolve: {
    Opened: (summary, { event }) => ({ ...summary, customer: event.customer, isOpen: true }),
    ItemAdded: (summary, { event }) => ({ ...summary, items: summary.items + event.quantity }),
    Closed: (summary) => ({ ...summary, isOpen: false })
  }
})
`

const store =
  `/** Where the events are: in the database of EVENTSTORE_URL, else in ./data. The command line looks in the same places. */
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Option } from "effect"
import { PgEventStore, PgliteEventStore } from "effect-eventstore"

export const StoreLive = Layer.unwrap(
  Effect.map(
    Config.option(Config.Redacted("EVENTSTORE_URL")),
    Option.match({
      onNone: () => PgliteEventStore.layer({ dataDir: "./data" }),
      onSome: (url) => PgEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url })))
    })
  )
)
`

const main = ({ constant, name }: Names) =>
  `/** \`npm start\` opens number 1, adds to it, and prints what the read model has. \`npm start 2\` takes another one. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, References, Stream } from "effect"
import { Projection } from "effect-eventstore"
import { AddItem, Open, ${constant}Decider } from "./decider.ts"
import { ${constant}Summary } from "./projections.ts"
import { StoreLive } from "./store.ts"

const program = Effect.gen(function*() {
  const id = process.argv[2] ?? "1"
  yield* ${constant}Decider.run(id, new Open({ customer: "anna" })).pipe(
    Effect.catchTag("AlreadyOpen", () => Console.log("${name}-" + id + " is open already"))
  )
  yield* ${constant}Decider.run(id, new AddItem({ item: "tea", quantity: 2, cents: 450 }))
  const { position } = yield* ${constant}Decider.run(id, new AddItem({ item: "cup", quantity: 1, cents: 900 }))

  // a read model follows the log: wait until it has what was stored just now
  yield* Projection.awaitProcessed(${constant}Summary, position)
  yield* Stream.runForEach(Projection.list(${constant}Summary), ({ key, state }) => Console.log(key, state))
})

NodeRuntime.runMain(program.pipe(
  Effect.provide(Projection.layer(${constant}Summary).pipe(Layer.provideMerge(StoreLive))),
  // a projection that runs tells what it does
  Effect.provideService(References.MinimumLogLevel, "Warn")
))
`

const test = ({ constant, name }: Names) =>
  `import { describe, it } from "@effect/vitest"
import { DeciderLaws, Given } from "effect-eventstore/Testing"
import { AddItem, AlreadyOpen, Close, NotOpen, Open, ${constant}Decider } from "../src/decider.ts"
import { Closed, ItemAdded, Opened } from "../src/events.ts"

const opened = new Opened({ customer: "anna" })
const tea = { item: "tea", quantity: 2, cents: 450 }

describe("${name}", () => {
  const open = Given.decider(${constant}Decider, opened)
  const closed = Given.decider(${constant}Decider, opened, new Closed())

  it.effect("takes items while it is open", () => open.when(new AddItem(tea)).then(new ItemAdded(tea)))
  it.effect("takes none when it is closed", () => closed.when(new AddItem(tea)).thenFails(new NotOpen()))
  it.effect("is open once", () => open.when(new Open({ customer: "ben" })).thenFails(new AlreadyOpen()))
  it.effect("is closed once", () => closed.when(new Close()).thenNothing())
})

// on made up events and commands: what is decided can be folded, stored and read back
DeciderLaws.suite("${name}", ${constant}Decider)
`

const config = ({ constant }: Names) =>
  `/** What the command line knows of this application: \`npx eventstore\` looks for this file. */
import { App } from "effect-eventstore/Cli"
import { ${constant}Decider } from "./src/decider.ts"
import { ${constant} } from "./src/events.ts"
import { ${constant}Summary } from "./src/projections.ts"

export default App.make({
  dir: "./data",
  categories: [${constant}],
  deciders: [${constant}Decider],
  projections: [${constant}Summary]
})
`
