import { EventStore } from "effect-eventstore"
import { SubscriptionTest } from "effect-eventstore/Testing"

SubscriptionTest.suite("memory", EventStore.layerMemory)
