import { Option, Schema } from "effect"
import { Flag, GlobalFlag } from "effect/cli"

/** Flags that every command knows, before or after its name. */
export const Url = GlobalFlag.Setting("url")({
  flag: Flag.Redacted("url").pipe(
    Flag.withMetavar("<postgres://...>"),
    Flag.withDescription("Database of the log (EVENTSTORE_URL; without a password in the list of processes)"),
    Flag.optional
  )
})

export const Dir = GlobalFlag.Setting("dir")({
  flag: Flag.String("dir").pipe(
    Flag.withMetavar("<directory>"),
    Flag.withDescription("Directory of an embedded log (EVENTSTORE_DIR)"),
    Flag.optional
  )
})

export const SchemaFlag = GlobalFlag.Setting("schema")({
  flag: Flag.String("schema").pipe(
    Flag.withMetavar("<name>"),
    Flag.withDescription("Database schema of the log (EVENTSTORE_SCHEMA; else eventstore)"),
    Flag.optional
  )
})

export const Log = GlobalFlag.Setting("log")({
  flag: Flag.Int("log").pipe(
    Flag.withMetavar("<number>"),
    Flag.withDescription("Number of the log (EVENTSTORE_LOG; else 1)"),
    Flag.optional
  )
})

export const ConfigFile = GlobalFlag.Setting("config")({
  flag: Flag.String("config").pipe(
    Flag.withMetavar("<file>"),
    Flag.withDescription("What the application declares (else eventstore.config.ts, .js or .json here or above)"),
    Flag.optional
  )
})

export const Json = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(
    Flag.withDescription("For programs: one JSON value, or a line of JSON for each of many"),
    Flag.withDefault(false)
  )
})

export const Color = GlobalFlag.Setting("color")({
  flag: Flag.Boolean("color").pipe(
    Flag.withDescription("Colours; on by itself where the output is a terminal and NO_COLOR is not set"),
    Flag.optional
  )
})

export const all = [Url, Dir, SchemaFlag, Log, ConfigFile, Json, Color] as const

/** A whole number from 0, or from `least`. */
export const natural = (name: string, least = 0) =>
  Flag.Int(name).pipe(Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(least))))

/** Of an optional flag: its value, or `undefined`. */
export const valueOf = Option.getOrUndefined
