/** Locks and unlocks directories as it is told on standard input: `lock DIRECTORY`, `unlock`; answers in one line each. */
import { Effect, Exit, Scope } from "effect"
import { createInterface } from "node:readline"
import { lockDirectory } from "../../src/Store/internal/directoryLock.ts"

let scope = Scope.makeUnsafe()
for await (const line of createInterface(process.stdin)) {
  const [command, directory] = line.split(" ")
  if (command === "lock") {
    const exit = await Effect.runPromise(Effect.exit(Scope.provide(lockDirectory(directory!), scope)))
    console.log(Exit.isSuccess(exit) ? "locked" : Effect.runSync(Effect.flip(exit)).message)
  } else {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    scope = Scope.makeUnsafe()
    console.log("unlocked")
  }
}
