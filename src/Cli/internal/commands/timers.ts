import { DateTime, Effect, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { Application } from "../frame/application.ts"
import { group, storeCommand } from "../frame/command.ts"
import { OpenLog } from "../frame/logSql.ts"
import { answerRows } from "../frame/output.ts"
import { timeOf } from "../frame/progress.ts"
import { answerIsNo } from "../frame/refusal.ts"
import { natural, valueOf } from "../frame/settings.ts"
import type { Column } from "../frame/table.ts"
import { selectTimers, type WaitingTimer } from "../timersSql.ts"

const columns: ReadonlyArray<Column<WaitingTimer>> = [
  { title: "due", value: ({ due }) => iso(due) },
  {
    title: "in",
    value: ({ in: left }) => left < 0 ? `${timeOf(-left / 1000)} overdue` : timeOf(left / 1000),
    align: "right",
    style: ({ in: left }) => left < 0 ? "yellow" : undefined
  },
  { title: "manager", value: ({ manager }) => manager },
  { title: "timer", value: ({ name }) => name },
  { title: "process", value: ({ process }) => process }
]

const iso = (millis: number) => DateTime.formatIso(DateTime.makeUnsafe(millis))

const list = storeCommand(
  "list",
  {
    manager: Flag.String("manager").pipe(Flag.withDescription("Only those of one process manager"), Flag.optional),
    overdue: Flag.Boolean("overdue").pipe(
      Flag.withDescription("Only those that are due and were not taken: nobody runs their process manager"),
      Flag.withDefault(false)
    ),
    limit: natural("limit").pipe(Flag.withDescription("Most timers"), Flag.withDefault(100))
  },
  {
    description: "Lists the timers of process managers that wait, by the time they are due.",
    examples: [
      { command: "eventstore timers list" },
      { command: "eventstore timers list --manager checkout --overdue --json" }
    ]
  },
  Effect.fnUntraced(function*({ limit, manager, overdue }) {
    const tables = yield* OpenLog
    const { app } = yield* Application
    let count = 0
    yield* answerRows(
      selectTimers(tables, { manager: valueOf(manager), isOverdue: overdue, limit }).pipe(
        Stream.tap(() => Effect.sync(() => count++))
      ),
      {
        columns,
        json: ({ due, in: left, ...timer }) => ({ ...timer, due: iso(due), isOverdue: left < 0 }),
        empty: overdue ? "No timer is overdue." : "No timer waits."
      }
    )
    const declared = app.processManagers?.map(({ name }) => name) ?? []
    // a slip of the pen looks like a process manager that waits for nothing
    if (count === 0 && declared.length > 0 && manager._tag === "Some" && !declared.includes(manager.value)) {
      return yield* answerIsNo(
        `The application declares no process manager ${manager.value}`,
        `it declares ${declared.join(", ")}`
      )
    }
  })
)

export const timers = group("timers", "Shows what process managers wait for.").pipe(Command.withSubcommands([list]))
