import { Effect } from "effect"
import { Flag, Prompt, TerminalCapabilities } from "effect/cli"
import { Output } from "./output.ts"
import { answerIsNo, wrongInput } from "./refusal.ts"

/** The flag of commands that ask before they act. */
export const yes = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do it without asking"),
  Flag.withDefault(false)
)

/** Asks. Ctrl-C, and the end of the input, is no answer: it ends the command. */
export const asking = <A>(prompt: Prompt.Prompt<A>) =>
  Effect.catchTag(Prompt.run(prompt), "QuitError", () => Effect.interrupt)

/**
 * Asks before something is done that cannot be undone. Where nobody can be asked, it takes `--yes`.
 *
 * @param question What is about to be done, as a question
 */
export const confirm = (question: string, options: { readonly yes: boolean }) =>
  Effect.gen(function*() {
    if (options.yes) return
    const { isJson } = yield* Output
    const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
    if (!canPrompt || isJson) {
      return yield* wrongInput(
        `This asks first, and nobody can be asked here: ${question}`,
        "--yes does it without asking"
      )
    }
    if (!(yield* asking(Prompt.Confirm({ message: question, initial: false })))) {
      return yield* answerIsNo("Nothing was done")
    }
  })
