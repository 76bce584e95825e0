/**
 * The log. Statements without schema names: the migrator sets `search_path`, and functions keep it.
 *
 * Frozen once released.
 */

/**
 * Plans are made once a connection: making them anew for every call takes longer than the call. A plan made while the
 * tables are empty must be the right one for millions of rows, so it has to use the indexes.
 */
const plans = `
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off`

/** Name of the setting, local to a transaction, that says which inline projections it applies: their marks. */
export const inlineSetting = (log: string): string => `'eventstore.inline_' || current_schema() || '_' || ${log}`

export const statements: ReadonlyArray<string> = [
  `CREATE TABLE logs (
  log_id integer PRIMARY KEY CHECK (log_id > 0),
  -- positions up to here were used, though their events may be gone: a position is never used twice
  floor bigint NOT NULL DEFAULT 0 CHECK (floor >= 0),
  -- the projections that appends have to apply, NULL for none; it changes under the lock of the log
  inline json
)`,

  `INSERT INTO logs (log_id) VALUES (1)`,

  `CREATE TABLE events (
  position bigint NOT NULL,
  stream_version bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  log_id integer NOT NULL,
  schema_version smallint NOT NULL,
  stream_id text COLLATE "C" NOT NULL,
  event_type text COLLATE "C" NOT NULL,
  data json NOT NULL,
  metadata json,
  tags text[] COLLATE "C",
  -- one check, not three: the server parses each again for every statement
  CONSTRAINT events_check CHECK (position > 0 AND stream_version > 0 AND schema_version > 0),
  CONSTRAINT events_pkey PRIMARY KEY (log_id, position),
  CONSTRAINT events_stream_version_key UNIQUE (log_id, stream_id, stream_version),
  CONSTRAINT events_event_id_key UNIQUE (log_id, event_id)
)`,

  `CREATE INDEX events_category_idx ON events (log_id, split_part(stream_id, '-', 1), position)`,

  `CREATE INDEX events_type_idx ON events (log_id, event_type, position)`,

  `CREATE INDEX events_tags_idx ON events USING gin (tags) WHERE tags IS NOT NULL`,

  // what a stream has beyond its events; most streams have no row here
  `CREATE TABLE stream_states (
  log_id integer NOT NULL,
  stream_id text COLLATE "C" NOT NULL,
  truncated_before bigint NOT NULL DEFAULT 0,
  tombstoned boolean NOT NULL DEFAULT false,
  metadata json,
  CONSTRAINT stream_states_pkey PRIMARY KEY (log_id, stream_id)
)`,

  `CREATE INDEX stream_states_hidden_idx ON stream_states (log_id, stream_id) WHERE tombstoned OR truncated_before > 1`,

  // Appends of open transactions. A row lives from its append to the COMMIT of the same transaction, so nobody else ever
  // sees one, and nothing is lost with the table's content in a crash.
  `CREATE UNLOGGED TABLE staged_appends (
  staged_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  log_id integer NOT NULL,
  repeatable boolean NOT NULL,
  streams text[] NOT NULL,
  entry_command integer[] NOT NULL,
  entry_stream integer[] NOT NULL,
  entry_expected bigint[] NOT NULL,
  entry_count integer[] NOT NULL,
  conditions json[],
  event_entry integer[] NOT NULL,
  event_id uuid[] NOT NULL,
  event_type text[] NOT NULL,
  schema_version smallint[] NOT NULL,
  data text[] NOT NULL,
  metadata text[],
  tags text[],
  first_version bigint[] NOT NULL,
  -- the inline projections that the transaction applied by then
  inline text
)`,

  // Those of the inline projections that want one of some events, given as arrays; p_tags holds an array for each, as text.
  // An event has no time yet, so that part of a filter is no reason to pass it over. The mark of a projection is another
  // one each time that it comes into force.
  `CREATE FUNCTION wanted_inline(p_inline json, p_stream text[], p_type text[], p_tags text[])
RETURNS TABLE (mark text, name text, version integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  RETURN QUERY
  SELECT i.mark, i.name, i.version
  FROM json_to_recordset(p_inline) AS i(
    mark text, name text, version integer, types text[], categories text[], prefix text, tags text[]
  )
  WHERE EXISTS (
    SELECT FROM unnest(p_stream, p_type, p_tags) AS e(stream_id, event_type, tags)
    WHERE (i.types IS NULL OR e.event_type = ANY (i.types))
      AND (i.categories IS NULL OR split_part(e.stream_id, '-', 1) = ANY (i.categories))
      AND (i.prefix IS NULL OR starts_with(e.stream_id, i.prefix))
      AND (i.tags IS NULL OR e.tags::text[] @> i.tags)
  );
END
$$`,

  // Refuses to store events that an inline projection wants, in a transaction that does not apply it.
  `CREATE FUNCTION require_inline(p_log integer, p_inline json, p_stream text[], p_type text[], p_tags text[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  v_applied text[] := string_to_array(current_setting(${inlineSetting("p_log")}, true), ' ');
  v_missing json;
BEGIN
  SELECT json_agg(json_build_object('name', w.name, 'version', w.version) ORDER BY w.name, w.version) INTO v_missing
  FROM wanted_inline(p_inline, p_stream, p_type, p_tags) w
  WHERE v_applied IS NULL OR w.mark <> ALL (v_applied);
  IF v_missing IS NOT NULL THEN
    RAISE EXCEPTION 'an inline projection is not applied' USING ERRCODE = 'ES006', DETAIL = v_missing::text;
  END IF;
END
$$`,

  `CREATE VIEW staged_events AS
SELECT
  s.log_id,
  s.staged_id,
  e.ordinality AS ordinal,
  s.streams[s.entry_stream[e.event_entry]] COLLATE "C" AS stream_id,
  s.first_version[e.event_entry] + row_number() OVER (PARTITION BY s.staged_id, e.event_entry ORDER BY e.ordinality) - 1
    AS stream_version,
  e.event_id,
  e.event_type COLLATE "C" AS event_type,
  e.schema_version,
  e.data::json AS data,
  e.metadata::json AS metadata,
  e.tags::text[] COLLATE "C" AS tags,
  now() AS recorded_at
FROM staged_appends s
CROSS JOIN LATERAL unnest(s.event_entry, s.event_id, s.event_type, s.schema_version, s.data, s.metadata, s.tags)
  WITH ORDINALITY AS e(event_entry, event_id, event_type, schema_version, data, metadata, tags, ordinality)`,

  // Whether a stream is what a writer expects: -1 any, -2 no-stream, -3 stream-exists, else its version. A body like this
  // is inlined.
  `CREATE FUNCTION is_expected(p_expected bigint, p_version bigint, p_truncated_before bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE p_expected
    WHEN -1 THEN true
    WHEN -2 THEN p_version = 0 OR p_version < p_truncated_before
    WHEN -3 THEN p_version > 0 AND p_version >= p_truncated_before
    ELSE p_version = p_expected
  END
$$`,

  // Position of the newest event there has ever been: one probe of the primary key.
  `CREATE FUNCTION log_head(p_log integer) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT GREATEST(
    (SELECT l.floor FROM logs l WHERE l.log_id = p_log),
    (SELECT e.position FROM events e WHERE e.log_id = p_log ORDER BY e.position DESC LIMIT 1)
  )
$$`,

  // The newest event that breaks a condition, or NULL. Types are probed one by one. For tags, the few events after a
  // recent position are looked at one by one; only for an older one the index of tags is asked. MATERIALIZED keeps the
  // planner from walking the log backwards in the hope of an early hit.
  `CREATE FUNCTION condition_broken_at(p_log integer, p_condition json, p_staged boolean) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_after bigint := (p_condition->>'after')::bigint;
  v_head bigint := log_head(p_log);
  v_found bigint;
  v_newest bigint;
  v_item record;
BEGIN
  FOR v_item IN
    SELECT NULLIF(i.types, '{}') AS types, NULLIF(i.tags, '{}') AS tags
    FROM json_to_recordset(p_condition->'items') AS i(types text[], tags text[])
  LOOP
    IF v_item.tags IS NULL THEN
      SELECT max(newest.position) INTO v_found
      FROM unnest(v_item.types) AS t(event_type)
      CROSS JOIN LATERAL (
        SELECT e.position FROM events e
        WHERE e.log_id = p_log AND e.event_type = t.event_type AND e.position > v_after
        ORDER BY e.position DESC
        LIMIT 1
      ) newest;
    ELSIF v_head - v_after <= 1000 THEN
      WITH recent AS MATERIALIZED (
        SELECT e.position, e.event_type, e.tags FROM events e
        WHERE e.log_id = p_log AND e.position > v_after
      )
      SELECT max(r.position) INTO v_found FROM recent r
      WHERE r.tags @> v_item.tags AND (v_item.types IS NULL OR r.event_type = ANY (v_item.types));
    ELSE
      WITH tagged AS MATERIALIZED (
        SELECT e.position, e.event_type FROM events e
        WHERE e.tags @> v_item.tags AND e.tags IS NOT NULL AND e.log_id = p_log AND e.position > v_after
      )
      SELECT max(t.position) INTO v_found FROM tagged t
      WHERE v_item.types IS NULL OR t.event_type = ANY (v_item.types);
    END IF;
    v_newest := GREATEST(v_newest, v_found);
    IF p_staged AND EXISTS (
      SELECT FROM staged_events e
      WHERE e.log_id = p_log
        AND (v_item.types IS NULL OR e.event_type = ANY (v_item.types))
        AND (v_item.tags IS NULL OR e.tags @> v_item.tags)
    ) THEN
      v_newest := v_head + 1;
    END IF;
  END LOOP;
  RETURN v_newest;
END
$$`,

  // Where the events of a repeated entry stand: their last version and position, or no row where they are not the same.
  `CREATE FUNCTION repeated_entry(
  p_log integer, p_stream text, p_expected bigint, p_id uuid[], p_type text[], p_schema smallint[], p_data text[],
  p_tags text[], OUT last_version bigint, OUT last_position bigint
) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT max(e.stream_version), max(e.position)
  FROM unnest(p_id, p_type, p_schema, p_data, p_tags) WITH ORDINALITY
    AS n(event_id, event_type, schema_version, data, tags, ordinality)
  CROSS JOIN (SELECT f.stream_version FROM events f WHERE f.log_id = p_log AND f.event_id = p_id[1]) AS first
  JOIN events e ON e.log_id = p_log AND e.event_id = n.event_id
  WHERE e.stream_id = p_stream
    AND e.stream_version = first.stream_version + n.ordinality - 1
    AND (p_expected < 0 OR first.stream_version = p_expected + 1)
    AND e.event_type = n.event_type
    AND e.schema_version = n.schema_version
    AND e.data::text = n.data
    AND e.tags IS NOT DISTINCT FROM n.tags::text[]
  HAVING count(*) = cardinality(p_id)
$$`,

  // One batch of appends. Entry i belongs to command entry_command[i] (ascending from 1) and goes to
  // streams[entry_stream[i]]; its entry_count[i] events follow those of the entry before. An expected version below zero
  // is a word: -1 any, -2 no-stream, -3 stream-exists. Answers a row per entry: 0 stored, 1 repeated, 2 wrong version
  // (with the actual one), 3 tombstoned, 4 event id conflict (position is the place of the first known event in the command), 5 condition broken (at
  // position), 6 refused because of another entry of the command.
  `CREATE FUNCTION append_events(
  p_log integer, p_stage boolean, p_repeatable boolean, p_streams text[],
  p_entry_command integer[], p_entry_stream integer[], p_entry_expected bigint[], p_entry_count integer[],
  p_conditions json[], p_event_entry integer[], p_event_id uuid[], p_event_type text[], p_schema_version smallint[],
  p_data text[], p_metadata text[], p_tags text[]
) RETURNS TABLE (verdict integer, entry_version bigint, entry_position bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_entries integer := cardinality(p_entry_command);
  v_head bigint;
  v_inline json;
  v_now timestamptz;
  v_version bigint[];
  v_hidden bigint[];
  v_tombstoned boolean[];
  v_first integer[] := '{}';              -- ordinal of the first event of an entry
  v_version_offset bigint[]; -- plus ordinal gives the stream version
  v_position_offset bigint[]; -- plus ordinal gives the position
  v_verdict integer[];
  v_out_version bigint[];
  v_out_position bigint[];
  v_ordinal integer := 1;
  v_known integer[];
  v_from integer := 1;
  v_to integer;
  v_last_ordinal integer;
  v_inserted integer := 0;                -- events up to this ordinal were looked at by an INSERT
  v_pending boolean := false;
  v_stored boolean := false;
  v_command_verdict integer;
  v_broken bigint;
  v_repeated_version bigint;
  v_repeated_position bigint;
  s integer;
  k integer;
BEGIN
  -- The snapshot of a stricter transaction is older than the lock: its head and versions would be stale.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'appends need READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'ES001';
  END IF;
  IF NOT p_stage THEN
    PERFORM pg_advisory_xact_lock(hashtext(current_schema()), p_log);
  END IF;

  -- statements from here on take their snapshots after the lock
  SELECT GREATEST(
    l.floor,
    (SELECT e.position FROM events e WHERE e.log_id = p_log ORDER BY e.position DESC LIMIT 1)
  ), l.inline INTO v_head, v_inline
  FROM logs l WHERE l.log_id = p_log;
  IF v_head IS NULL THEN
    RAISE EXCEPTION 'there is no log %', p_log USING ERRCODE = 'ES003';
  END IF;
  v_now := clock_timestamp();
  v_version_offset := array_fill(NULL::bigint, ARRAY[v_entries]);
  v_position_offset := v_version_offset;
  v_verdict := array_fill(0, ARRAY[v_entries]);
  v_out_version := array_fill(0::bigint, ARRAY[v_entries]);
  v_out_position := v_out_version;

  SELECT
    array_agg(COALESCE(e.stream_version, 0) ORDER BY n.ordinality),
    array_agg(COALESCE(st.truncated_before, 0) ORDER BY n.ordinality),
    array_agg(COALESCE(st.tombstoned, false) ORDER BY n.ordinality)
  INTO v_version, v_hidden, v_tombstoned
  FROM unnest(p_streams) WITH ORDINALITY AS n(stream_id, ordinality)
  LEFT JOIN LATERAL (
    SELECT l.stream_version FROM events l
    WHERE l.log_id = p_log AND l.stream_id = n.stream_id
    ORDER BY l.stream_version DESC
    LIMIT 1
  ) e ON true
  LEFT JOIN stream_states st ON st.log_id = p_log AND st.stream_id = n.stream_id;

  IF p_stage THEN
    FOR s IN 1 .. cardinality(p_streams) LOOP
      v_version[s] := v_version[s] + (
        SELECT count(*) FROM staged_events g WHERE g.log_id = p_log AND g.stream_id = p_streams[s]
      );
    END LOOP;
  END IF;

  IF p_repeatable THEN
    SELECT array_agg(n.ordinality) INTO v_known
    FROM unnest(p_event_id) WITH ORDINALITY AS n(event_id, ordinality)
    WHERE EXISTS (SELECT FROM events e WHERE e.log_id = p_log AND e.event_id = n.event_id)
      OR p_stage AND EXISTS (SELECT FROM staged_appends g WHERE g.log_id = p_log AND n.event_id = ANY (g.event_id));
  END IF;

  WHILE v_from <= v_entries LOOP
    v_to := v_from;
    WHILE v_to < v_entries AND p_entry_command[v_to + 1] = p_entry_command[v_from] LOOP
      v_to := v_to + 1;
    END LOOP;
    v_last_ordinal := v_ordinal - 1;
    v_command_verdict := 0;
    FOR k IN v_from .. v_to LOOP
      v_first[k] := v_last_ordinal + 1;
      v_last_ordinal := v_last_ordinal + p_entry_count[k];
    END LOOP;

    -- a repeated command wins over everything: it answers what the first one did
    IF v_known IS NOT NULL THEN
      FOR k IN v_from .. v_to LOOP
        IF EXISTS (
          SELECT FROM unnest(v_known) AS known(ordinal) WHERE known.ordinal BETWEEN v_first[k] AND v_first[k] + p_entry_count[k] - 1
        ) THEN
          v_command_verdict := 1;
        END IF;
      END LOOP;
      IF v_command_verdict = 1 THEN
        FOR k IN v_from .. v_to LOOP
          s := p_entry_stream[k];
          v_verdict[k] := 1;
          IF p_entry_count[k] = 0 THEN
            v_out_version[k] := v_version[s];
            v_out_position[k] := v_head;
          ELSE
            SELECT r.last_version, r.last_position INTO v_repeated_version, v_repeated_position
            FROM repeated_entry(
              p_log, p_streams[s], p_entry_expected[k],
              p_event_id[v_first[k] : v_first[k] + p_entry_count[k] - 1],
              p_event_type[v_first[k] : v_first[k] + p_entry_count[k] - 1],
              p_schema_version[v_first[k] : v_first[k] + p_entry_count[k] - 1],
              p_data[v_first[k] : v_first[k] + p_entry_count[k] - 1],
              p_tags[v_first[k] : v_first[k] + p_entry_count[k] - 1]
            ) r;
            v_out_version[k] := v_repeated_version;
            v_out_position[k] := v_repeated_position;
            IF v_repeated_version IS NULL THEN
              v_verdict[k] := 4;
              v_out_position[k] := (
                SELECT min(known.ordinal) - v_first[v_from] + 1 FROM unnest(v_known) AS known(ordinal)
                WHERE known.ordinal BETWEEN v_first[v_from] AND v_last_ordinal
              );
              v_command_verdict := 4;
            END IF;
          END IF;
        END LOOP;
      END IF;
    END IF;

    IF v_command_verdict = 0 THEN
      FOR k IN v_from .. v_to LOOP
        s := p_entry_stream[k];
        IF v_tombstoned[s] THEN
          v_verdict[k] := 3;
          v_command_verdict := 3;
        ELSIF NOT is_expected(p_entry_expected[k], v_version[s], v_hidden[s]) THEN
          v_verdict[k] := 2;
          v_out_version[k] := v_version[s];
          v_command_verdict := GREATEST(v_command_verdict, 2);
        END IF;
      END LOOP;
    END IF;

    IF v_command_verdict = 0 AND p_conditions[p_entry_command[v_from]] IS NOT NULL THEN
      -- the condition has to see what this batch stored before
      IF v_pending THEN
        INSERT INTO events (
          log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
        )
        SELECT
          p_log, v_position_offset[n.entry] + n.ordinality, p_streams[p_entry_stream[n.entry]],
          v_version_offset[n.entry] + n.ordinality, n.event_id, n.event_type, n.schema_version, n.data::json,
          n.metadata::json, n.tags::text[], v_now
        FROM unnest(p_event_entry, p_event_id, p_event_type, p_schema_version, p_data, p_metadata, p_tags) WITH ORDINALITY
          AS n(entry, event_id, event_type, schema_version, data, metadata, tags, ordinality)
        WHERE n.ordinality > v_inserted AND n.ordinality < v_ordinal AND v_position_offset[n.entry] IS NOT NULL;
        v_pending := false;
      END IF;
      v_inserted := v_ordinal - 1;
      v_broken := condition_broken_at(p_log, p_conditions[p_entry_command[v_from]], p_stage);
      IF v_broken IS NOT NULL THEN
        v_command_verdict := 5;
        v_verdict[v_from] := 5;
        v_out_position[v_from] := v_broken;
      END IF;
    END IF;

    IF v_command_verdict = 0 THEN
      FOR k IN v_from .. v_to LOOP
        s := p_entry_stream[k];
        v_version_offset[k] := v_version[s] - v_first[k] + 1;
        v_position_offset[k] := v_head - v_first[k] + 1;
        v_version[s] := v_version[s] + p_entry_count[k];
        v_head := v_head + p_entry_count[k];
        v_out_version[k] := v_version[s];
        v_out_position[k] := v_head;
        IF p_entry_count[k] > 0 THEN
          v_pending := true;
          v_stored := true;
        END IF;
      END LOOP;
    ELSE
      FOR k IN v_from .. v_to LOOP
        IF v_command_verdict > 1 AND v_verdict[k] < 2 THEN
          v_verdict[k] := 6;
        END IF;
      END LOOP;
    END IF;
    v_ordinal := v_last_ordinal + 1;
    v_from := v_to + 1;
  END LOOP;

  IF v_inline IS NOT NULL AND v_stored THEN
    PERFORM require_inline(
      p_log, v_inline, array_agg(p_streams[p_entry_stream[n.entry]]), array_agg(n.event_type), array_agg(n.tags)
    )
    FROM unnest(p_event_entry, p_event_type, p_tags) AS n(entry, event_type, tags)
    WHERE v_position_offset[n.entry] IS NOT NULL;
  END IF;

  IF p_stage THEN
    IF v_command_verdict = 0 THEN
      FOR k IN 1 .. v_entries LOOP
        v_version_offset[k] := v_version_offset[k] + v_first[k];
        v_out_position[k] := 0;
      END LOOP;
      INSERT INTO staged_appends (
        log_id, repeatable, streams, entry_command, entry_stream, entry_expected, entry_count, conditions, event_entry,
        event_id, event_type, schema_version, data, metadata, tags, first_version, inline
      ) VALUES (
        p_log, p_repeatable, p_streams, p_entry_command, p_entry_stream, p_entry_expected, p_entry_count, p_conditions,
        p_event_entry, p_event_id, p_event_type, p_schema_version, p_data, p_metadata, p_tags, v_version_offset,
        NULLIF(current_setting(${inlineSetting("p_log")}, true), '')
      );
    END IF;
  ELSE
    IF v_pending THEN
      INSERT INTO events (
        log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
      )
      SELECT
        p_log, v_position_offset[n.entry] + n.ordinality, p_streams[p_entry_stream[n.entry]],
        v_version_offset[n.entry] + n.ordinality, n.event_id, n.event_type, n.schema_version, n.data::json,
        n.metadata::json, n.tags::text[], v_now
      FROM unnest(p_event_entry, p_event_id, p_event_type, p_schema_version, p_data, p_metadata, p_tags) WITH ORDINALITY
        AS n(entry, event_id, event_type, schema_version, data, metadata, tags, ordinality)
      WHERE n.ordinality > v_inserted AND v_position_offset[n.entry] IS NOT NULL;
    END IF;
    IF v_stored THEN
      PERFORM pg_notify(current_schema() || '_' || p_log, '');
    END IF;
  END IF;

  RETURN QUERY SELECT * FROM unnest(v_verdict, v_out_version, v_out_position);
END
$$`,

  // One event to one stream: what a lone caller sends. The same as a batch of one, without arrays: a third of the time.
  // Answers verdict, version and position.
  `CREATE FUNCTION append_event(
  p_log integer, p_stream text, p_expected bigint, p_event_id uuid, p_event_type text, p_schema_version smallint,
  p_data json, p_metadata json, p_tags text[]
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_verdict bigint;
  v_version bigint;
  v_position bigint;
  v_inline json;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'appends need READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'ES001';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext(current_schema()), p_log);
  -- statements from here on take their snapshots after the lock
  SELECT
    CASE WHEN s.tombstoned THEN 3 WHEN is_expected(p_expected, s.version, s.hidden) THEN 0 ELSE 2 END,
    s.version,
    s.head,
    s.inline
  INTO v_verdict, v_version, v_position, v_inline
  FROM (
    SELECT
      l.inline,
      GREATEST(
        l.floor,
        (SELECT e.position FROM events e WHERE e.log_id = p_log ORDER BY e.position DESC LIMIT 1)
      ) AS head,
      COALESCE((
        SELECT e.stream_version FROM events e
        WHERE e.log_id = p_log AND e.stream_id = p_stream
        ORDER BY e.stream_version DESC
        LIMIT 1
      ), 0) AS version,
      COALESCE(st.truncated_before, 0) AS hidden,
      COALESCE(st.tombstoned, false) AS tombstoned
    FROM logs l
    LEFT JOIN stream_states st ON st.log_id = p_log AND st.stream_id = p_stream
    WHERE l.log_id = p_log
    OFFSET 0
  ) s;
  IF v_position IS NULL THEN
    RAISE EXCEPTION 'there is no log %', p_log USING ERRCODE = 'ES003';
  END IF;
  IF v_verdict = 0 THEN
    IF v_inline IS NOT NULL THEN
      PERFORM require_inline(p_log, v_inline, ARRAY[p_stream], ARRAY[p_event_type], ARRAY[p_tags::text]);
    END IF;
    v_version := v_version + 1;
    v_position := v_position + 1;
    INSERT INTO events (
      log_id, position, stream_id, stream_version, event_id, event_type, schema_version, data, metadata, tags, recorded_at
    ) VALUES (
      p_log, v_position, p_stream, v_version, p_event_id, p_event_type, p_schema_version, p_data, p_metadata, p_tags,
      clock_timestamp()
    );
    PERFORM pg_notify(current_schema() || '_' || p_log, '');
  END IF;
  RETURN ARRAY[v_verdict, v_version, v_position];
END
$$`,

  `CREATE FUNCTION store_staged_append() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  v_setting text := ${inlineSetting("NEW.log_id")};
  v_refusal json;
  v_changed boolean;
  v_inline json;
BEGIN
  IF COALESCE(current_setting(v_setting, true), '') <> COALESCE(NEW.inline, '') THEN
    -- what the transaction applied when this was staged, and not what it began to apply later
    PERFORM set_config(v_setting, COALESCE(NEW.inline, ''), true);
  END IF;
  SELECT json_agg(json_build_object(
    'verdict', a.verdict,
    'stream', NEW.streams[NEW.entry_stream[CASE WHEN a.verdict = 4 THEN NEW.event_entry[a.entry_position] ELSE a.ordinality END]],
    'expected', NEW.entry_expected[a.ordinality],
    'version', a.entry_version,
    'position', a.entry_position,
    'event_id', CASE WHEN a.verdict = 4 THEN NEW.event_id[a.entry_position] END,
    'after', NEW.conditions[1]->'after'
  )) FILTER (WHERE a.verdict BETWEEN 2 AND 5),
    bool_or(
      a.verdict <> 0 OR NEW.entry_count[a.ordinality] > 0
        AND a.entry_version <> NEW.first_version[a.ordinality] + NEW.entry_count[a.ordinality] - 1
    )
  INTO v_refusal, v_changed
  FROM append_events(
    NEW.log_id, false, NEW.repeatable, NEW.streams, NEW.entry_command, NEW.entry_stream, NEW.entry_expected,
    NEW.entry_count, NEW.conditions, NEW.event_entry, NEW.event_id, NEW.event_type, NEW.schema_version, NEW.data,
    NEW.metadata, NEW.tags
  ) WITH ORDINALITY AS a;
  IF v_refusal IS NOT NULL THEN
    RAISE EXCEPTION 'a staged append is refused at COMMIT' USING ERRCODE = 'ES002', DETAIL = v_refusal::text;
  END IF;
  IF NEW.inline IS NOT NULL THEN
    -- an effect that is there already, or that a checkpoint does not know of, must not be stored
    SELECT l.inline INTO v_inline FROM logs l WHERE l.log_id = NEW.log_id;
    IF EXISTS (
      SELECT FROM unnest(string_to_array(NEW.inline, ' ')) AS a(mark)
      WHERE NOT EXISTS (SELECT FROM json_to_recordset(v_inline) AS i(mark text) WHERE i.mark = a.mark)
    ) THEN
      RAISE EXCEPTION 'an inline projection that was applied is so no longer' USING ERRCODE = 'serialization_failure';
    END IF;
    IF v_changed AND EXISTS (
      SELECT FROM wanted_inline(
        v_inline, ARRAY(SELECT NEW.streams[NEW.entry_stream[e.entry]] FROM unnest(NEW.event_entry) AS e(entry)),
        NEW.event_type, NEW.tags
      ) w
      WHERE w.mark = ANY (string_to_array(NEW.inline, ' '))
    ) THEN
      RAISE EXCEPTION 'inline projections saw other versions of events, or the events were stored already'
        USING ERRCODE = 'serialization_failure';
    END IF;
  END IF;
  DELETE FROM staged_appends WHERE staged_id = NEW.staged_id;
  -- a transaction that notified cannot be prepared: prepared, it would hold the log's lock for as long as it likes
  PERFORM pg_notify(current_schema() || '_' || NEW.log_id, '');
  RETURN NULL;
END
$$`,

  `CREATE CONSTRAINT TRIGGER staged_appends_store AFTER INSERT ON staged_appends
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION store_staged_append()`,

  // A change of a stream that is not an event. Answers like one entry of append_events: 0 done, 2 or 3 refused.
  `CREATE FUNCTION change_stream(
  p_log integer, p_stream text, p_expected bigint, p_change text, p_version bigint, p_metadata json,
  OUT verdict integer, OUT actual bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  v_state stream_states;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'changes of streams need READ COMMITTED' USING ERRCODE = 'ES001';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext(current_schema()), p_log);
  SELECT COALESCE(max(e.stream_version), 0) INTO actual FROM events e
  WHERE e.log_id = p_log AND e.stream_id = p_stream;
  SELECT * INTO v_state FROM stream_states st WHERE st.log_id = p_log AND st.stream_id = p_stream;
  IF v_state.tombstoned THEN
    verdict := 3;
    RETURN;
  END IF;
  IF NOT is_expected(p_expected, actual, COALESCE(v_state.truncated_before, 0)) THEN
    verdict := 2;
    RETURN;
  END IF;
  INSERT INTO stream_states AS st (log_id, stream_id, truncated_before, tombstoned, metadata)
  VALUES (
    p_log, p_stream,
    CASE WHEN actual = 0 THEN 0 WHEN p_change = 'Delete' THEN actual + 1 WHEN p_change = 'TruncateBefore'
      THEN LEAST(p_version, actual + 1) ELSE 0 END,
    p_change = 'Tombstone',
    CASE WHEN p_change = 'SetMetadata' THEN p_metadata END
  )
  ON CONFLICT (log_id, stream_id) DO UPDATE SET
    truncated_before = GREATEST(st.truncated_before, EXCLUDED.truncated_before),
    tombstoned = EXCLUDED.tombstoned,
    metadata = CASE WHEN p_change = 'SetMetadata' THEN EXCLUDED.metadata ELSE st.metadata END;
  PERFORM pg_notify(current_schema() || '_' || p_log, '');
  verdict := 0;
END
$$`,

  `CREATE FUNCTION open_log(p_log integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  INSERT INTO logs (log_id) VALUES (p_log) ON CONFLICT DO NOTHING
$$`,

  // the log defends itself against whoever has the privilege, too
  `CREATE FUNCTION refuse_change_of_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'events are never changed or removed: % is refused', TG_OP USING ERRCODE = 'ES004';
END
$$`,

  `CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_events()`,

  `REVOKE ALL ON FUNCTION log_head, wanted_inline, require_inline, condition_broken_at, repeated_entry, append_events,
  append_event, store_staged_append, change_stream, open_log, refuse_change_of_events FROM PUBLIC`
]
