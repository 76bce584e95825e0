/**
 * Persistent subscriptions and their queues. Statements without schema names, as in the migration before.
 *
 * Frozen once released.
 */

/**
 * Plans are made once a connection, while the queues may be empty, and have to be right for what stands in them later: so
 * there is one index for each question, and no join of two queues row by row. What is ruled out is costed as if it took
 * for ever, which would be worth compiling: hence no JIT.
 */
const plans = `
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET enable_bitmapscan TO off
  SET enable_nestloop TO off SET enable_mergejoin TO off SET jit TO off`

/** Those of the deliveries that are named by v_position and v_lease which are held by these leases, locked in that order. */
const held = (columns: string) => `
    WITH held AS MATERIALIZED (
      SELECT ${columns}
      FROM unnest(p_position, p_lease) WITH ORDINALITY AS n(position, lease, ordinality)
      CROSS JOIN LATERAL (
        SELECT d.position, d.order_key FROM deliveries d
        WHERE d.subscription_id = p_id AND d.position = n.position AND d.lease = n.lease AND d.due_at > v_now
        FOR UPDATE
      ) d
    )`

export const statements: ReadonlyArray<string> = [
  // The row is the lock of its queue: whoever hands out deliveries, or changes what is not leased, holds it.
  `CREATE TABLE subscriptions (
  subscription_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  log_id integer NOT NULL,
  position bigint NOT NULL CHECK (position >= 0),
  -- no delivery that waits or is leased stands below: what was finished there is not looked through again, though a
  -- transaction that is open for long keeps it from being cleaned up
  lowest bigint NOT NULL CHECK (lowest > 0),
  leases bigint NOT NULL DEFAULT 0,
  -- counts what it was declared to be: consumers that go by an older declaration offer in vain
  revision integer NOT NULL DEFAULT 1,
  capacity bigint NOT NULL CHECK (capacity > 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  event_id uuid,
  parked_blocks boolean NOT NULL,
  ordering text NOT NULL CHECK (ordering IN ('none', 'stream', 'key')),
  name text COLLATE "C" NOT NULL,
  filter json NOT NULL,
  CONSTRAINT subscriptions_name_key UNIQUE (log_id, name)
) WITH (fillfactor = 50)`,

  // What waits (no lease) or is leased, until due_at in both cases. Rows come and go quickly, and no column that changes is
  // in an index. They need no foreign key: they come under the lock of their subscription, and go with it.
  `CREATE TABLE deliveries (
  position bigint NOT NULL CHECK (position > 0),
  due_at timestamptz NOT NULL,
  lease bigint,
  subscription_id integer NOT NULL,
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  -- leases that ran out, without the one that runs
  lost integer NOT NULL DEFAULT 0 CHECK (lost >= 0),
  order_key text COLLATE "C",
  error text,
  CONSTRAINT deliveries_pkey PRIMARY KEY (subscription_id, position)
) WITH (
  fillfactor = 50, vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0
)`,

  `CREATE INDEX deliveries_key_idx ON deliveries (subscription_id, order_key, position) WHERE order_key IS NOT NULL`,

  // A table of their own, as there may be many: the queue stays as small as its capacity.
  `CREATE TABLE parked_deliveries (
  position bigint NOT NULL,
  parked_at timestamptz NOT NULL,
  subscription_id integer NOT NULL,
  attempts integer NOT NULL,
  order_key text COLLATE "C",
  reason text NOT NULL,
  error text,
  CONSTRAINT parked_deliveries_pkey PRIMARY KEY (subscription_id, position)
)`,

  `CREATE INDEX parked_deliveries_key_idx ON parked_deliveries (subscription_id, order_key, position)
WHERE order_key IS NOT NULL`,

  `CREATE FUNCTION create_subscription(
  p_log integer, p_name text, p_filter json, p_ordering text, p_parked_blocks boolean, p_capacity bigint,
  p_position bigint, p_event_id uuid
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO subscriptions (log_id, name, filter, ordering, parked_blocks, capacity, position, event_id, lowest)
  VALUES (p_log, p_name, p_filter, p_ordering, p_parked_blocks, p_capacity, p_position, p_event_id, p_position + 1)
  ON CONFLICT DO NOTHING;
  RETURN FOUND;
END
$$`,

  // Locks a subscription in order to drop its deliveries; answers its id, or NULL. A delivery may be locked for as long as
  // the transaction of a consumer takes. That is waited for first, without the lock of the queue: it would stand still.
  `CREATE FUNCTION lock_subscription(p_log integer, p_name text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_id integer;
BEGIN
  SELECT s.subscription_id INTO v_id FROM subscriptions s WHERE s.log_id = p_log AND s.name = p_name;
  BEGIN
    PERFORM FROM deliveries d WHERE d.subscription_id = v_id AND d.lease IS NOT NULL ORDER BY d.position FOR UPDATE;
    RAISE EXCEPTION 'waited long enough' USING ERRCODE = 'ES005';
  EXCEPTION WHEN SQLSTATE 'ES005' THEN
    NULL; -- and what was locked is not any more
  END;
  SELECT s.subscription_id INTO v_id FROM subscriptions s WHERE s.log_id = p_log AND s.name = p_name FOR UPDATE;
  PERFORM FROM deliveries d WHERE d.subscription_id = v_id ORDER BY d.position FOR UPDATE;
  RETURN v_id;
END
$$`,

  // NULL leaves as it is. With p_moves it goes to p_position, and what waits or is leased is dropped.
  `CREATE FUNCTION update_subscription(
  p_log integer, p_name text, p_filter json, p_ordering text, p_parked_blocks boolean, p_capacity bigint,
  p_moves boolean, p_position bigint, p_event_id uuid
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_id integer;
BEGIN
  IF p_moves THEN
    v_id := lock_subscription(p_log, p_name);
    DELETE FROM deliveries d WHERE d.subscription_id = v_id;
  END IF;
  UPDATE subscriptions s SET
    revision = s.revision + CASE WHEN COALESCE(p_filter::text, p_ordering, p_parked_blocks::text) IS NULL THEN 0 ELSE 1 END,
    filter = COALESCE(p_filter, s.filter),
    ordering = COALESCE(p_ordering, s.ordering),
    parked_blocks = COALESCE(p_parked_blocks, s.parked_blocks),
    capacity = COALESCE(p_capacity, s.capacity),
    position = CASE WHEN p_moves THEN p_position ELSE s.position END,
    event_id = CASE WHEN p_moves THEN p_event_id ELSE s.event_id END,
    lowest = CASE WHEN p_moves THEN p_position + 1 ELSE s.lowest END
  WHERE s.log_id = p_log AND s.name = p_name;
  IF FOUND THEN
    PERFORM pg_notify(current_schema() || '_' || p_log, p_name);
  END IF;
  RETURN FOUND;
END
$$`,

  `CREATE FUNCTION remove_subscription(p_log integer, p_name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_id integer := lock_subscription(p_log, p_name);
BEGIN
  IF v_id IS NULL THEN
    RETURN false;
  END IF;
  DELETE FROM deliveries d WHERE d.subscription_id = v_id;
  DELETE FROM parked_deliveries p WHERE p.subscription_id = v_id;
  DELETE FROM subscriptions s WHERE s.subscription_id = v_id;
  PERFORM pg_notify(current_schema() || '_' || p_log, p_name);
  RETURN true;
END
$$`,

  // Takes an offer (what stands between p_from and p_to, if p_from is still the position and p_revision, where given, what it
  // is declared to be), and hands out deliveries. The first row is the subscription: its position and the event there, free places, milliseconds until the next time, and how
  // many were parked. The others are deliveries with their events, NULL where these are hidden. No row: it is gone.
  // The events are read here, by a statement that begins after the lock: a snapshot from before it may know less than the
  // queue does.
  `CREATE FUNCTION claim_deliveries(
  p_id integer, p_now timestamptz, p_limit bigint, p_lease interval, p_attempts integer, p_idle boolean,
  p_revision integer, p_from bigint, p_to bigint, p_event_id uuid, p_position bigint[], p_key text[]
) RETURNS TABLE (
  "position" bigint, stream_id text, stream_version bigint, event_id uuid, event_type text, schema_version smallint,
  data json, metadata json, tags text[], recorded_at timestamptz, order_key text, attempt integer, lease bigint,
  free bigint, next_in bigint, parked bigint, revision integer, alone boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_now timestamptz := COALESCE(p_now, clock_timestamp());
  v_limit bigint := p_limit;
  v_log integer;
  v_revision integer;
  v_position bigint;
  v_event_id uuid;
  v_lowest bigint;
  v_lease bigint;
  v_capacity bigint;
  v_parked_blocks boolean;
  v_parked bigint;
  v_busy bigint[] := '{}';                -- somebody else has them locked
  v_count bigint;
  v_first bigint;
  v_next timestamptz;
  v_exhausted boolean;
  v_blocks boolean;
  v_suspect bigint;
  v_wanted bigint[] := '{}';
  v_locked bigint[];
  v_offered bigint := 0;
BEGIN
  -- The snapshot of a stricter transaction is older than the lock.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'claims need READ COMMITTED, this transaction is %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'ES001';
  END IF;
  IF p_from IS NULL AND NOT EXISTS (
    SELECT FROM deliveries d
    WHERE d.subscription_id = p_id
      AND d.position >= (SELECT s.lowest FROM subscriptions s WHERE s.subscription_id = p_id)
      AND d.due_at <= v_now
  ) THEN
    -- nothing to do: without a lock there is nothing to write, and nothing to wait for at COMMIT
    v_limit := -1;
    SELECT s.log_id, s.revision, s.position, s.event_id, s.lowest, s.leases, s.capacity, s.parked_blocks
    INTO v_log, v_revision, v_position, v_event_id, v_lowest, v_lease, v_capacity, v_parked_blocks
    FROM subscriptions s WHERE s.subscription_id = p_id;
  ELSE
    SELECT s.log_id, s.revision, s.position, s.event_id, s.lowest, s.leases, s.capacity, s.parked_blocks
    INTO v_log, v_revision, v_position, v_event_id, v_lowest, v_lease, v_capacity, v_parked_blocks
    FROM subscriptions s WHERE s.subscription_id = p_id FOR UPDATE;
    v_now := COALESCE(p_now, clock_timestamp());
  END IF;
  -- statements from here on take their snapshots after the lock
  IF v_log IS NULL THEN
    RETURN;
  END IF;

  -- after a failover that lost events, a consumer may still hold what the log lacks by now
  IF p_from = v_position AND COALESCE(p_revision, v_revision) = v_revision AND (
    p_event_id IS NULL
    OR EXISTS (SELECT FROM events e WHERE e.log_id = v_log AND e.position = p_to AND e.event_id = p_event_id)
  ) THEN
    v_offered := cardinality(p_position);
    -- a position may be there already: parked or replayed, before the subscription was moved back
    INSERT INTO deliveries (subscription_id, position, order_key, due_at)
    SELECT p_id, n.position, n.order_key, v_now
    FROM unnest(p_position, p_key) AS n(position, order_key)
    WHERE NOT EXISTS (SELECT FROM parked_deliveries p WHERE p.subscription_id = p_id AND p.position > p_from)
      OR (SELECT p.position FROM parked_deliveries p WHERE p.subscription_id = p_id AND p.position = n.position) IS NULL
    ON CONFLICT DO NOTHING;
    v_position := p_to;
    v_event_id := p_event_id;
  END IF;

  LOOP
    -- One pass for what there is, and what may be handed out if nothing blocks a key but leases: that need not look further
    -- than to the last one it takes. In one statement, so that both see the same: a consumer may just be answering.
    WITH pass AS MATERIALIZED (
      SELECT
        count(*) AS deliveries,
        min(d.position) AS first,
        min(d.due_at) FILTER (WHERE d.due_at > v_now) AS next,
        array_agg(d.order_key) FILTER (WHERE d.due_at > v_now AND d.lease IS NOT NULL AND d.order_key IS NOT NULL) AS leased,
        bool_or(d.due_at > v_now AND d.lease IS NULL) AS delayed,
        bool_or(d.due_at <= v_now AND d.attempts >= p_attempts) AS exhausted,
        bool_or(d.due_at <= v_now AND d.lost + CASE WHEN d.lease IS NULL THEN 0 ELSE 1 END >= 2) AS suspected
      FROM deliveries d
      WHERE d.subscription_id = p_id AND d.position >= v_lowest
    )
    SELECT
      p.deliveries, p.first, p.next, COALESCE(p.exhausted, false), COALESCE(p.delayed OR p.exhausted OR p.suspected, false),
      ARRAY(
        SELECT d.position FROM deliveries d
        WHERE d.subscription_id = p_id AND d.position >= v_lowest AND d.due_at <= v_now
          AND (d.order_key IS NULL OR d.order_key NOT IN (SELECT unnest(l.leased) FROM pass l))
        ORDER BY d.position
        LIMIT GREATEST(v_limit, 0)
      )
    INTO v_count, v_first, v_next, v_exhausted, v_blocks, v_wanted
    FROM pass p;

    IF v_exhausted AND v_parked IS NULL AND v_limit >= 0 THEN
      v_locked := ARRAY(
        SELECT d.position FROM deliveries d
        WHERE d.subscription_id = p_id AND d.position >= v_lowest AND d.due_at <= v_now AND d.attempts >= p_attempts
        FOR UPDATE SKIP LOCKED
      );
      WITH gone AS (
        DELETE FROM deliveries d WHERE d.subscription_id = p_id AND d.position = ANY (v_locked)
        RETURNING d.position, d.order_key, d.attempts, d.error
      )
      INSERT INTO parked_deliveries (subscription_id, position, order_key, attempts, reason, error, parked_at)
      SELECT
        p_id, g.position, g.order_key, g.attempts, 'it was begun ' || g.attempts || ' times without an answer', g.error,
        v_now
      FROM gone g;
      GET DIAGNOSTICS v_parked = ROW_COUNT;
      CONTINUE;
    END IF;

    EXIT WHEN v_limit <= 0;
    v_suspect := NULL;
    IF v_blocks OR v_parked_blocks OR v_busy <> '{}' THEN
      -- A key that has a delivery under a lease is blocked. Else it is blocked from the first one on that waits for its
      -- time, that is locked by somebody else, that has to be handed out alone, or that is parked, where those block.
      WITH queue AS MATERIALIZED (
        SELECT d.position, d.order_key,
          CASE
            WHEN d.due_at > v_now THEN CASE WHEN d.lease IS NULL THEN 'delayed' ELSE 'leased' END
            WHEN d.attempts >= p_attempts OR d.position = ANY (v_busy) THEN 'busy'
            WHEN d.lost + CASE WHEN d.lease IS NULL THEN 0 ELSE 1 END >= 2 THEN 'suspect'
            ELSE 'free'
          END AS state
        FROM deliveries d
        WHERE d.subscription_id = p_id AND d.position >= v_lowest
      ),
      blocked AS MATERIALIZED (
        SELECT b.order_key, min(b.position) AS position
        FROM (
          SELECT q.order_key, CASE WHEN q.state = 'leased' THEN 0 ELSE q.position END AS position
          FROM queue q
          WHERE q.state <> 'free' AND q.order_key IS NOT NULL
          UNION ALL
          SELECT p.order_key, p.position
          FROM (SELECT DISTINCT q.order_key FROM queue q WHERE v_parked_blocks AND q.order_key IS NOT NULL) k
          CROSS JOIN LATERAL (
            -- compared as a pair and sorted as one, so that no other index than that of the keys will do
            SELECT p.order_key, p.position FROM parked_deliveries p
            WHERE p.subscription_id = p_id AND p.order_key IS NOT NULL AND (p.order_key, p.position) >= (k.order_key, 0)
            ORDER BY p.order_key, p.position
            LIMIT 1
          ) p
          WHERE p.order_key = k.order_key
        ) b
        GROUP BY b.order_key
      )
      SELECT
        ARRAY(
          SELECT q.position FROM queue q
          LEFT JOIN blocked b ON b.order_key = q.order_key
          WHERE q.state = 'free' AND (b.position IS NULL OR q.position < b.position)
          ORDER BY q.position
          LIMIT v_limit
        ),
        (
          SELECT min(q.position) FROM queue q
          LEFT JOIN blocked b ON b.order_key = q.order_key
          WHERE q.state = 'suspect'
            AND (q.order_key IS NULL OR b.position = q.position)
            AND NOT EXISTS (
              SELECT FROM queue f WHERE f.state = 'free' AND f.order_key = q.order_key AND f.position < q.position
            )
        )
      INTO v_wanted, v_suspect;
      IF v_suspect IS NOT NULL THEN
        v_wanted := ARRAY[v_suspect];
      END IF;
    END IF;
    EXIT WHEN v_wanted = '{}';

    -- A consumer whose lease ran out may be about to finish in its transaction, or just have answered. Then the pass is
    -- made again: what stands behind such a delivery has to wait, or must not any more.
    v_locked := ARRAY(
      SELECT d.position FROM deliveries d
      WHERE d.subscription_id = p_id AND d.position = ANY (v_wanted) AND d.due_at <= v_now
      FOR UPDATE SKIP LOCKED
    );
    EXIT WHEN cardinality(v_locked) = cardinality(v_wanted);
    v_busy := v_busy || ARRAY(SELECT w.position FROM unnest(v_wanted) AS w(position) WHERE w.position <> ALL (v_locked));
  END LOOP;

  IF v_suspect IS NOT NULL AND NOT p_idle THEN
    v_wanted := '{}';
  END IF;
  IF v_wanted <> '{}' THEN
    v_lease := v_lease + 1;
    v_next := LEAST(v_next, v_now + p_lease);
  END IF;
  IF v_wanted <> '{}' OR p_from IS NOT NULL THEN
    UPDATE subscriptions s SET
      position = v_position, event_id = v_event_id, leases = v_lease, lowest = LEAST(v_first, v_position + 1)
    WHERE s.subscription_id = p_id
      AND (s.leases <> v_lease OR s.position <> v_position OR s.event_id IS DISTINCT FROM v_event_id);
  END IF;

  position := v_position;
  event_id := v_event_id;
  free := GREATEST(v_capacity - v_count, 0);
  next_in := ceil(extract(epoch FROM v_next - v_now) * 1000);
  parked := COALESCE(v_parked, 0);
  revision := v_revision;
  alone := v_suspect IS NOT NULL AND v_wanted <> '{}';
  IF v_offered > cardinality(v_wanted) THEN
    -- who answers an earlier one of a key at this moment does not see this one yet, and tells nobody
    PERFORM pg_notify(current_schema() || '_' || v_log, s.name) FROM subscriptions s WHERE s.subscription_id = p_id;
  END IF;
  RETURN NEXT;
  IF v_wanted <> '{}' THEN
    RETURN QUERY
    WITH handed AS (
      UPDATE deliveries d SET
        attempts = d.attempts + 1,
        lost = d.lost + CASE WHEN d.lease IS NULL THEN 0 ELSE 1 END,
        lease = v_lease,
        due_at = v_now + p_lease
      WHERE d.subscription_id = p_id AND d.position = ANY (v_wanted)
      RETURNING d.position, d.order_key, d.attempts
    )
    SELECT
      h.position, e.stream_id, e.stream_version, e.event_id, e.event_type, e.schema_version, e.data, e.metadata, e.tags,
      e.recorded_at, h.order_key, h.attempts, v_lease, NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer,
      NULL::boolean
    FROM handed h
    LEFT JOIN LATERAL (
      SELECT
        v.stream_id, v.stream_version, v.event_id, v.event_type, v.schema_version, v.data, v.metadata, v.tags, v.recorded_at
      FROM events v
      WHERE v.log_id = v_log AND v.position = h.position
        AND (
          NOT EXISTS (
            SELECT FROM stream_states s WHERE s.log_id = v_log AND (s.tombstoned OR s.truncated_before > 1)
          )
          OR NOT EXISTS (
            SELECT FROM stream_states s
            WHERE s.log_id = v_log AND s.stream_id = v.stream_id
              AND (s.tombstoned OR s.truncated_before > v.stream_version)
          )
        )
      LIMIT 1
    ) e ON true
    ORDER BY h.position;
  END IF;
END
$$`,

  // Settles what is held by its lease; answers the positions that are not. Outcomes: 0 done, 1 retry, 2 park, 3 release;
  // NULL instead of the array where all are done. Takes no lock but those of the deliveries, in the order of the array,
  // which is that of positions.
  `CREATE FUNCTION settle_deliveries(
  p_id integer, p_now timestamptz, p_position bigint[], p_lease bigint[], p_outcome integer[], p_after interval[],
  p_reason text[], p_error text[]
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_now timestamptz := COALESCE(p_now, clock_timestamp());
  v_settled bigint[];
  v_keys text[];
  v_notify boolean := false;
BEGIN
  IF p_outcome IS NULL THEN
    ${held("d.position, d.order_key").trim()},
    gone AS (
      DELETE FROM deliveries d WHERE d.subscription_id = p_id AND d.position = ANY (ARRAY(SELECT h.position FROM held h))
    )
    SELECT array_agg(h.position), array_agg(h.order_key) FILTER (WHERE h.order_key IS NOT NULL)
    INTO v_settled, v_keys
    FROM held h;
  ELSE
    ${held("d.position, d.order_key, n.ordinality").trim()},
    gone AS (
      DELETE FROM deliveries d
      WHERE d.subscription_id = p_id
        AND d.position = ANY (ARRAY(SELECT h.position FROM held h WHERE p_outcome[h.ordinality] IN (0, 2)))
      RETURNING d.position, d.order_key, d.attempts
    ),
    parked AS (
      INSERT INTO parked_deliveries (subscription_id, position, order_key, attempts, reason, error, parked_at)
      SELECT p_id, g.position, g.order_key, g.attempts, p_reason[h.ordinality], p_error[h.ordinality], v_now
      FROM gone g
      JOIN held h ON h.position = g.position
      WHERE p_outcome[h.ordinality] = 2
    ),
    waiting AS (
      UPDATE deliveries d SET
        lease = NULL,
        attempts = d.attempts - CASE WHEN p_outcome[h.ordinality] = 3 THEN 1 ELSE 0 END,
        due_at = v_now + COALESCE(p_after[h.ordinality], '0'),
        error = CASE WHEN p_outcome[h.ordinality] = 1 THEN p_error[h.ordinality] ELSE d.error END
      FROM held h
      WHERE d.subscription_id = p_id
        AND d.position = ANY (ARRAY(SELECT w.position FROM held w WHERE p_outcome[w.ordinality] IN (1, 3)))
        AND h.position = d.position
    )
    SELECT
      array_agg(h.position), array_agg(h.order_key) FILTER (WHERE h.order_key IS NOT NULL),
      COALESCE(bool_or(
        p_outcome[h.ordinality] = 3 OR p_outcome[h.ordinality] = 1 AND p_after[h.ordinality] <= '0'
      ), false)
    INTO v_settled, v_keys, v_notify
    FROM held h;
  END IF;

  -- other consumers have to hear of what is for anybody now: what was given back, and what waited behind it
  IF NOT v_notify AND v_keys IS NOT NULL THEN
    v_notify := EXISTS (
      SELECT FROM (SELECT DISTINCT k.order_key FROM unnest(v_keys) AS k(order_key)) k
      CROSS JOIN LATERAL (
        SELECT FROM deliveries d
        WHERE d.subscription_id = p_id
          AND d.order_key IS NOT NULL
          AND (d.order_key, d.position) >= (
            k.order_key, (SELECT s.lowest FROM subscriptions s WHERE s.subscription_id = p_id)
          )
          AND (d.order_key, d.position) <= (k.order_key, 9223372036854775807)
          AND d.due_at <= v_now
        ORDER BY d.order_key DESC, d.position DESC
        LIMIT 1
      ) d
    );
  END IF;
  IF v_notify THEN
    PERFORM pg_notify(current_schema() || '_' || s.log_id, s.name) FROM subscriptions s WHERE s.subscription_id = p_id;
  END IF;
  RETURN CASE
    WHEN cardinality(v_settled) = cardinality(p_position) THEN '{}'
    ELSE ARRAY(
      SELECT n.position FROM unnest(p_position) AS n(position) WHERE n.position <> ALL (COALESCE(v_settled, '{}'))
    )
  END;
END
$$`,

  // Lets leases run from now on; answers the positions that are not held by them.
  `CREATE FUNCTION extend_deliveries(
  p_id integer, p_now timestamptz, p_position bigint[], p_lease bigint[], p_for interval
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_now timestamptz := COALESCE(p_now, clock_timestamp());
  v_extended bigint[];
BEGIN
  ${held("d.position").trim()},
  extended AS (
    UPDATE deliveries d SET due_at = v_now + p_for
    WHERE d.subscription_id = p_id AND d.position = ANY (ARRAY(SELECT h.position FROM held h))
  )
  SELECT array_agg(h.position) INTO v_extended FROM held h;
  RETURN ARRAY(
    SELECT n.position FROM unnest(p_position) AS n(position) WHERE n.position <> ALL (COALESCE(v_extended, '{}'))
  );
END
$$`,

  // Due for ever, by whatever clock the next claim goes.
  `CREATE FUNCTION replay_deliveries(p_id integer, p_position bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_count bigint;
BEGIN
  PERFORM FROM subscriptions s WHERE s.subscription_id = p_id FOR UPDATE;
  WITH gone AS (
    DELETE FROM parked_deliveries p WHERE p.subscription_id = p_id AND p.position = ANY (p_position)
    RETURNING p.position, p.order_key, p.error
  )
  INSERT INTO deliveries (subscription_id, position, order_key, error, due_at)
  SELECT p_id, g.position, g.order_key, g.error, '-infinity' FROM gone g;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count > 0 THEN
    UPDATE subscriptions s SET lowest = LEAST(s.lowest, (SELECT min(n.position) FROM unnest(p_position) AS n(position)))
    WHERE s.subscription_id = p_id;
    PERFORM pg_notify(current_schema() || '_' || s.log_id, s.name) FROM subscriptions s WHERE s.subscription_id = p_id;
  END IF;
  RETURN v_count;
END
$$`,

  `CREATE FUNCTION discard_deliveries(p_id integer, p_position bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_count bigint;
BEGIN
  PERFORM FROM subscriptions s WHERE s.subscription_id = p_id FOR UPDATE;
  DELETE FROM parked_deliveries p WHERE p.subscription_id = p_id AND p.position = ANY (p_position);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count > 0 THEN
    PERFORM pg_notify(current_schema() || '_' || s.log_id, s.name)
    FROM subscriptions s WHERE s.subscription_id = p_id AND s.parked_blocks;
  END IF;
  RETURN v_count;
END
$$`,

  `REVOKE ALL ON FUNCTION create_subscription, lock_subscription, update_subscription, remove_subscription,
  claim_deliveries, settle_deliveries, extend_deliveries, replay_deliveries, discard_deliveries FROM PUBLIC`
]
