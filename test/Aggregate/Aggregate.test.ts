import { EventStore } from "effect-eventstore"
import { AggregateTest } from "effect-eventstore/Testing"

AggregateTest.suite("memory", EventStore.layerMemory)
