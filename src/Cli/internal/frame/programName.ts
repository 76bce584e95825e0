import { Context } from "effect"

/** What the command line is called where it runs: hints and examples are written for `eventstore`. */
export const ProgramName = Context.Reference<string>("effect-eventstore/Cli/ProgramName", {
  defaultValue: () => "eventstore"
})

/** A text with the commands in it as they are typed to a program of this name. */
export const typedTo = (program: string, text: string): string =>
  // a schema of this name is none of them
  program === "eventstore" ? text : text.replace(/(?<!schema )\beventstore (?=[a-z-])/g, () => `${program} `)
