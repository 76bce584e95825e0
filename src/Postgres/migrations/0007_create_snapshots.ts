/**
 * Saved states of streams: a cache, of which any row may go at any time. Statements without schema names, as in the
 * migrations before.
 *
 * Frozen once released.
 */

import { plans } from "./0003_create_projections.ts"

export const statements: ReadonlyArray<string> = [
  // Saving one again changes no column of an index.
  `CREATE TABLE snapshots (
  stream_version bigint NOT NULL,
  position bigint NOT NULL,
  -- events below it were hidden when the snapshot was taken
  truncated_before bigint NOT NULL,
  saved_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  log_id integer NOT NULL,
  bytes integer NOT NULL,
  schema_version smallint NOT NULL CHECK (schema_version > 0),
  name text COLLATE "C" NOT NULL,
  stream_id text COLLATE "C" NOT NULL,
  state json NOT NULL,
  CONSTRAINT snapshots_pkey PRIMARY KEY (log_id, stream_id, name)
) WITH (fillfactor = 80)`,

  `CREATE INDEX snapshots_name_idx ON snapshots (log_id, name, stream_id)`,

  // Whether a fold of all events that can be read would say the same.
  `CREATE FUNCTION snapshot_holds(
  p_log integer, p_stream text, p_version bigint, p_position bigint, p_event_id uuid, p_truncated_before bigint
) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM events e
    WHERE e.log_id = p_log AND e.stream_id = p_stream AND e.stream_version = p_version
      AND e.event_id = p_event_id AND e.position = p_position
  ) AND GREATEST(p_truncated_before, 1) = COALESCE((
    SELECT CASE WHEN s.tombstoned THEN 0 ELSE GREATEST(s.truncated_before, 1) END
    FROM stream_states s
    WHERE s.log_id = p_log AND s.stream_id = p_stream
  ), 1);
END
$$`,

  // Whether it is kept. The one that is there is judged by a statement that begins after its row is locked: an event that
  // it was taken at may be younger than the snapshot of any statement before.
  `CREATE FUNCTION save_snapshot(
  p_log integer, p_stream text, p_name text, p_schema smallint, p_version bigint, p_position bigint, p_event_id uuid,
  p_truncated_before bigint, p_state json
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_kept snapshots;
BEGIN
  IF NOT snapshot_holds(p_log, p_stream, p_version, p_position, p_event_id, p_truncated_before) THEN
    RETURN false;
  END IF;
  LOOP
    INSERT INTO snapshots (
      log_id, stream_id, name, schema_version, stream_version, position, event_id, truncated_before, bytes, saved_at, state
    ) VALUES (
      p_log, p_stream, p_name, p_schema, p_version, p_position, p_event_id, p_truncated_before,
      octet_length(p_state::text), clock_timestamp(), p_state
    )
    ON CONFLICT ON CONSTRAINT snapshots_pkey DO NOTHING;
    IF FOUND THEN
      RETURN true;
    END IF;
    SELECT * INTO v_kept FROM snapshots n
    WHERE n.log_id = p_log AND n.stream_id = p_stream AND n.name = p_name
    FOR UPDATE;
    -- dropped meanwhile: once more
    EXIT WHEN FOUND;
  END LOOP;
  IF (v_kept.stream_version, v_kept.schema_version) > (p_version, p_schema) AND snapshot_holds(
    p_log, p_stream, v_kept.stream_version, v_kept.position, v_kept.event_id, v_kept.truncated_before
  ) THEN
    RETURN false;
  END IF;
  UPDATE snapshots n SET
    schema_version = p_schema,
    stream_version = p_version,
    position = p_position,
    event_id = p_event_id,
    truncated_before = p_truncated_before,
    bytes = octet_length(p_state::text),
    saved_at = clock_timestamp(),
    state = p_state
  WHERE n.log_id = p_log AND n.stream_id = p_stream AND n.name = p_name;
  RETURN true;
END
$$`,

  // NULL means any. From p_from on and before p_until stand the streams of a category. Planned for what is asked: which index
  // serves it depends on that, and nobody drops often.
  `CREATE FUNCTION drop_snapshots(p_log integer, p_from text, p_until text, p_stream text, p_name text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT SET plan_cache_mode TO force_custom_plan
AS $$
DECLARE
  v_count bigint;
BEGIN
  DELETE FROM snapshots n
  WHERE n.log_id = p_log
    AND (p_from IS NULL OR n.stream_id >= p_from)
    AND (p_until IS NULL OR n.stream_id < p_until)
    AND (p_stream IS NULL OR n.stream_id = p_stream)
    AND (p_name IS NULL OR n.name = p_name);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$$`,

  `REVOKE ALL ON FUNCTION snapshot_holds, save_snapshot, drop_snapshots FROM PUBLIC`
]
