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
/** One index for each question: plans that are made while the tables are empty have to be right for what stands in them later. */
export const plans = `
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET enable_bitmapscan TO off
  SET enable_hashjoin TO off SET enable_mergejoin TO off SET jit TO off`

/** The statements of a transaction that is stricter have a snapshot that is older than the locks it waited for. */
export const readCommitted = `IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'projections need READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'ES001';
  END IF;`

/** Keeps a version from being made known while the only one of its name is dropped. */
export const nameLock = (log: string, name: string) =>
  `hashtextextended(current_schema() || '/' || ${log} || '/name/' || ${name}, 0)`

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
  is_indexed boolean NOT NULL DEFAULT false,
  is_switch_wanted boolean NOT NULL DEFAULT false,
  -- paused by a reset or a removal that is under way, and not by an operator
  is_held boolean NOT NULL DEFAULT false,
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
  PERFORM pg_advisory_xact_lock(${nameLock("p_log", "p_name")});
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

  `CREATE FUNCTION is_live(p_version projection_versions) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM projections n
    WHERE n.log_id = p_version.log_id AND n.name = p_version.name AND n.live_id = p_version.version_id
  );
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
  v_position bigint;
BEGIN
  ${readCommitted}
  IF p_unpark_key IS NOT NULL THEN
    -- a replay moves no checkpoint: its repetition is told by what is parked no longer, once nobody else can be at it
    PERFORM FROM projection_partitions p WHERE p.version_id = p_id AND p.partition = p_partition FOR UPDATE;
    -- one by one: all at once, a plan looks through all that is parked of the key
    FOREACH v_position IN ARRAY p_unpark_position LOOP
      PERFORM FROM parked_events p
      WHERE p.version_id = p_id AND p.order_key = p_unpark_key AND p.position = v_position;
      IF NOT FOUND THEN
        RETURN false;
      END IF;
    END LOOP;
  END IF;
  -- after a failover that lost events, a runner may have read what the log lacks by now
  IF p_event_id IS NOT NULL AND p_to > p_from AND NOT EXISTS (
    SELECT FROM projection_versions v
    JOIN events e ON e.log_id = v.log_id AND e.position = p_to AND e.event_id = p_event_id
    WHERE v.version_id = p_id
  ) THEN
    RETURN false;
  END IF;
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
    -- locks what is there: somebody else may be about to remove it with its last event
    INSERT INTO parked_keys AS k (version_id, order_key)
    SELECT DISTINCT p_id, n.order_key FROM unnest(p_park_key) AS n(order_key) ORDER BY n.order_key
    ON CONFLICT ON CONSTRAINT parked_keys_pkey DO UPDATE SET is_replay_wanted = k.is_replay_wanted;
  END IF;
  IF p_unpark_key IS NOT NULL THEN
    FOREACH v_position IN ARRAY p_unpark_position LOOP
      DELETE FROM parked_events p
      WHERE p.version_id = p_id AND p.order_key = p_unpark_key AND p.position = v_position;
    END LOOP;
    -- the next statement sees what was parked under the key until it was locked
    PERFORM FROM parked_keys k WHERE k.version_id = p_id AND k.order_key = p_unpark_key FOR UPDATE;
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

  `REVOKE ALL ON FUNCTION register_projection, lock_partitions, lock_version, fence_version, is_live,
  claim_partitions, release_partitions, advance_partition, report_failure, replay_failed FROM PUBLIC`
]
