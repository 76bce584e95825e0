import { Effect, Exit, Stream } from "effect"
import { Flag } from "effect/cli"
import { EventStore } from "../../../Store/EventStore.ts"
import * as Subscription from "../../../Subscription/Subscription.ts"
import { eventBlock, eventColumns, eventLine } from "../eventLines.ts"
import { type Selection, selectionFlags, selectionOf, shownStream } from "../eventSelection.ts"
import { layer as application } from "../frame/application.ts"
import { plainCommand } from "../frame/command.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answerRows, note, Output, writeLines } from "../frame/output.ts"
import { withStore } from "../frame/pgTarget.ts"
import { wrongInput } from "../frame/refusal.ts"
import { releasedWithin } from "../frame/releasing.ts"
import { natural, valueOf } from "../frame/settings.ts"
import type { Showing, Shown, ShownEvent } from "../shownEvent.ts"
import { selected, showing } from "./read.ts"

/** Events from before that are shown where nothing else is asked for, and the most that can be: they are held in memory. */
const before = { shown: 10, most: 10_000 }

export const tail = plainCommand(
  "tail",
  {
    ...selectionFlags,
    after: natural("after").pipe(
      Flag.withDescription("Begin behind this position (of a stream: version), 0 for everything"),
      Flag.optional
    ),
    last: natural("last").pipe(
      Flag.withDescription(`Begin with so many that are there already, ${before.shown} where nothing is said`),
      Flag.optional
    ),
    limit: natural("limit", 1).pipe(Flag.withDescription("End after so many events"), Flag.optional),
    full: Flag.Boolean("full").pipe(
      Flag.withDescription("All that is known of each event, in many lines"),
      Flag.withDefault(false)
    ),
    typed: Flag.Boolean("typed").pipe(
      Flag.withDescription("As the application reads them; else as they are stored"),
      Flag.withDefault(false)
    )
  },
  {
    description:
      "Shows events as they are stored, until it is interrupted, and says then how to go on. It lives through a restart of the " +
      "database. A directory belongs to one process: there it ends with what is in it.",
    examples: [
      { command: "eventstore tail" },
      { command: "eventstore tail cart --type Paid --where 'data.cents>=100000'", description: "Large payments" },
      { command: "eventstore tail --after 4711 --json", description: "Go on where another run ended" }
    ]
  },
  Effect.fnUntraced(
    function*(input) {
      const after = valueOf(input.after)
      const last = valueOf(input.last)
      if (after !== undefined && last !== undefined) {
        return yield* wrongInput("--after and --last both say where to begin", "leave out one of them")
      }
      if (last !== undefined && last > before.most) {
        return yield* wrongInput(`--last is at most ${before.most}`, "--after POSITION begins anywhere")
      }
      const selection = yield* selectionOf(input)
      const show = yield* showing(input.typed)
      const store = yield* EventStore
      const { isJson, paint } = yield* Output
      const isEmbedded = (yield* OpenLog).kind === "pglite"
      const head = selection.stream === undefined
        ? yield* store.head()
        : yield* store.head(shownStream(selection.stream))
      const start = after ?? head
      const placeOf = ({ position, streamVersion }: Shown) => selection.stream === undefined ? position : streamVersion
      const earlier = after === undefined
        ? yield* Stream.runCollect(
          selected(store, selection, { direction: "backward", from: head }, last ?? before.shown, show)
        )
        : []
      let shown = start
      const events = Stream.suspend(() => {
        const limit = valueOf(input.limit)
        // an end among the earlier ones leaves those behind it for the next time
        const past = Stream.map(
          Stream.fromIterable(earlier.reverse()),
          (event): Step => ({ event, place: placeOf(event) })
        )
        let count = 0
        const steps = Stream.takeUntil(
          Stream.concat(past, live(selection, start, show, isEmbedded)),
          ({ event }) => event !== undefined && ++count === limit
        )
        let reached = start
        const events = Stream.mapAccum(steps, () => undefined, (_, { event, place }) => {
          reached = place
          return [undefined, event === undefined ? [] : [event]]
        })
        return Stream.transformPull(events, (pull) =>
          Effect.succeed(Effect.suspend(() => {
            // who asks for more has written what came before
            shown = reached
            return pull
          })))
      })
      if (isEmbedded) {
        yield* note(paint("dim", "Nobody else can write to this directory now: this ends with what is in it."))
      }
      const written = input.full && !isJson
        ? writeLines(Stream.map(events, (event) => `${eventBlock(event, { paint })}\n`))
        : answerRows(events, { columns: yield* eventColumns, line: eventLine, empty: "There is no such event." })
      let isSaid = false
      const sayOnce = Effect.suspend(() => {
        if (isSaid) return Effect.void
        isSaid = true
        return note(paint("dim", `To go on from here: --after ${shown}`))
      })
      const ended = Effect.onExit(written, (exit) => {
        if (Exit.isFailure(exit) && !Exit.hasInterrupts(exit)) isSaid = true
        return Exit.isSuccess(exit) ? sayOnce : Effect.void
      })
      // at once, and not when the database has let go of it
      yield* Effect.raceFirst(ended, Effect.onInterrupt(Effect.never, () => sayOnce))
    },
    (following) => Effect.provide(withStore(following), application),
    releasedWithin("3 seconds")
  )
)

/** An event, or none, and the place up to which everything was seen with it. */
interface Step {
  readonly event: Shown | undefined
  readonly place: number
}

/** What is stored from a place on, for ever, or until all is seen that is there. */
const live = (
  { filter: { categories, ...filter }, matches, stream }: Selection,
  after: number,
  show: Showing,
  isEmbedded: boolean
) => {
  const forEver: Stream.Stream<Subscription.Signal<ShownEvent>, Subscription.SubscribeError, EventStore> =
    stream === undefined
      ? Subscription.signals(show, { ...filter, categories, after })
      : Subscription.signals(shownStream(stream, show), { after })
  const signals = isEmbedded ? Stream.takeUntil(forEver, ({ _tag }) => _tag === "CaughtUp") : forEver
  return Stream.mapAccum(signals, () => after, (seen, signal): readonly [number, ReadonlyArray<Step>] => {
    if (signal._tag === "Event") {
      const { recorded } = signal
      const place = stream === undefined ? recorded.position : recorded.streamVersion
      return [place, [{ event: matches(recorded) ? recorded : undefined, place }]]
    }
    // positions of the log say nothing of a stream
    const place = stream === undefined ? signal.position : seen
    return [place, [{ event: undefined, place }]]
  })
}
