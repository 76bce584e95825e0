import { EventStore } from "effect-eventstore"
import { SnapshotTest } from "effect-eventstore/Testing"

SnapshotTest.suite("memory", EventStore.layerMemory)
