/**
 * Commands on one hot stream, from 64 callers in three processes: by a decider, with its states in the process, and as an entity
 * of the cluster that the three are, one of which owns the stream; beside Emmett's command handler and Castore's commands in
 * three processes, too.
 *
 * Run as a program, this file is one of the processes.
 */
import { NodeClusterSocket } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Metric, Option, Redacted } from "effect"
import { EventStore, PgEventStore } from "effect-eventstore"
import { RunnerAddress, Sharding } from "effect/cluster"
import { type AddressInfo, createServer } from "node:net"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import * as Castore from "../castore/CastoreCommands.ts"
import * as Emmett from "../emmett/EmmettCommands.ts"
import { makePlace } from "./arena.ts"
import { answerParent, startChild } from "./child.ts"
import { compare, contest, isWanted, type Row, type Sample, settings } from "./contest.ts"
import { command, deciders, entity, type Way } from "./counters.ts"
import { fibres, promises, unique } from "./load.ts"

type Contender = Way | "entity" | "emmett" | "castore"

interface Order {
  readonly contender: Contender
  readonly stream: string
  readonly callers: number
  readonly seconds: number
}

interface Settings {
  readonly url: string
  readonly others: string
  readonly port: number
}

const processes = 3
const callers = 64

export const hotStream = Effect.fnUntraced(function*(postgres: PostgresServer) {
  const rows: Array<Row> = []
  const work = `hot stream, ${callers} callers in ${processes} processes`
  if (!isWanted(work)) return rows

  const place = yield* makePlace(postgres)
  const others = yield* makePlace(postgres)
  yield* Effect.scoped(Emmett.make(others.url))
  yield* Castore.migrate(others.url)
  const children = yield* Effect.forEach(
    Array.from({ length: processes }),
    () =>
      Effect.flatMap(
        Effect.promise(freePort),
        (port) =>
          startChild<Order>(import.meta.filename, { url: place.url, others: others.url, port } satisfies Settings)
      ),
    { concurrency: "unbounded" }
  )
  const run = (contender: Contender): Effect.Effect<Sample> =>
    Effect.suspend(() => {
      const stream = unique()
      return Effect.map(
        Effect.forEach(children, ({ ask }, i) =>
          ask<Sample>({
            contender,
            stream,
            callers: Math.floor((callers + i) / processes),
            seconds: settings.seconds
          }), { concurrency: "unbounded" }),
        (samples): Sample => ({
          rate: samples.reduce((sum, { rate }) => sum + rate, 0),
          p50: Math.max(...samples.map(({ p50 }) => p50 ?? 0)),
          p99: Math.max(...samples.map(({ p99 }) => p99 ?? 0)),
          conflicts: samples.reduce((sum, { conflicts }) => sum + (conflicts ?? 0), 0)
        })
      )
    })
  const results = yield* contest(work, {
    plain: run("plain"),
    checked: run("checked"),
    trusted: run("trusted"),
    entity: run("entity"),
    emmett: run("emmett"),
    castore: run("castore")
  })
  const emmett = "Emmett's CommandHandler"
  rows.push(
    compare(results, "plain", "emmett", { work, beside: emmett }),
    compare(results, "plain", "castore", { work, beside: "Castore's Command" }),
    compare(results, "checked", "plain", { work: `${work}, checked cache`, beside: "without" }),
    compare(results, "trusted", "plain", { work: `${work}, trusted cache`, beside: "without" }),
    compare(results, "entity", "plain", { work: `${work}, entity`, beside: "without" }),
    compare(results, "entity", "trusted", { work: `${work}, entity`, beside: "trusted cache" }),
    compare(results, "entity", "emmett", { work: `${work}, entity`, beside: emmett }),
    compare(results, "entity", "plain", {
      work: `${work}, entity, half of them within`,
      beside: "without",
      measure: "p50"
    })
  )
  return rows
})

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

const retries = Effect.map(Metric.snapshot, (all) =>
  all.filter(({ id }) => id === "eventstore.decider.retries")
    .reduce((sum, { state }) => sum + Number((state as { readonly count: number }).count), 0))

if (import.meta.main) {
  await answerParent<Order, Settings>(Effect.fnUntraced(function*({ others, port, url }) {
    const context = yield* Layer.build(
      entity.toLayer().pipe(
        Layer.provideMerge(NodeClusterSocket.layer({
          shardingConfig: {
            runnerAddress: Option.some(RunnerAddress.make("127.0.0.1", port)),
            refreshAssignmentsInterval: "500 millis"
          }
        })),
        Layer.provideMerge(PgEventStore.layer()),
        Layer.provideMerge(PgClient.layer({ url: Redacted.make(url) }))
      )
    )
    const here = Effect.provide(Context.pick(EventStore, Sharding.Sharding)(context))
    const emmett = yield* Emmett.make(others)
    const castore = Castore.make(others)
    return ({ callers, contender, seconds, stream }) =>
      Effect.gen(function*() {
        const before = yield* retries
        const sample = yield* contender === "emmett"
          ? promises(callers, () => emmett.run(`counter-${stream}`), seconds)
          : contender === "castore"
          ? promises(callers, () => castore.run(stream), seconds)
          : fibres(
            callers,
            () =>
              contender === "entity"
                ? here(entity.run(stream, command))
                : here(deciders[contender].run(stream, command)),
            seconds
          )
        return { ...sample, conflicts: (yield* retries) - before }
      })
  }))
}
