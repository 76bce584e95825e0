import { Flag } from "effect/cli"
import { yes } from "../frame/confirming.ts"
import { natural } from "../frame/settings.ts"

/** The flags of rebuilds. */
export const rebuildFlags = {
  switch: Flag.Boolean("switch").pipe(
    Flag.withDescription("Whether a rebuilt version takes the place of the live one when it is ready (on by itself)"),
    Flag.withDefault(true)
  ),
  partitions: natural("partitions", 1).pipe(
    Flag.withDescription(
      "How many processes can work on a rebuilt version at a time; counts when it is new (default 1)"
    ),
    Flag.optional
  ),
  batch: natural("batch", 1).pipe(
    Flag.withDescription("Most events of a transaction that builds (default 2000): fewer where handlers are slow"),
    Flag.optional
  ),
  keepGoing: Flag.Boolean("keep-going").pipe(
    Flag.withDescription(
      "Go on behind events that cannot be handled: a projection sets them aside, a handler passes them over"
    ),
    Flag.withDefault(false)
  ),
  yes
}
