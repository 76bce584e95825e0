import { EventStore } from "effect-eventstore"
import { EventStoreTest } from "effect-eventstore/Testing"

EventStoreTest.suite("memory", EventStore.layerMemory)
