/**
 * Events that an operator takes as finished for a subscription. Statements without schema names, as in the migrations before.
 *
 * Frozen once released.
 */
export const statements: ReadonlyArray<string> = [
  // Removes deliveries whatever state they are in; answers how many there were. One of them may be locked for as long as the
  // transaction of a consumer takes that finishes it. That is waited for first, without the lock of the queue: it would stand
  // still. Planned as all that works on queues.
  `CREATE FUNCTION skip_deliveries(p_id integer, p_position bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET enable_bitmapscan TO off
SET enable_nestloop TO off SET enable_mergejoin TO off SET jit TO off AS $$
DECLARE
  v_open bigint;
  v_parked bigint;
BEGIN
  BEGIN
    PERFORM FROM deliveries d
    WHERE d.subscription_id = p_id AND d.position = ANY (p_position) AND d.lease IS NOT NULL
    ORDER BY d.position
    FOR UPDATE;
    RAISE EXCEPTION 'waited long enough' USING ERRCODE = 'ES005';
  EXCEPTION WHEN SQLSTATE 'ES005' THEN
    NULL; -- and what was locked is not any more
  END;
  PERFORM FROM subscriptions s WHERE s.subscription_id = p_id FOR UPDATE;
  PERFORM FROM deliveries d
  WHERE d.subscription_id = p_id AND d.position = ANY (p_position)
  ORDER BY d.position
  FOR UPDATE;
  DELETE FROM deliveries d WHERE d.subscription_id = p_id AND d.position = ANY (p_position);
  GET DIAGNOSTICS v_open = ROW_COUNT;
  DELETE FROM parked_deliveries p WHERE p.subscription_id = p_id AND p.position = ANY (p_position);
  GET DIAGNOSTICS v_parked = ROW_COUNT;
  IF v_open + v_parked > 0 THEN
    -- what waited behind them is for anybody now, and there is room for more
    PERFORM pg_notify(current_schema() || '_' || s.log_id, s.name) FROM subscriptions s WHERE s.subscription_id = p_id;
  END IF;
  RETURN v_open + v_parked;
END
$$`,

  `REVOKE ALL ON FUNCTION skip_deliveries FROM PUBLIC`
]
