import { PgClient } from "@effect/sql-pg"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { EventStore, PgEventStore, PgliteEventStore } from "effect-eventstore"
import { ArchiveDamaged } from "effect-eventstore/Cli/ArchiveError"
import * as Verification from "effect-eventstore/Cli/Verification"
import * as TestPostgres from "../support/TestPostgres.ts"
import { afterDamage, archive, type Archived, fill, linesOf, verify } from "./verifyLog.ts"

/** A healthy log that all tests share: what they do to it they undo. */
class Log extends Context.Service<Log, Archived>()("test/Cli/verify/Log") {
  static readonly layer = Layer.effect(
    Log,
    Effect.gen(function*() {
      const log = { sql: yield* PgClient.PgClient, store: yield* EventStore }
      yield* fill(log)
      return { ...log, archive: yield* archive(log) }
    })
  )
}

/** What a superuser does to the log of {@link fill}, and what a verification has to say then. */
const damages: {
  readonly [what: string]: { readonly damage: ReadonlyArray<string>; readonly found: ReadonlyArray<string> }
} = {
  "an event removed in the middle": {
    damage: ["DELETE FROM es.events WHERE position = 13"],
    found: [
      "archive ArchivedMissing streamId=cart-c streamVersion=4 position=13",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=oil position=13",
      "positions PositionMissing position=13",
      "versions VersionMissing streamId=cart-c streamVersion=4"
    ]
  },
  "the first event of the log removed": {
    damage: ["DELETE FROM es.events WHERE position = 1"],
    found: [
      "archive ArchivedMissing streamId=cart-a streamVersion=1 position=1",
      "checkpoints DeliveryDangling subscription=slow position=1",
      "positions PositionMissing position=1",
      "versions VersionMissing streamId=cart-a streamVersion=1"
    ]
  },
  "the newest events removed, by those who remember them": {
    damage: ["DELETE FROM es.events WHERE position >= 22"],
    found: [
      "archive ArchivedMissing streamId=cart-a streamVersion=6 position=37",
      "archive ArchivedMissing streamId=cart-h streamVersion=1 position=34",
      "archive ArchivedMissing streamId=cart-h streamVersion=2 position=35",
      "archive ArchivedMissing streamId=cart-h streamVersion=3 position=36",
      "archive ArchivedMissing streamId=cart-p streamVersion=1 position=30",
      "archive ArchivedMissing streamId=cart-p streamVersion=2 position=31",
      "archive ArchivedMissing streamId=cart-s streamVersion=2 position=22",
      "archive ArchivedMissing streamId=cart-s streamVersion=3 position=23",
      "archive ArchivedMissing streamId=cart-s streamVersion=4 position=24",
      "archive ArchivedMissing streamId=cart-u streamVersion=1 position=25",
      "archive ArchivedMissing streamId=cart-u streamVersion=2 position=26",
      "archive ArchivedMissing streamId=cart-v streamVersion=1 position=27",
      "archive ArchivedMissing streamId=cart-v streamVersion=2 position=28",
      "archive ArchivedMissing streamId=cart-v streamVersion=3 position=29",
      "archive ArchivedMissing streamId=order-1 streamVersion=1 position=32",
      "archive ArchivedMissing streamId=reminders-1 streamVersion=1 position=33",
      "checkpoints CheckpointAhead projection=async-sizes projectionVersion=1",
      "checkpoints CheckpointAhead projection=by-sku projectionVersion=1",
      "checkpoints CheckpointAhead projection=inline-sizes projectionVersion=1",
      "checkpoints CheckpointAhead subscription=mails",
      "checkpoints CheckpointAhead subscription=reminders",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=hop position=35",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=hop position=36",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=inn position=37",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=pea position=31",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=sun position=22",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=sun position=23",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=sun position=24",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=urn position=26",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=van position=28",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=vat position=29",
      "checkpoints ParkedDangling projection=async-sizes projectionVersion=1 key=cart-p position=30",
      "checkpoints ParkedDangling projection=async-sizes projectionVersion=1 key=cart-p position=31",
      "checkpoints TimerDangling timer=payment key=1 streamId=reminders-1",
      "snapshots SnapshotAhead snapshot=cart streamId=cart-s streamVersion=3 position=23",
      "snapshots SnapshotAhead snapshot=cart streamId=cart-u streamVersion=2 position=26",
      "snapshots SnapshotAhead snapshot=cart streamId=cart-v streamVersion=3 position=29",
      "streams TruncationAhead streamId=cart-h streamVersion=0",
      "streams TruncationAhead streamId=cart-u streamVersion=0"
    ]
  },
  "the newest event removed and the floor raised": {
    damage: ["DELETE FROM es.events WHERE position = 37", "UPDATE es.logs SET floor = 37"],
    found: [
      "archive ArchivedMissing streamId=cart-a streamVersion=6 position=37",
      "positions FloorAhead position=37"
    ]
  },
  "data that does not decode": {
    damage: [`UPDATE es.events SET data = '{"customer":1}' WHERE position = 27`],
    found: [
      "archive ArchivedDiffers streamId=cart-v streamVersion=1 position=27",
      "events DataUndecodable streamId=cart-v streamVersion=1 position=27 type=Opened"
    ]
  },
  "hidden data that does not decode": {
    damage: [`UPDATE es.events SET data = '[]' WHERE position = 16`],
    found: [
      "archive ArchivedDiffers streamId=cart-d streamVersion=2 position=16",
      "events DataUndecodable streamId=cart-d streamVersion=2 position=16 type=Added"
    ]
  },
  "data of an older shape that does not decode": {
    damage: [`UPDATE es.events SET data = '{}' WHERE position = 6`],
    found: [
      "archive ArchivedDiffers streamId=cart-a streamVersion=5 position=6",
      "events DataUndecodable streamId=cart-a streamVersion=5 position=6 type=Added"
    ]
  },
  "data changed to other data that decodes, by a snapshot": {
    damage: [`UPDATE es.events SET data = '{"sku":"sun","quantity":7}' WHERE position = 22`],
    found: [
      "archive ArchivedDiffers streamId=cart-s streamVersion=2 position=22",
      "snapshots SnapshotDiffers snapshot=cart streamId=cart-s streamVersion=3 position=23"
    ]
  },
  "a text that no program can have written": {
    damage: [String.raw`UPDATE es.events SET data = '{"customer":"\u0000"}' WHERE position = 27`],
    found: [
      "archive ArchivedDiffers streamId=cart-v streamVersion=1 position=27",
      "events DataNotAllowed streamId=cart-v streamVersion=1 position=27"
    ]
  },
  "an unknown type": {
    damage: ["UPDATE es.events SET event_type = 'Moved' WHERE position = 27"],
    found: [
      "archive ArchivedDiffers streamId=cart-v streamVersion=1 position=27",
      "events TypeUnknown streamId=cart-v streamVersion=1 position=27 type=Moved"
    ]
  },
  "a newer version of a type": {
    damage: ["UPDATE es.events SET schema_version = 2 WHERE position = 27"],
    found: [
      "archive ArchivedDiffers streamId=cart-v streamVersion=1 position=27",
      "events TypeUnknown streamId=cart-v streamVersion=1 position=27 type=Opened"
    ]
  },
  "names that are not allowed": {
    damage: [
      String.raw`UPDATE es.events SET event_type = E'a\nb', tags = ARRAY['', 'ok'] WHERE position = 9`,
      "UPDATE es.events SET stream_id = 'note' WHERE position = 9"
    ],
    found: [
      "archive ArchivedDiffers streamId=note-x streamVersion=1 position=9",
      "events NameNotAllowed streamId=note streamVersion=1 position=9",
      "events TagNotAllowed streamId=note streamVersion=1 position=9",
      "events TypeNotAllowed streamId=note streamVersion=1 position=9"
    ]
  },
  "broken metadata": {
    damage: [`UPDATE es.events SET metadata = '{"actor":5}' WHERE position = 9`],
    found: [
      "archive ArchivedDiffers streamId=note-x streamVersion=1 position=9",
      "events MetadataUndecodable streamId=note-x streamVersion=1 position=9"
    ]
  },
  "an absurd time": {
    damage: [
      "UPDATE es.events SET recorded_at = 'infinity' WHERE position = 9",
      "UPDATE es.events SET recorded_at = now() + interval '2 days' WHERE position = 27",
      "UPDATE es.events SET recorded_at = '1969-12-31' WHERE position = 28"
    ],
    found: [
      "archive ArchivedDiffers streamId=cart-v streamVersion=1 position=27",
      "archive ArchivedDiffers streamId=cart-v streamVersion=2 position=28",
      "archive ArchivedDiffers streamId=note-x streamVersion=1 position=9",
      "events TimeAbsurd streamId=cart-v streamVersion=1 position=27",
      "events TimeAbsurd streamId=cart-v streamVersion=2 position=28",
      "events TimeAbsurd streamId=note-x streamVersion=1 position=9"
    ]
  },
  "a version doubled": {
    damage: [
      "ALTER TABLE es.events DROP CONSTRAINT events_stream_version_key",
      "UPDATE es.events SET stream_version = 3 WHERE position = 5"
    ],
    found: [
      "archive ArchivedDiffers streamId=cart-a streamVersion=4 position=5",
      "defences ConstraintMissing object=events.events_stream_version_key",
      "versions VersionDoubled streamId=cart-a streamVersion=3 position=5",
      "versions VersionMissing streamId=cart-a streamVersion=4"
    ]
  },
  "two versions swapped": {
    damage: [
      "UPDATE es.events SET stream_version = 99 WHERE position = 28",
      "UPDATE es.events SET stream_version = 2 WHERE position = 29",
      "UPDATE es.events SET stream_version = 3 WHERE position = 28"
    ],
    found: [
      "archive ArchivedDiffers streamId=cart-v streamVersion=2 position=28",
      "archive ArchivedDiffers streamId=cart-v streamVersion=3 position=29",
      "snapshots SnapshotDangling snapshot=cart streamId=cart-v streamVersion=3 position=29",
      "versions OrderBroken streamId=cart-v streamVersion=3 position=28"
    ]
  },
  "two positions swapped": {
    damage: [
      "UPDATE es.events SET position = 99 WHERE position = 2",
      "UPDATE es.events SET position = 2 WHERE position = 4",
      "UPDATE es.events SET position = 4 WHERE position = 99"
    ],
    found: [
      "archive ArchivedDiffers streamId=cart-a streamVersion=2 position=2",
      "archive ArchivedDiffers streamId=cart-a streamVersion=3 position=4",
      "versions OrderBroken streamId=cart-a streamVersion=3 position=2"
    ]
  },
  "a position doubled": {
    damage: [
      "ALTER TABLE es.events DROP CONSTRAINT events_pkey",
      "UPDATE es.events SET position = 32 WHERE position = 31"
    ],
    found: [
      "archive ArchivedDiffers streamId=cart-p streamVersion=2 position=31",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=pea position=31",
      "checkpoints ParkedDangling projection=async-sizes projectionVersion=1 key=cart-p position=31",
      "defences ConstraintMissing object=events.events_pkey",
      "positions PositionDoubled position=32",
      "positions PositionMissing position=31"
    ]
  },
  "positions that no event can have": {
    damage: [
      "ALTER TABLE es.events DROP CONSTRAINT events_check",
      "UPDATE es.events SET position = -1 WHERE position = 9",
      "UPDATE es.events SET position = 9223372036854775807 WHERE position = 31"
    ],
    found: [
      "archive ArchivedDiffers streamId=cart-p streamVersion=2 position=31",
      "archive ArchivedDiffers streamId=note-x streamVersion=1 position=9",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=pea position=31",
      "checkpoints ParkedDangling projection=async-sizes projectionVersion=1 key=cart-p position=31",
      "defences ConstraintMissing object=events.events_check",
      "positions PositionImpossible streamId=cart-p streamVersion=2",
      "positions PositionImpossible streamId=note-x streamVersion=1",
      "positions PositionMissing position=31",
      "positions PositionMissing position=38 positionTo=9007199254740991",
      "positions PositionMissing position=9"
    ]
  },
  "an event id doubled": {
    damage: [
      "ALTER TABLE es.events DROP CONSTRAINT events_event_id_key",
      "UPDATE es.events SET event_id = (SELECT event_id FROM es.events WHERE position = 9) WHERE position = 31"
    ],
    found: [
      "archive ArchivedDiffers streamId=note-x streamVersion=1 position=9",
      "archive ArchivedMissing streamId=cart-p streamVersion=2 position=31",
      "defences ConstraintMissing object=events.events_event_id_key",
      "events EventIdDoubled position=31"
    ]
  },
  "a whole event doubled": {
    damage: [
      "ALTER TABLE es.events DROP CONSTRAINT events_event_id_key, DROP CONSTRAINT events_pkey",
      "ALTER TABLE es.events DROP CONSTRAINT events_stream_version_key",
      "INSERT INTO es.events SELECT * FROM es.events WHERE position = 20"
    ],
    found: [
      "defences ConstraintMissing object=events.events_event_id_key",
      "defences ConstraintMissing object=events.events_pkey",
      "defences ConstraintMissing object=events.events_stream_version_key",
      "events EventIdDoubled position=20",
      "positions PositionDoubled position=20",
      "versions VersionDoubled streamId=cart-g streamVersion=1 position=20"
    ]
  },
  "a stream that is truncated beyond its end": {
    damage: ["UPDATE es.stream_states SET truncated_before = 7 WHERE stream_id = 'cart-c'"],
    found: [
      "streams TruncationAhead streamId=cart-c streamVersion=5"
    ]
  },
  "a state of a stream that is none": {
    damage: [String.raw`INSERT INTO es.stream_states (log_id, stream_id, metadata) VALUES (1, 'nothing', '"\u0000"')`],
    found: [
      "streams MetadataUndecodable streamId=nothing",
      "streams NameNotAllowed streamId=nothing"
    ]
  },
  "checkpoints ahead": {
    damage: [
      "UPDATE es.projection_partitions SET position = 38",
      "UPDATE es.subscriptions SET position = 1000 WHERE name = 'mails'"
    ],
    found: [
      "checkpoints CheckpointAhead projection=async-sizes projectionVersion=1",
      "checkpoints CheckpointAhead projection=by-sku projectionVersion=1",
      "checkpoints CheckpointAhead projection=inline-sizes projectionVersion=1",
      "checkpoints CheckpointAhead subscription=mails"
    ]
  },
  "a checkpoint at another event": {
    damage: ["UPDATE es.subscriptions SET event_id = gen_random_uuid() WHERE name = 'mails'"],
    found: [
      "checkpoints CheckpointDiffers subscription=mails position=37"
    ]
  },
  "a delivery that is never handed out": {
    damage: ["UPDATE es.subscriptions SET lowest = position + 1 WHERE name = 'slow'"],
    found: [
      "checkpoints DeliveryUnreachable subscription=slow position=1"
    ]
  },
  "deliveries, parked events, links and timers of nothing": {
    damage: [
      "UPDATE es.deliveries SET position = 100 WHERE position = 5",
      "UPDATE es.parked_deliveries SET position = 101 WHERE position = 3",
      "UPDATE es.parked_events SET position = 102 WHERE position = 30",
      "UPDATE es.links SET position = 103 WHERE position = 26",
      "UPDATE es.timers SET timer_key = 'order-2'"
    ],
    found: [
      "checkpoints DeliveryDangling subscription=slow position=100",
      "checkpoints LinkDangling projection=by-sku projectionVersion=1 key=urn position=103",
      "checkpoints ParkedDangling projection=async-sizes projectionVersion=1 key=cart-p position=102",
      "checkpoints ParkedDangling subscription=mails position=101",
      "checkpoints TimerDangling timer=payment key=order-2 streamId=reminders-order-2"
    ]
  },
  "a snapshot that is wrong": {
    damage: [`UPDATE es.snapshots SET state = '{"items":6,"skus":["sun","sun"]}' WHERE stream_id = 'cart-s'`],
    found: [
      "snapshots SnapshotDiffers snapshot=cart streamId=cart-s streamVersion=3 position=23"
    ]
  },
  "a snapshot that does not decode": {
    damage: [`UPDATE es.snapshots SET state = '{"items":"6"}' WHERE stream_id = 'cart-s'`],
    found: [
      "snapshots SnapshotUndecodable snapshot=cart streamId=cart-s streamVersion=3 position=23"
    ]
  },
  "a snapshot ahead": {
    damage: ["UPDATE es.snapshots SET stream_version = 5 WHERE stream_id = 'cart-s'"],
    found: [
      "snapshots SnapshotAhead snapshot=cart streamId=cart-s streamVersion=5 position=23"
    ]
  },
  "a snapshot of another event": {
    damage: ["UPDATE es.snapshots SET position = 1 WHERE stream_id = 'cart-s'"],
    found: [
      "snapshots SnapshotDangling snapshot=cart streamId=cart-s streamVersion=3 position=1"
    ]
  },
  "a disabled trigger": {
    damage: ["ALTER TABLE es.events DISABLE TRIGGER events_refuse_change"],
    found: [
      "defences TriggerDisabled object=events.events_refuse_change"
    ]
  },
  "a trigger that is gone, one that does less, and a function that does nothing": {
    damage: [
      "DROP TRIGGER staged_appends_store ON es.staged_appends",
      "DROP TRIGGER events_refuse_change ON es.events",
      `CREATE TRIGGER events_refuse_change BEFORE TRUNCATE ON es.events
        FOR EACH STATEMENT EXECUTE FUNCTION es.refuse_change_of_events()`,
      `CREATE OR REPLACE FUNCTION es.refuse_change_of_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`
    ],
    found: [
      "defences FunctionChanged object=refuse_change_of_events",
      "defences TriggerChanged object=events.events_refuse_change",
      "defences TriggerMissing object=staged_appends.staged_appends_store"
    ]
  },
  "a constraint that was weakened": {
    damage: [
      "ALTER TABLE es.events DROP CONSTRAINT events_check",
      "ALTER TABLE es.events ADD CONSTRAINT events_check CHECK (position <> 0)"
    ],
    found: [
      "defences ConstraintChanged object=events.events_check"
    ]
  },
  "an append that was staged and never stored": {
    damage: [
      "ALTER TABLE es.staged_appends DISABLE TRIGGER staged_appends_store",
      `INSERT INTO es.staged_appends (
        log_id, repeatable, streams, entry_command, entry_stream, entry_expected, entry_count, event_entry, event_id,
        event_type, schema_version, data, first_version
      ) VALUES (1, false, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')`
    ],
    found: [
      "defences StagedLeft object=staged_appends",
      "defences TriggerDisabled object=staged_appends.staged_appends_store"
    ]
  },
  "a log without a row": {
    damage: ["DELETE FROM es.logs"],
    found: [
      "positions LogUnknown object=logs"
    ]
  }
}

const stores = {
  postgres: Layer.provideMerge(PgEventStore.layer(), TestPostgres.layer),
  pglite: PgliteEventStore.layer()
}

for (const [name, store] of Object.entries(stores)) {
  describe(`a log on ${name}`, () => {
    layer(Log.layer.pipe(Layer.provide(store)), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      it.effect("has no finding where it is healthy, whatever is in it", () =>
        Effect.gen(function*() {
          const report = yield* verify(yield* Log)
          assert.deepStrictEqual(linesOf(report), [])
        }))

      it.effect("names an archive that is damaged, with all that the other checks say", () =>
        Effect.gen(function*() {
          const { archive, ...log } = yield* Log
          const problem = "does not have the checksum that it was written with"
          const broken = new ArchiveDamaged({ path: "/backup", file: "streams.jsonl.gz", problem })
          const report = yield* verify({ ...log, archive: { ...archive, streams: Stream.fail(broken) } })
          assert.deepStrictEqual(linesOf(report), ["archive ArchiveDamaged object=streams.jsonl.gz"])
          assert.include(report.findings[0]!.message, problem)
          assert.lengthOf(report.checks, Verification.CheckName.literals.length)
        }))

      for (const [what, { damage, found }] of Object.entries(damages)) {
        it.effect(`names ${what}, and nothing else`, () =>
          Effect.gen(function*() {
            assert.deepStrictEqual(linesOf(yield* afterDamage(yield* Log, damage)), found)
          }))
      }
    })
  })
}
