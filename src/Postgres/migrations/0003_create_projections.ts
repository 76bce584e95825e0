/**
 * Projections: their versions, partitions with checkpoints, and what is set aside. Statements without schema names, as in
 * the migrations before.
 *
 * Who locks several things does it in this order, so that nobody waits in a circle:
 *
 * 1. the advisory lock of a version (`work_lock`): set up, complete, reset, drop; held for as long as these take
 * 2. the row of the name in `projections`: operators, one at a time
 * 3. rows of partitions, by version and number: whoever moves a checkpoint or takes the right to
 * 4. rows of versions, by id
 * 5. the lock of the log: appends, and whoever changes what they apply inline. Who makes a version applied takes it before 4,
 *    so that claims go on meanwhile; nobody else comes to 4 by then who holds 2
 *
 * Only `claim_partitions` goes from 4 to 3, and therefore never waits for a partition: a process that stands still holds up
 * operators until its transaction is ended, and no other runner. What a batch writes, documents and tables, is locked
 * before 3, and so nobody who holds 3 waits for it.
 *
 * Frozen once released.
 */
import { inlineSetting } from "./0001_create_events.ts"

/** One index for each question: plans that are made while the tables are empty have to be right for what stands in them later. */
const plans = `
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET enable_bitmapscan TO off
  SET enable_hashjoin TO off SET enable_mergejoin TO off SET jit TO off`

/** The statements of a transaction that is stricter have a snapshot that is older than the locks it waited for. */
const readCommitted = `IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'projections need READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'ES001';
  END IF;`

/** What a schema of tables says of itself, so that nothing else is ever dropped; of a version `v`. */
const tablesMark =
  `format('version %s of projection %s: event store %s, log %s', v.version, v.name, current_schema(), v.log_id)`

/** What appends that apply a version share, and whoever makes it applied has for himself. */
const inlineLock = (id: string) => `hashtextextended(current_schema() || '/inline/' || ${id}, 0)`

export const statements: ReadonlyArray<string> = [
  // Which version of a name readers are given, and which one before.
  `CREATE TABLE projections (
  log_id integer NOT NULL,
  live_id integer NOT NULL,
  previous_id integer,
  name text COLLATE "C" NOT NULL,
  CONSTRAINT projections_pkey PRIMARY KEY (log_id, name)
)`,

  `CREATE TABLE projection_versions (
  version_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  log_id integer NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  repartition_to integer CHECK (repartition_to BETWEEN 1 AND 1000),
  start_position bigint NOT NULL CHECK (start_position >= 0),
  -- where the number of partitions changes
  stop_at bigint,
  -- the epoch under which appends apply it, NULL while they do not
  activation bigint,
  created_at timestamptz NOT NULL DEFAULT now(),
  start_event_id uuid,
  is_inline boolean NOT NULL,
  is_set_up boolean NOT NULL DEFAULT false,
  is_switch_wanted boolean NOT NULL DEFAULT false,
  stage text NOT NULL DEFAULT 'building' CHECK (stage IN ('building', 'ready')),
  status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'paused', 'failed')),
  kind text NOT NULL CHECK (kind IN ('tables', 'documents', 'links', 'events')),
  name text COLLATE "C" NOT NULL,
  schema_name text COLLATE "C",
  filter json NOT NULL,
  CONSTRAINT projection_versions_version_key UNIQUE (log_id, name, version),
  CONSTRAINT projection_versions_schema_key UNIQUE (schema_name),
  CONSTRAINT projection_versions_inline_check CHECK (is_inline OR activation IS NULL),
  CONSTRAINT projection_versions_partitions_check CHECK (NOT is_inline OR repartition_to IS NULL)
)`,

  // A row changes with every batch, and no column that does is in an index.
  `CREATE TABLE projection_partitions (
  position bigint NOT NULL CHECK (position >= 0),
  epoch bigint NOT NULL,
  handled bigint NOT NULL DEFAULT 0,
  rate double precision NOT NULL DEFAULT 0,
  lease_until timestamptz,
  version_id integer NOT NULL,
  partition integer NOT NULL CHECK (partition BETWEEN 0 AND 999),
  event_id uuid,
  is_caught_up boolean NOT NULL,
  owner text,
  CONSTRAINT projection_partitions_pkey PRIMARY KEY (version_id, partition)
) WITH (
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
)`,

  `CREATE TABLE projection_runners (
  alive_until timestamptz NOT NULL,
  version_id integer NOT NULL,
  runner text COLLATE "C" NOT NULL,
  CONSTRAINT projection_runners_pkey PRIMARY KEY (version_id, runner)
) WITH (fillfactor = 50)`,

  // The last failure of a version, until something is handled. A row of its own: an advance that removes it keeps nobody
  // from claiming.
  `CREATE TABLE projection_failures (
  position bigint,
  version_id integer PRIMARY KEY,
  error text NOT NULL
)`,

  `CREATE TABLE parked_keys (
  version_id integer NOT NULL,
  is_replay_wanted boolean NOT NULL DEFAULT false,
  order_key text COLLATE "C" NOT NULL,
  CONSTRAINT parked_keys_pkey PRIMARY KEY (version_id, order_key)
)`,

  `CREATE TABLE parked_events (
  position bigint NOT NULL,
  parked_at timestamptz NOT NULL,
  version_id integer NOT NULL,
  attempts integer NOT NULL,
  order_key text COLLATE "C" NOT NULL,
  error text,
  CONSTRAINT parked_events_pkey PRIMARY KEY (version_id, order_key, position)
)`,

  `CREATE INDEX parked_events_position_idx ON parked_events (version_id, position, order_key)`,

  `CREATE FUNCTION register_projection(
  p_log integer, p_name text, p_version integer, p_filter json, p_kind text, p_inline boolean, p_schema text,
  p_partitions integer, p_position bigint, p_event_id uuid
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_id integer;
BEGIN
  INSERT INTO projection_versions (
    log_id, name, version, filter, kind, is_inline, schema_name, start_position, start_event_id
  ) VALUES (p_log, p_name, p_version, p_filter, p_kind, p_inline, p_schema, p_position, p_event_id)
  ON CONFLICT ON CONSTRAINT projection_versions_version_key DO NOTHING
  RETURNING version_id INTO v_id;
  IF v_id IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO projection_partitions (version_id, partition, position, event_id, epoch, is_caught_up)
  SELECT v_id, n, p_position, p_event_id, 1, false
  FROM generate_series(0, CASE WHEN p_inline THEN 0 ELSE p_partitions - 1 END) AS n;
  INSERT INTO projections (log_id, name, live_id) VALUES (p_log, p_name, v_id) ON CONFLICT DO NOTHING;
  PERFORM pg_notify(current_schema() || '_' || p_log, 'projection/' || p_name);
END
$$`,

  // Keeps others from setting up, completing, resetting or dropping a version until the transaction ends.
  `CREATE FUNCTION work_lock(p_id integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/projection/' || p_id, 0))
$$`,

  // Keeps operators and whoever moves a checkpoint from a version, and with p_with_live from the live one of its name, too;
  // answers which these are. Claims go on.
  `CREATE FUNCTION lock_partitions(p_id integer, p_with_live boolean) RETURNS integer[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_ids integer[];
BEGIN
  ${readCommitted}
  SELECT ARRAY[p_id, CASE WHEN p_with_live THEN n.live_id END] INTO v_ids
  FROM projection_versions v
  JOIN projections n ON n.log_id = v.log_id AND n.name = v.name
  WHERE v.version_id = p_id
  FOR UPDATE OF n;
  PERFORM FROM projection_partitions p WHERE p.version_id = ANY (v_ids) ORDER BY p.version_id, p.partition FOR UPDATE;
  RETURN v_ids;
END
$$`,

  // The same, and claims wait: in order to change it. NULL where there is no such version.
  `CREATE FUNCTION lock_version(p_id integer, p_with_live boolean) RETURNS projection_versions
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_ids integer[] := lock_partitions(p_id, p_with_live);
  v_version projection_versions;
BEGIN
  PERFORM FROM projection_versions v WHERE v.version_id = ANY (v_ids) ORDER BY v.version_id FOR UPDATE;
  SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id;
  RETURN v_version;
END
$$`,

  // Whoever works on a version is refused from now on, and asks again; with p_frees its partitions belong to nobody.
  `CREATE FUNCTION fence_version(p_version projection_versions, p_frees boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  UPDATE projection_partitions p SET
    epoch = p.epoch + 1,
    owner = CASE WHEN p_frees THEN NULL ELSE p.owner END,
    lease_until = CASE WHEN p_frees THEN NULL ELSE p.lease_until END
  WHERE p.version_id = p_version.version_id;
  PERFORM pg_notify(current_schema() || '_' || p_version.log_id, 'projection/' || p_version.name);
END
$$`,

  // Moves the only partition of a version that is locked to the head of the log, which nobody moves from now on.
  `CREATE FUNCTION move_to_head(p_version projection_versions) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_head bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext(current_schema()), p_version.log_id);
  v_head := log_head(p_version.log_id);
  UPDATE projection_partitions p SET
    position = v_head,
    event_id = (SELECT e.event_id FROM events e WHERE e.log_id = p_version.log_id AND e.position = v_head),
    is_caught_up = true
  WHERE p.version_id = p_version.version_id;
END
$$`,

  // Tells appends what they have to apply.
  `CREATE FUNCTION publish_inline(p_log integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
  UPDATE logs SET inline = (
    SELECT json_agg(json_build_object(
      'mark', v.version_id || '.' || v.activation, 'name', v.name, 'version', v.version, 'types', v.filter->'types',
      'categories', v.filter->'categories', 'prefix', v.filter->'streamPrefix', 'tags', v.filter->'tags'
    ) ORDER BY v.version_id)
    FROM projection_versions v
    WHERE v.log_id = p_log AND v.activation IS NOT NULL
  )
  WHERE log_id = p_log
$$`,

  // Appends apply a version no longer that is locked, if they did.
  `CREATE FUNCTION deactivate_version(p_version projection_versions) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  IF p_version.activation IS NULL THEN
    RETURN;
  END IF;
  PERFORM move_to_head(p_version);
  UPDATE projection_versions v SET activation = NULL WHERE v.version_id = p_version.version_id;
  PERFORM publish_inline(p_version.log_id);
END
$$`,

  // Makes a version live that is locked together with the live one.
  `CREATE FUNCTION make_live(p_version projection_versions) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_live projection_versions;
BEGIN
  UPDATE projection_versions v SET is_switch_wanted = false
  WHERE v.version_id = p_version.version_id AND v.is_switch_wanted;
  SELECT v.* INTO v_live
  FROM projections n
  JOIN projection_versions v ON v.version_id = n.live_id
  WHERE n.log_id = p_version.log_id AND n.name = p_version.name;
  IF v_live.version_id <> p_version.version_id THEN
    PERFORM deactivate_version(v_live);
    UPDATE projections n SET previous_id = v_live.version_id, live_id = p_version.version_id
    WHERE n.log_id = p_version.log_id AND n.name = p_version.name;
    PERFORM fence_version(v_live, false);
  END IF;
  PERFORM fence_version(p_version, false);
END
$$`,

  `CREATE FUNCTION is_live(p_version projection_versions) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM projections n
    WHERE n.log_id = p_version.log_id AND n.name = p_version.name AND n.live_id = p_version.version_id
  );
END
$$`,

  // Position up to which a version has handled everything.
  `CREATE FUNCTION version_progress(p_id integer) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
BEGIN
  SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id;
  RETURN CASE
    WHEN v_version.activation IS NOT NULL THEN log_head(v_version.log_id)
    ELSE (SELECT min(p.position) FROM projection_partitions p WHERE p.version_id = p_id)
  END;
END
$$`,

  // Whether a version has not come as far as the live one of its name.
  `CREATE FUNCTION is_behind_live(p_version projection_versions) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_live integer;
BEGIN
  SELECT n.live_id INTO v_live FROM projections n WHERE n.log_id = p_version.log_id AND n.name = p_version.name;
  RETURN v_live <> p_version.version_id AND version_progress(v_live) > version_progress(p_version.version_id);
END
$$`,

  // The first row is the version; the others are the partitions that the runner owns now. No row: it was dropped.
  // Runners are given the same number of partitions each. Where that does not come out even, those who have most are given
  // one more, so that nothing changes hands for nothing.
  `CREATE FUNCTION claim_partitions(p_id integer, p_runner text, p_lease interval, p_now timestamptz) RETURNS TABLE (
  partition integer, epoch bigint, "position" bigint, event_id uuid, is_caught_up boolean, handled bigint,
  partitions integer, surplus integer, status text, stage text, is_set_up boolean, is_live boolean, is_applied boolean,
  is_switch_wanted boolean, stop_at bigint, parked_keys text[], replays text[], next_in bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
  v_now timestamptz;
  v_before bigint;
  v_runners bigint;
  v_each bigint;
  v_share integer := 0;
  v_owned integer := 0;
  v_found integer[];
  v_next timestamptz;
  v_news boolean := false;
BEGIN
  ${readCommitted}
  SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id FOR UPDATE;
  -- statements from here on take their snapshots after the lock
  IF v_version.version_id IS NULL THEN
    RETURN;
  END IF;
  v_now := COALESCE(p_now, clock_timestamp());

  SELECT count(*) FILTER (WHERE r.runner = p_runner) INTO v_before FROM projection_runners r WHERE r.version_id = p_id;
  DELETE FROM projection_runners r WHERE r.version_id = p_id AND r.alive_until <= v_now AND r.runner <> p_runner;
  INSERT INTO projection_runners AS r (version_id, runner, alive_until) VALUES (p_id, p_runner, v_now + p_lease)
  ON CONFLICT ON CONSTRAINT projection_runners_pkey DO UPDATE SET alive_until = EXCLUDED.alive_until;
  SELECT count(*) INTO v_runners FROM projection_runners r WHERE r.version_id = p_id;

  SELECT count(*) INTO partitions FROM projection_partitions p WHERE p.version_id = p_id;
  IF v_version.repartition_to IS NOT NULL THEN
    v_found := ARRAY(
      SELECT p.partition FROM projection_partitions p
      WHERE p.version_id = p_id AND p.position = v_version.stop_at
      FOR UPDATE SKIP LOCKED
    );
    IF cardinality(v_found) = partitions THEN
      WITH gone AS (
        DELETE FROM projection_partitions p WHERE p.version_id = p_id AND p.partition = ANY (v_found)
        RETURNING p.epoch, p.position, p.event_id, p.handled, p.is_caught_up
      )
      INSERT INTO projection_partitions (version_id, partition, position, event_id, epoch, handled, is_caught_up)
      SELECT
        p_id, n, g.position, g.event_id, g.epoch + 1, CASE WHEN n = 0 THEN g.handled ELSE 0 END, g.is_caught_up
      FROM (
        SELECT
          max(o.epoch) AS epoch, max(o.position) AS position, max(o.event_id::text)::uuid AS event_id,
          sum(o.handled) AS handled, bool_and(o.is_caught_up) AS is_caught_up
        FROM gone o
      ) g
      CROSS JOIN generate_series(0, v_version.repartition_to - 1) AS n;
      partitions := v_version.repartition_to;
      UPDATE projection_versions v SET repartition_to = NULL, stop_at = NULL WHERE v.version_id = p_id;
      v_version.repartition_to := NULL;
      v_version.stop_at := NULL;
      v_news := true;
    END IF;
  END IF;

  IF v_version.status = 'running' AND v_version.activation IS NULL THEN
    v_each := partitions / v_runners;
    SELECT count(*) INTO v_owned FROM projection_partitions p WHERE p.version_id = p_id AND p.owner = p_runner;
    SELECT v_each + CASE WHEN count(*) < partitions % v_runners THEN 1 ELSE 0 END INTO v_share
    FROM (
      SELECT p.owner COLLATE "C" AS runner, count(*) AS owned FROM projection_partitions p
      WHERE p.version_id = p_id AND p.owner <> p_runner AND p.lease_until > v_now
      GROUP BY 1
    ) o
    WHERE o.owned > v_each AND (o.owned > v_owned OR (o.owned = v_owned AND o.runner < p_runner));
    -- what an advance has locked just now is extended by it
    v_found := ARRAY(
      SELECT p.partition FROM projection_partitions p
      WHERE p.version_id = p_id AND p.owner = p_runner
      FOR UPDATE SKIP LOCKED
    );
    UPDATE projection_partitions p SET lease_until = v_now + p_lease
    WHERE p.version_id = p_id AND p.partition = ANY (v_found) AND p.owner = p_runner;
    IF v_owned < v_share THEN
      v_found := ARRAY(
        SELECT p.partition FROM projection_partitions p
        WHERE p.version_id = p_id AND p.owner IS DISTINCT FROM p_runner AND (p.owner IS NULL OR p.lease_until <= v_now)
        ORDER BY p.partition
        LIMIT v_share - v_owned
        FOR UPDATE SKIP LOCKED
      );
      UPDATE projection_partitions p SET owner = p_runner, epoch = p.epoch + 1, lease_until = v_now + p_lease
      WHERE p.version_id = p_id AND p.partition = ANY (v_found);
      v_owned := v_owned + cardinality(v_found);
    END IF;
    -- others may have to give something back now
    v_news := v_news OR v_before = 0 AND v_owned < v_share;
    SELECT min(p.lease_until) INTO v_next FROM projection_partitions p
    WHERE p.version_id = p_id AND p.owner <> p_runner AND p.lease_until > v_now;
  END IF;
  IF v_news THEN
    PERFORM pg_notify(current_schema() || '_' || v_version.log_id, 'projection/' || v_version.name);
  END IF;

  surplus := GREATEST(v_owned - v_share, 0);
  status := v_version.status;
  stage := v_version.stage;
  is_set_up := v_version.is_set_up;
  is_live := is_live(v_version);
  is_applied := v_version.activation IS NOT NULL;
  -- one that is live and not applied was resumed, or rolled back to, or is the first one
  is_switch_wanted := v_version.is_switch_wanted OR (v_version.is_inline AND is_live AND NOT is_applied);
  stop_at := v_version.stop_at;
  SELECT
    COALESCE(array_agg(k.order_key), '{}'), COALESCE(array_agg(k.order_key) FILTER (WHERE k.is_replay_wanted), '{}')
  INTO parked_keys, replays
  FROM parked_keys k WHERE k.version_id = p_id;
  next_in := ceil(extract(epoch FROM v_next - v_now) * 1000);
  RETURN NEXT;
  IF v_owned > 0 THEN
    RETURN QUERY
    SELECT
      p.partition, p.epoch, p.position, p.event_id, p.is_caught_up, p.handled, NULL::integer, NULL::integer, NULL, NULL,
      NULL::boolean, NULL::boolean, NULL::boolean, NULL::boolean, NULL::bigint, NULL::text[], NULL::text[], NULL::bigint
    FROM projection_partitions p
    WHERE p.version_id = p_id AND p.owner = p_runner
    ORDER BY p.partition;
  END IF;
END
$$`,

  // All of them, and the runner itself, where p_partitions is NULL.
  `CREATE FUNCTION release_partitions(p_id integer, p_runner text, p_partitions integer[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_found integer[] := ARRAY(
    SELECT p.partition FROM projection_partitions p
    WHERE p.version_id = p_id AND p.owner = p_runner AND (p_partitions IS NULL OR p.partition = ANY (p_partitions))
    ORDER BY p.partition
    FOR UPDATE
  );
BEGIN
  UPDATE projection_partitions p SET owner = NULL, lease_until = NULL, epoch = p.epoch + 1
  WHERE p.version_id = p_id AND p.partition = ANY (v_found);
  IF p_partitions IS NULL THEN
    DELETE FROM projection_runners r WHERE r.version_id = p_id AND r.runner = p_runner;
  END IF;
  IF v_found <> '{}' THEN
    PERFORM pg_notify(current_schema() || '_' || v.log_id, 'projection/' || v.name)
    FROM projection_versions v WHERE v.version_id = p_id;
  END IF;
END
$$`,

  // Moves a checkpoint, if that is allowed. The condition is looked at again where somebody else changed the row meanwhile
  // (READ COMMITTED). What the row of the version says is from before then: so whoever changes that in a way that counts
  // here changes the epochs with it, under the locks of the partitions.
  `CREATE FUNCTION advance_partition(
  p_id integer, p_partition integer, p_epoch bigint, p_from bigint, p_to bigint, p_event_id uuid, p_handled bigint,
  p_rate double precision, p_caught_up boolean, p_lease interval, p_now timestamptz, p_park_key text[],
  p_park_position bigint[], p_park_attempts integer[], p_park_error text[], p_unpark_key text, p_unpark_position bigint[]
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_now timestamptz := COALESCE(p_now, clock_timestamp());
BEGIN
  ${readCommitted}
  UPDATE projection_partitions p SET
    position = p_to,
    event_id = CASE WHEN p_to = p_from THEN COALESCE(p_event_id, p.event_id) ELSE p_event_id END,
    handled = p.handled + p_handled,
    rate = p_rate,
    is_caught_up = p_caught_up,
    lease_until = v_now + p_lease
  WHERE p.version_id = p_id AND p.partition = p_partition AND p.epoch = p_epoch AND p.position = p_from
    AND EXISTS (
      SELECT FROM projection_versions v
      WHERE v.version_id = p_id AND v.status = 'running' AND v.activation IS NULL
        AND (v.stop_at IS NULL OR v.stop_at >= p_to)
    );
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF p_handled > 0 THEN
    DELETE FROM projection_failures f WHERE f.version_id = p_id;
  END IF;
  IF p_park_key IS NOT NULL THEN
    INSERT INTO parked_events (version_id, order_key, position, attempts, error, parked_at)
    SELECT p_id, n.order_key, n.position, n.attempts, n.error, v_now
    FROM unnest(p_park_key, p_park_position, p_park_attempts, p_park_error) AS n(order_key, position, attempts, error)
    ON CONFLICT DO NOTHING;
    INSERT INTO parked_keys (version_id, order_key) SELECT DISTINCT p_id, n.order_key FROM unnest(p_park_key) AS n(order_key)
    ON CONFLICT DO NOTHING;
  END IF;
  IF p_unpark_key IS NOT NULL THEN
    DELETE FROM parked_events p
    WHERE p.version_id = p_id AND p.order_key = p_unpark_key AND p.position = ANY (p_unpark_position);
    DELETE FROM parked_keys k
    WHERE k.version_id = p_id AND k.order_key = p_unpark_key
      AND NOT EXISTS (SELECT FROM parked_events p WHERE p.version_id = p_id AND p.order_key = p_unpark_key);
  END IF;
  RETURN true;
END
$$`,

  `CREATE FUNCTION report_failure(
  p_id integer, p_partition integer, p_epoch bigint, p_error text, p_position bigint, p_fatal boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
BEGIN
  IF p_fatal THEN
    v_version := lock_version(p_id, false);
  END IF;
  PERFORM FROM projection_partitions p
  WHERE p.version_id = p_id AND p.partition = p_partition AND p.epoch = p_epoch
  FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  INSERT INTO projection_failures (version_id, error, position) VALUES (p_id, p_error, p_position)
  ON CONFLICT (version_id) DO UPDATE SET error = EXCLUDED.error, position = EXCLUDED.position;
  IF p_fatal THEN
    UPDATE projection_versions v SET status = 'failed' WHERE v.version_id = p_id;
    PERFORM fence_version(v_version, true);
  END IF;
END
$$`,

  // Makes room for the tables of a version in a schema of its own, with the rights of the caller, if it is not set up:
  // 'open', else 'done', 'unknown', or 'taken' where there is such a schema that is not its own.
  `CREATE FUNCTION begin_set_up(p_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT SET client_min_messages TO warning AS $$
DECLARE
  v projection_versions;
BEGIN
  ${readCommitted}
  PERFORM work_lock(p_id);
  SELECT * INTO v FROM projection_versions o WHERE o.version_id = p_id;
  IF v.version_id IS NULL OR v.is_set_up THEN
    RETURN CASE WHEN v.is_set_up THEN 'done' ELSE 'unknown' END;
  END IF;
  IF v.schema_name IS NOT NULL THEN
    IF NOT drop_tables(p_id) THEN
      RETURN 'taken';
    END IF;
    EXECUTE format('CREATE SCHEMA %I', v.schema_name);
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', v.schema_name, ${tablesMark});
  END IF;
  RETURN 'open';
END
$$`,

  // Removes the schema of a version, with the rights of the caller. False where it is there and not its own.
  `CREATE FUNCTION drop_tables(p_id integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT SET client_min_messages TO warning AS $$
DECLARE
  v projection_versions;
  v_schema oid;
BEGIN
  SELECT * INTO v FROM projection_versions o WHERE o.version_id = p_id;
  SELECT s.oid INTO v_schema FROM pg_namespace s WHERE s.nspname = v.schema_name;
  IF v_schema IS NULL THEN
    RETURN true;
  END IF;
  IF obj_description(v_schema, 'pg_namespace') IS DISTINCT FROM ${tablesMark} THEN
    RETURN false;
  END IF;
  EXECUTE format('DROP SCHEMA %I CASCADE', v.schema_name);
  RETURN true;
END
$$`,

  `CREATE FUNCTION finish_set_up(p_id integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  UPDATE projection_versions v SET is_set_up = true WHERE v.version_id = p_id;
  PERFORM pg_notify(current_schema() || '_' || v.log_id, 'projection/' || v.name)
  FROM projection_versions v WHERE v.version_id = p_id;
  RETURN FOUND;
END
$$`,

  // Whether a version can be made ready, and live: 'done' where it is, 'early' where it cannot be yet, 'open', or 'inline'
  // where it is to be applied: then it is locked, and nothing can be stored until the transaction ends.
  `CREATE FUNCTION begin_completion(
  p_id integer, p_switching boolean, OUT verdict text, OUT log_position bigint, OUT filter json
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
  v_applies boolean;
BEGIN
  ${readCommitted}
  PERFORM work_lock(p_id);
  SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id;
  v_applies := p_switching AND v_version.is_inline;
  IF v_applies THEN
    -- transactions that applied it before it was paused hold what its effect wants, and want the lock of the log
    PERFORM pg_advisory_xact_lock(${inlineLock("p_id")});
    PERFORM lock_partitions(p_id, true);
    SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id;
  END IF;
  IF v_version.stage = 'ready'
    AND (is_live(v_version) OR NOT p_switching)
    AND (v_version.activation IS NOT NULL OR NOT v_applies)
  THEN
    verdict := 'done';
  ELSIF v_version.version_id IS NULL
    OR EXISTS (SELECT FROM projection_partitions p WHERE p.version_id = p_id AND NOT p.is_caught_up)
    OR v_applies AND v_version.status <> 'running'
    OR p_switching AND NOT v_applies AND is_behind_live(v_version)
  THEN
    verdict := 'early';
  ELSIF v_applies THEN
    PERFORM pg_advisory_xact_lock(hashtext(current_schema()), v_version.log_id);
    SELECT p.position INTO log_position FROM projection_partitions p WHERE p.version_id = p_id;
    filter := v_version.filter;
    verdict := 'inline';
  ELSE
    verdict := 'open';
  END IF;
END
$$`,

  // Makes a version ready, and live. False where the live one is further by now; p_handled are the events that an inline one
  // was handed on the way.
  `CREATE FUNCTION finish_completion(p_id integer, p_switching boolean, p_handled bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, p_switching);
BEGIN
  IF v_version.version_id IS NULL OR p_switching AND NOT v_version.is_inline AND is_behind_live(v_version) THEN
    RETURN false;
  END IF;
  UPDATE projection_versions v SET stage = 'ready' WHERE v.version_id = p_id AND v.stage <> 'ready';
  IF NOT p_switching THEN
    PERFORM pg_notify(current_schema() || '_' || v_version.log_id, 'projection/' || v_version.name);
    RETURN true;
  END IF;
  PERFORM make_live(v_version);
  IF v_version.is_inline THEN
    PERFORM move_to_head(v_version);
    UPDATE projection_partitions p SET owner = NULL, lease_until = NULL, handled = p.handled + p_handled
    WHERE p.version_id = p_id;
    UPDATE projection_versions v SET
      activation = (SELECT p.epoch FROM projection_partitions p WHERE p.version_id = p_id AND p.partition = 0)
    WHERE v.version_id = p_id;
    PERFORM publish_inline(v_version.log_id);
  END IF;
  RETURN true;
END
$$`,

  // Answers what the status was, NULL where there is no such version; with p_unless_live 'live' where that is so.
  `CREATE FUNCTION pause_projection(p_id integer, p_unless_live boolean) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
BEGIN
  IF v_version.version_id IS NULL THEN
    RETURN NULL;
  END IF;
  IF p_unless_live AND is_live(v_version) THEN
    RETURN 'live';
  END IF;
  PERFORM deactivate_version(v_version);
  UPDATE projection_versions v SET status = 'paused' WHERE v.version_id = p_id;
  PERFORM fence_version(v_version, true);
  RETURN v_version.status;
END
$$`,

  `CREATE FUNCTION resume_projection(p_id integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
BEGIN
  IF v_version.status <> 'running' THEN
    UPDATE projection_versions v SET status = 'running' WHERE v.version_id = p_id;
    DELETE FROM projection_failures f WHERE f.version_id = p_id;
    PERFORM fence_version(v_version, false);
  END IF;
  RETURN v_version.version_id IS NOT NULL;
END
$$`,

  // What a version keeps, but for its tables. It has to be paused: what a batch has written it still holds locked, while it
  // waits for the partition.
  `CREATE FUNCTION empty_version(p_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  PERFORM work_lock(p_id);
  DELETE FROM documents d WHERE d.version_id = p_id;
  DELETE FROM links l WHERE l.version_id = p_id;
END
$$`,

  // Of a version that is paused; p_status is what it is to be then.
  `CREATE FUNCTION reset_projection(p_id integer, p_status text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
BEGIN
  PERFORM empty_version(p_id);
  v_version := lock_version(p_id, false);
  IF v_version.version_id IS NULL THEN
    RETURN false;
  END IF;
  PERFORM deactivate_version(v_version);
  -- somebody resumed it meanwhile
  PERFORM empty_version(p_id);
  DELETE FROM parked_events p WHERE p.version_id = p_id;
  DELETE FROM parked_keys k WHERE k.version_id = p_id;
  DELETE FROM projection_failures f WHERE f.version_id = p_id;
  UPDATE projection_versions v SET
    stage = 'building', status = p_status, is_set_up = false, is_switch_wanted = false,
    stop_at = CASE WHEN v.stop_at IS NOT NULL THEN v.start_position END
  WHERE v.version_id = p_id;
  UPDATE projection_partitions p SET
    position = v_version.start_position, event_id = v_version.start_event_id, handled = 0, rate = 0, is_caught_up = false
  WHERE p.version_id = p_id;
  PERFORM fence_version(v_version, true);
  RETURN true;
END
$$`,

  `CREATE FUNCTION repartition_projection(p_id integer, p_partitions integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
BEGIN
  IF v_version.version_id IS NULL THEN
    RETURN false;
  END IF;
  UPDATE projection_versions v SET
    repartition_to = CASE WHEN p.count <> p_partitions THEN p_partitions END,
    stop_at = CASE WHEN p.count <> p_partitions THEN p.furthest END
  FROM (
    SELECT count(*) AS count, max(o.position) AS furthest FROM projection_partitions o WHERE o.version_id = p_id
  ) p
  WHERE v.version_id = p_id;
  PERFORM fence_version(v_version, false);
  RETURN true;
END
$$`,

  `CREATE FUNCTION switch_projection(p_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, true);
BEGIN
  IF v_version.version_id IS NULL THEN
    RETURN 'unknown';
  ELSIF is_live(v_version) THEN
    RETURN 'switched';
  ELSIF v_version.stage = 'building' OR NOT v_version.is_inline AND is_behind_live(v_version) THEN
    RETURN 'behind';
  ELSIF v_version.is_inline THEN
    UPDATE projection_versions v SET is_switch_wanted = true WHERE v.version_id = p_id;
    PERFORM fence_version(v_version, false);
    RETURN 'wanted';
  END IF;
  PERFORM make_live(v_version);
  RETURN 'switched';
END
$$`,

  // Answers the number of the version that is live then.
  `CREATE FUNCTION roll_back_projection(p_log integer, p_name text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
  v_previous integer;
BEGIN
  ${readCommitted}
  SELECT n.previous_id INTO v_previous FROM projections n WHERE n.log_id = p_log AND n.name = p_name FOR UPDATE;
  v_version := lock_version(v_previous, true);
  IF v_version.version_id IS NOT NULL THEN
    PERFORM make_live(v_version);
  END IF;
  RETURN v_version.version;
END
$$`,

  // Of a version that is paused, and whose schema is gone.
  `CREATE FUNCTION drop_projection(p_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions;
BEGIN
  PERFORM empty_version(p_id);
  v_version := lock_version(p_id, false);
  IF v_version.version_id IS NULL THEN
    RETURN 'unknown';
  END IF;
  IF is_live(v_version) THEN
    RETURN 'live';
  END IF;
  PERFORM deactivate_version(v_version);
  PERFORM empty_version(p_id);
  DELETE FROM parked_events p WHERE p.version_id = p_id;
  DELETE FROM parked_keys k WHERE k.version_id = p_id;
  DELETE FROM projection_failures f WHERE f.version_id = p_id;
  DELETE FROM projection_runners r WHERE r.version_id = p_id;
  DELETE FROM projection_partitions p WHERE p.version_id = p_id;
  DELETE FROM projection_versions v WHERE v.version_id = p_id;
  UPDATE projections n SET previous_id = NULL
  WHERE n.log_id = v_version.log_id AND n.name = v_version.name AND n.previous_id = p_id;
  PERFORM pg_notify(current_schema() || '_' || v_version.log_id, 'projection/' || v_version.name);
  RETURN 'dropped';
END
$$`,

  // All keys where p_keys is NULL. Answers how many events that are.
  `CREATE FUNCTION replay_parked(p_id integer, p_keys text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
  v_keys text[] := ARRAY(
    SELECT k.order_key FROM parked_keys k WHERE k.version_id = p_id AND (p_keys IS NULL OR k.order_key = ANY (p_keys))
  );
BEGIN
  IF v_keys <> '{}' THEN
    UPDATE parked_keys k SET is_replay_wanted = true WHERE k.version_id = p_id AND k.order_key = ANY (v_keys);
    PERFORM fence_version(v_version, false);
  END IF;
  RETURN (SELECT count(*) FROM parked_events p WHERE p.version_id = p_id AND p.order_key = ANY (v_keys));
END
$$`,

  // As replay_parked. Owners look again: one that still takes a key for parked would park what comes.
  `CREATE FUNCTION discard_parked(p_id integer, p_keys text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
  v_count bigint;
BEGIN
  DELETE FROM parked_events p WHERE p.version_id = p_id AND (p_keys IS NULL OR p.order_key = ANY (p_keys));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count > 0 THEN
    DELETE FROM parked_keys k WHERE k.version_id = p_id AND (p_keys IS NULL OR k.order_key = ANY (p_keys));
    PERFORM fence_version(v_version, false);
  END IF;
  RETURN v_count;
END
$$`,

  `CREATE FUNCTION replay_failed(
  p_id integer, p_partition integer, p_epoch bigint, p_key text, p_position bigint, p_error text
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  PERFORM FROM projection_partitions p
  WHERE p.version_id = p_id AND p.partition = p_partition AND p.epoch = p_epoch
  FOR UPDATE;
  IF FOUND THEN
    UPDATE parked_events p SET attempts = p.attempts + 1, error = p_error
    WHERE p.version_id = p_id AND p.order_key = p_key AND p.position = p_position;
    UPDATE parked_keys k SET is_replay_wanted = false WHERE k.version_id = p_id AND k.order_key = p_key;
  END IF;
END
$$`,

  // Takes the streams of appends that apply inline projections, in one order for all; answers which of the versions are
  // applied, and notes them for the transaction. All these locks have a name space apart from that of the log.
  `CREATE FUNCTION begin_inline(p_log integer, p_ids integer[], p_streams text[]) RETURNS integer[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_setting text := ${inlineSetting("p_log")};
  v_lock bigint;
  v_applied json;
  v_ids integer[];
BEGIN
  ${readCommitted}
  FOR v_lock IN
    SELECT DISTINCT hashtextextended(current_schema() || '/' || p_log || '/' || n.stream_id, 0) AS lock
    FROM unnest(p_streams) AS n(stream_id)
    ORDER BY lock
  LOOP
    PERFORM pg_advisory_xact_lock(v_lock);
  END LOOP;
  -- statements from here on take their snapshots after the locks
  SELECT array_agg(v.version_id), json_agg(v.version_id || '.' || v.activation) INTO v_ids, v_applied
  FROM projection_versions v
  WHERE v.log_id = p_log AND v.version_id = ANY (p_ids) AND v.activation IS NOT NULL;
  IF v_ids IS NULL THEN
    RETURN '{}';
  END IF;
  FOR v_lock IN SELECT ${inlineLock("n.id")} FROM unnest(v_ids) AS n(id) ORDER BY n.id LOOP
    PERFORM pg_advisory_xact_lock_shared(v_lock);
  END LOOP;
  PERFORM set_config(v_setting, (
    SELECT string_agg(DISTINCT m.mark, ' ')
    FROM (
      SELECT unnest(string_to_array(NULLIF(current_setting(v_setting, true), ''), ' ')) AS mark
      UNION ALL
      SELECT json_array_elements_text(v_applied)
    ) m
  ), true);
  RETURN v_ids;
END
$$`,

  `REVOKE ALL ON FUNCTION register_projection, work_lock, lock_partitions, lock_version, fence_version, move_to_head, publish_inline,
  deactivate_version, make_live, is_live, version_progress, is_behind_live, claim_partitions, release_partitions,
  advance_partition, report_failure, begin_set_up, drop_tables, finish_set_up, begin_completion, finish_completion,
  pause_projection, resume_projection, empty_version, reset_projection, repartition_projection, switch_projection,
  roll_back_projection, drop_projection, replay_parked, discard_parked, replay_failed, begin_inline FROM PUBLIC`
]
