/**
 * A category as server-sent events: what is stored so far, and then what comes.
 */
import { Array as Arr, type Duration, Effect, Schema, Stream } from "effect"
import { type Category, Subscription } from "effect-eventstore"
import { Sse } from "effect/encoding"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"

/**
 * The route `GET /events/<category>`. Each event is one message: `id` is its position, `event` its tag, `data` the JSON
 * that `schema` makes of it.
 *
 * A client goes on where it was with the header `Last-Event-ID`, which browsers send by themselves when they reconnect; at
 * first it may ask for `?after=` a position, or `?after=end` for what is stored from now on. 400 says that this is no
 * position, 409 that the log does not reach there, because it was restored from a backup: the client has to start anew.
 *
 * A comment tells proxies every `heartbeat` that somebody is there. It comes with an `id` and without `data`: browsers note
 * the id and tell nobody, so that a client which sees few events need not come back to where it saw the last one.
 */
export const events = <S extends Schema.ConstraintCodec<{ readonly _tag: string }, unknown>, R>(
  category: Category.Category<string, never, never, S["Type"], R>,
  schema: S,
  options?: { readonly heartbeat?: Duration.Input }
) => {
  const encode = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(schema)))

  const toText = (signal: Subscription.Signal<S["Type"]>): string => {
    if (signal._tag !== "Event") return `: ${signal.position}\nid: ${signal.position}\n\n`
    const { event, part, parts, position } = signal.recorded
    return Sse.encoder.write({
      _tag: "Event",
      // a stored event may read as several: whoever has seen only the first of them has not seen this position
      id: part + 1 === parts ? String(position) : undefined,
      event: event._tag,
      data: encode(event)
    })
  }

  return HttpRouter.add(
    "GET",
    `/events/${category.name}`,
    Effect.gen(function*() {
      const after = yield* placeOf(
        yield* HttpServerRequest.HttpServerRequest,
        yield* HttpServerRequest.ParsedSearchParams
      )
      // lives in the scope of the request, which ends with the connection: then the subscription is released
      const pull = yield* Stream.toPull(
        Subscription.signals(category, { after, heartbeat: options?.heartbeat }).pipe(
          Stream.mapArray((signals) => Arr.of(signals.map(toText).join("")))
        )
      )
      // comes at once, if only to say that there is nothing; what is wrong shows here, before anything is sent
      const first = yield* pull
      const body = Stream.concat(Stream.fromArray(first), Stream.fromPull(Effect.succeed(pull))).pipe(
        // the client sees no more than that its connection broke
        Stream.tapError((error) => Effect.logError(`Events of ${category.name} cannot be sent`, error))
      )
      return HttpServerResponse.stream(Stream.encodeText(body), {
        contentType: "text/event-stream",
        headers: { "cache-control": "no-cache", "x-accel-buffering": "no" }
      })
    }).pipe(
      Effect.catchTags({
        BadPlace: ({ message }) => Effect.succeed(HttpServerResponse.text(`${message}\n`, { status: 400 })),
        LogRewound: ({ message }) => Effect.succeed(HttpServerResponse.text(`${message}\n`, { status: 409 }))
      })
    )
  )
}

class BadPlace extends Schema.TaggedError<BadPlace>()("BadPlace", { field: Schema.String, text: Schema.String }) {
  override get message(): string {
    return `${this.field} is ${JSON.stringify(this.text)}, which is not a position of the log: a whole number from 0`
  }
}

/** The header counts: a browser that reconnects asks for the same URL again. */
const placeOf = (
  { headers }: HttpServerRequest.HttpServerRequest,
  params: typeof HttpServerRequest.ParsedSearchParams.Service
): Effect.Effect<number | "end", BadPlace> => {
  const header = headers["last-event-id"]
  const text = header ?? String(params["after"] ?? "0")
  if (header === undefined && text === "end") return Effect.succeed("end" as const)
  return /^\d+$/.test(text) && Number.isSafeInteger(Number(text))
    ? Effect.succeed(Number(text))
    : Effect.fail(new BadPlace({ field: header === undefined ? "after" : "Last-Event-ID", text }))
}
