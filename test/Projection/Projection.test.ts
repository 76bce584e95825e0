import { EventStore } from "effect-eventstore"
import { ProjectionTest } from "effect-eventstore/Testing"

ProjectionTest.suite("memory", EventStore.layerMemory)
