import { Argument, Flag } from "effect/cli"
import { natural } from "./frame/settings.ts"

/** Which projection a command is about. */
export const name = Argument.String("name").pipe(Argument.withDescription("Name of the projection"))

/** Which version of it. */
export const version = natural("version", 1).pipe(
  Flag.withDescription("Which version; the live one where it is left out"),
  Flag.optional
)
