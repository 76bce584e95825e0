/**
 * Durable timers of process managers. Statements without schema names, as in the migrations before.
 *
 * Frozen once released.
 */
export const statements: ReadonlyArray<string> = [
  // The id is another one each time that a timer is set, and needs no index: a timer is found by its name.
  `CREATE TABLE timers (
  timer_id bigint GENERATED ALWAYS AS IDENTITY,
  due_at timestamptz NOT NULL,
  log_id integer NOT NULL,
  owner text COLLATE "C" NOT NULL,
  timer_key text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  CONSTRAINT timers_pkey PRIMARY KEY (log_id, owner, timer_key, name)
)`,

  // By a number for the owner: an index by its name would be as good as timers_pkey for who looks for a timer, as long as the
  // table is empty.
  `CREATE INDEX timers_due_idx ON timers (hashtext(owner), log_id, due_at, timer_id)`,

  // A time that is NULL cancels. Taken in the order of keys and names, so that two transactions do not wait for each other.
  `CREATE FUNCTION change_timers(p_log integer, p_owner text, p_key text[], p_name text[], p_at timestamptz[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET enable_hashjoin TO off SET enable_mergejoin TO off
AS $$
DECLARE
  v_timer record;
BEGIN
  FOR v_timer IN
    SELECT n.timer_key, n.name, n.at FROM unnest(p_key, p_name, p_at) AS n(timer_key, name, at)
    ORDER BY n.timer_key COLLATE "C", n.name COLLATE "C"
  LOOP
    DELETE FROM timers t
    WHERE t.log_id = p_log AND t.owner = p_owner AND t.timer_key = v_timer.timer_key AND t.name = v_timer.name;
    IF v_timer.at IS NOT NULL THEN
      INSERT INTO timers AS t (log_id, owner, timer_key, name, due_at)
      VALUES (p_log, p_owner, v_timer.timer_key, v_timer.name, v_timer.at)
      -- another transaction set it meanwhile
      ON CONFLICT ON CONSTRAINT timers_pkey DO UPDATE SET timer_id = DEFAULT, due_at = EXCLUDED.due_at;
    END IF;
  END LOOP;
END
$$`,

  `CREATE FUNCTION clear_timers(p_log integer, p_owner text, p_key text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off
AS $$
BEGIN
  DELETE FROM timers t WHERE t.log_id = p_log AND t.owner = p_owner AND t.timer_key = p_key;
END
$$`,

  // Whether it was still there.
  `CREATE FUNCTION take_timer(p_log integer, p_owner text, p_key text, p_name text, p_id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
  SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off
AS $$
BEGIN
  DELETE FROM timers t
  WHERE t.log_id = p_log AND t.owner = p_owner AND t.timer_key = p_key AND t.name = p_name AND t.timer_id = p_id;
  RETURN FOUND;
END
$$`,

  `REVOKE ALL ON FUNCTION change_timers, clear_timers, take_timer FROM PUBLIC`
]
