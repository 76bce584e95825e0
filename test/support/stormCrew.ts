/** The processes of a storm: each is started again when it dies, until it is told to stop. */
import { Effect, Fiber, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Child from "./child.ts"
import type { ProjectorOptions } from "./projectors.ts"

export interface Member {
  readonly kind: "writer" | "consumer" | "projector"
  readonly number: number
  /** Every process it was, the last one runs. */
  readonly lives: ReadonlyArray<Child.Child>
  isStopped: boolean
}

export interface Crew {
  readonly members: ReadonlyArray<Member>
  /** Kills one; it starts again at once. */
  readonly kill: (member: Member) => void
  /** Holds one for a while. */
  readonly pause: (member: Member, millis: number) => Effect.Effect<void>
  /** Tells writers to stop when what is under way is answered, and waits for that. */
  readonly stopWriters: Effect.Effect<void>
  /** Deaths that nobody outside had ordered. */
  readonly ends: () => ReadonlyArray<string>
  /** How often one stopped by itself. */
  readonly freezes: () => number
  readonly linesOf: (kind: Member["kind"]) => ReadonlyArray<string>
}

/** Starts so many of each kind. */
export const start = (
  url: string,
  seed: number,
  { frozenMillis, projector }: { readonly frozenMillis: number; readonly projector: ProjectorOptions },
  counts: Readonly<Record<Member["kind"], number>>
): Effect.Effect<Crew, never, Scope.Scope> =>
  Effect.gen(function*() {
    const program = ({ kind, number }: Member, lives: number): readonly [string, ...ReadonlyArray<string>] => {
      const numbers = [String(number), String(seed * 1000 + number * 100 + lives)] as const
      switch (kind) {
        case "writer":
          return ["stormWriter.ts", url, ...numbers]
        case "consumer":
          return ["stormConsumer.ts", url, ...numbers]
        case "projector":
          return ["projector.ts", url, JSON.stringify(projector)]
      }
    }
    const ends: Array<string> = []
    const ordered = new Set<Child.Child>()
    let isOver = false
    let freezes = 0
    const guard = yield* guardian

    /** Lets one go on that stopped by itself, later. */
    const thaw = (child: Child.Child) =>
      Effect.gen(function*() {
        for (let seen = 0;; yield* Effect.sleep(50)) {
          while (seen < child.lines.length) {
            if (child.lines[seen++] !== "frozen") continue
            freezes++
            yield* Effect.forkChild(Effect.andThen(
              Effect.sleep(frozenMillis),
              Effect.sync(() => child.signal("SIGCONT"))
            ))
          }
        }
      })

    /** Lives once; killed where it is interrupted. */
    const live = (member: Member & { readonly lives: Array<Child.Child> }) =>
      Effect.scoped(Effect.gen(function*() {
        const child = yield* Child.start(...program(member, member.lives.length))
        member.lives.push(child)
        guard(child.pid)
        member.isStopped = false
        if (isOver && member.kind === "writer") child.say("stop")
        yield* Effect.forkScoped(thaw(child))
        const code = yield* Effect.promise(() => child.ended)
        const isDone = isOver && member.kind === "writer" && code === 0
        if (!isDone && !ordered.has(child)) {
          ends.push(`${member.kind} ${member.number}: ${code ?? "SIGKILL"} ${child.errors()}`)
        }
        return isDone
      }))

    const members = Object.entries(counts).flatMap(([kind, count]) =>
      Array.from({ length: count }, (_, number) => ({
        kind: kind as Member["kind"],
        number,
        lives: new Array<Child.Child>(),
        isStopped: false
      }))
    )
    const writers: Array<Fiber.Fiber<unknown>> = []
    for (const member of members) {
      const fiber = yield* Effect.forkScoped(Effect.repeat(live(member), { until: (isDone) => isDone }))
      if (member.kind === "writer") writers.push(fiber)
    }
    return {
      members,
      kill: (member) => {
        const child = member.lives.at(-1)
        if (child === undefined) return
        ordered.add(child)
        child.signal("SIGKILL")
      },
      pause: (member, millis) =>
        Effect.suspend(() => {
          const child = member.lives.at(-1)
          if (child === undefined || member.isStopped) return Effect.void
          member.isStopped = true
          child.signal("SIGSTOP")
          return Effect.andThen(
            Effect.sleep(millis),
            Effect.sync(() => {
              child.signal("SIGCONT")
              if (member.lives.at(-1) === child) member.isStopped = false
            })
          )
        }),
      stopWriters: Effect.suspend(() => {
        isOver = true
        for (const { kind, lives } of members) if (kind === "writer") lives.at(-1)?.say("stop")
        return Effect.asVoid(Fiber.awaitAll(writers))
      }),
      ends: () => ends,
      freezes: () => freezes,
      linesOf: (kind) =>
        members.filter((member) => member.kind === kind).flatMap(({ lives }) => lives.flatMap(({ lines }) => lines))
    }
  })

/**
 * Lets processes go on that stand still when this one was killed: they then notice that nobody listens. A shell that reads
 * its end from a pipe does it.
 */
const guardian: Effect.Effect<(pid: number) => void, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const script = "while read -r pid; do pids=\"$pids $pid\"; done; kill -CONT $pids"
      return ChildProcess.spawn("/bin/sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"], detached: true })
    }),
    (shell) => Effect.sync(() => shell.stdin.end())
  ),
  (shell) => (pid) => shell.stdin.write(`${pid}\n`)
)
