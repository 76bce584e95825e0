#!/usr/bin/env node
import { NodeRuntime } from "@effect/platform-node"
import * as Cli from "./Cli.ts"

NodeRuntime.runMain(Cli.run())
