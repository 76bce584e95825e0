/**
 * What happens to versions of projections as a whole: they are set up, completed, paused, switched, dropped, and applied by
 * appends. Statements without schema names, and the order of locks, as in the migration before.
 *
 * Frozen once released.
 */
import { inlineSetting } from "./0001_create_events.ts"
import { nameLock, plans, readCommitted } from "./0003_create_projections.ts"

/** What a schema of tables says of itself, so that nothing else is ever dropped; of a version `v`. */
const tablesMark =
  `format('version %s of projection %s: event store %s, log %s', v.version, v.name, current_schema(), v.log_id)`

/** What appends that apply a version share, and whoever makes it applied has for himself. */
const inlineLock = (id: string) => `hashtextextended(current_schema() || '/inline/' || ${id}, 0)`

export const statements: ReadonlyArray<string> = [
  // Keeps others from setting up, completing, resetting or dropping a version until the transaction ends.
  `CREATE FUNCTION work_lock(p_id integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/version/' || p_id, 0))
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

  // What was wanted to be live before somebody decided otherwise is wanted no more.
  `CREATE FUNCTION forget_wishes(p_version projection_versions) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  UPDATE projection_versions v SET is_switch_wanted = false
  WHERE v.log_id = p_version.log_id AND v.name = p_version.name AND v.is_switch_wanted
$$`,

  // Makes a version live that is locked together with the live one.
  `CREATE FUNCTION make_live(p_version projection_versions) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_live projection_versions;
BEGIN
  PERFORM forget_wishes(p_version);
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

  // Removes the schema of a version, with the rights of the caller. False where it is there and not its own. Who reads several
  // of its tables must neither wait long nor be the victim of a deadlock: so this gives up sooner than that is looked for, and
  // is tried again.
  `CREATE FUNCTION drop_tables(p_id integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT SET client_min_messages TO warning AS $$
DECLARE
  v projection_versions;
  v_schema oid;
  v_timeout text := current_setting('lock_timeout');
BEGIN
  SELECT * INTO v FROM projection_versions o WHERE o.version_id = p_id;
  SELECT s.oid INTO v_schema FROM pg_namespace s WHERE s.nspname = v.schema_name;
  IF v_schema IS NULL THEN
    RETURN true;
  END IF;
  IF obj_description(v_schema, 'pg_namespace') IS DISTINCT FROM ${tablesMark} THEN
    RETURN false;
  END IF;
  PERFORM set_config('lock_timeout', '300ms', true);
  EXECUTE format('DROP SCHEMA %I CASCADE', v.schema_name);
  PERFORM set_config('lock_timeout', v_timeout, true);
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

  // Whether the indexes of a version can be made: 'open', else 'done', or 'early' where it has not caught up.
  `CREATE FUNCTION begin_indexing(p_id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_indexed boolean;
BEGIN
  ${readCommitted}
  PERFORM work_lock(p_id);
  SELECT v.is_indexed INTO v_indexed FROM projection_versions v WHERE v.version_id = p_id;
  RETURN CASE
    WHEN v_indexed THEN 'done'
    WHEN v_indexed IS NULL OR has_to_catch_up(p_id) THEN 'early'
    ELSE 'open'
  END;
END
$$`,

  `CREATE FUNCTION finish_indexing(p_id integer) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  UPDATE projection_versions v SET is_indexed = true WHERE v.version_id = p_id
$$`,

  `CREATE FUNCTION has_to_catch_up(p_id integer) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT EXISTS (SELECT FROM projection_partitions p WHERE p.version_id = p_id AND NOT p.is_caught_up)
$$`,

  // What is ready is made live by who asks for it: a runner that is late must not undo what an operator did since.
  `CREATE FUNCTION may_switch(p_version projection_versions) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  RETURN p_version.stage = 'building' OR p_version.is_switch_wanted OR is_live(p_version);
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
  v_switching boolean;
  v_applies boolean;
BEGIN
  ${readCommitted}
  PERFORM work_lock(p_id);
  SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id;
  v_switching := may_switch(v_version) AND p_switching;
  v_applies := v_switching AND v_version.is_inline;
  IF v_applies THEN
    -- transactions that applied it before it was paused hold what its effect wants, and want the lock of the log
    PERFORM pg_advisory_xact_lock(${inlineLock("p_id")});
    PERFORM lock_partitions(p_id, true);
    SELECT * INTO v_version FROM projection_versions v WHERE v.version_id = p_id;
    v_switching := may_switch(v_version);
    v_applies := v_switching;
  END IF;
  IF v_version.stage = 'ready'
    AND (is_live(v_version) OR NOT v_switching)
    AND (v_version.activation IS NOT NULL OR NOT v_applies)
  THEN
    verdict := 'done';
  ELSIF v_version.version_id IS NULL
    OR has_to_catch_up(p_id)
    OR v_applies AND v_version.status <> 'running'
    OR v_switching AND NOT v_applies AND is_behind_live(v_version)
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
  IF v_version.version_id IS NULL
    OR p_switching AND (NOT may_switch(v_version) OR NOT v_version.is_inline AND is_behind_live(v_version))
  THEN
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

  // Readers have no other version to be given, and nobody is to work on this one.
  `CREATE FUNCTION is_abandoned(p_version projection_versions) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  RETURN p_version.status <> 'running' AND NOT EXISTS (
    SELECT FROM projection_versions v
    WHERE v.log_id = p_version.log_id AND v.name = p_version.name AND v.version <> p_version.version
  );
END
$$`,

  // Answers 'paused', NULL where there is no such version. Held, it is paused for what comes next, 'reset' or 'drop', and
  // no longer than that; 'live' where it must not be dropped.
  `CREATE FUNCTION pause_projection(p_id integer, p_held_for text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
BEGIN
  IF v_version.version_id IS NULL THEN
    RETURN NULL;
  END IF;
  IF p_held_for = 'drop' AND is_live(v_version) AND NOT is_abandoned(v_version) THEN
    RETURN 'live';
  END IF;
  PERFORM deactivate_version(v_version);
  UPDATE projection_versions v SET
    status = 'paused', is_held = p_held_for IS NOT NULL AND (v.is_held OR v.status <> 'paused')
  WHERE v.version_id = p_id;
  PERFORM fence_version(v_version, true);
  RETURN 'paused';
END
$$`,

  // What was held for something that did not come about goes on.
  `CREATE FUNCTION let_go(p_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
BEGIN
  IF v_version.is_held THEN
    UPDATE projection_versions v SET status = 'running', is_held = false WHERE v.version_id = p_id;
    PERFORM fence_version(v_version, false);
  END IF;
END
$$`,

  `CREATE FUNCTION resume_projection(p_id integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_version projection_versions := lock_version(p_id, false);
BEGIN
  IF v_version.status <> 'running' THEN
    UPDATE projection_versions v SET status = 'running', is_held = false WHERE v.version_id = p_id;
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

  // Of a version that is held, and then goes on; who paused it meanwhile, or before, finds it paused.
  `CREATE FUNCTION reset_projection(p_id integer) RETURNS boolean
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
    stage = 'building', status = CASE WHEN v.status = 'paused' AND NOT v.is_held THEN 'paused' ELSE 'running' END,
    is_held = false, is_set_up = false, is_indexed = false, is_switch_wanted = false,
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
    PERFORM forget_wishes(v_version);
    RETURN 'switched';
  ELSIF v_version.stage = 'building' OR NOT v_version.is_inline AND is_behind_live(v_version) THEN
    RETURN 'behind';
  ELSIF v_version.is_inline THEN
    PERFORM forget_wishes(v_version);
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
  PERFORM pg_advisory_xact_lock(${nameLock("v.log_id", "v.name")}) FROM projection_versions v WHERE v.version_id = p_id;
  PERFORM empty_version(p_id);
  v_version := lock_version(p_id, false);
  IF v_version.version_id IS NULL THEN
    RETURN 'unknown';
  END IF;
  IF is_live(v_version) AND NOT is_abandoned(v_version) THEN
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
  DELETE FROM projections n WHERE n.log_id = v_version.log_id AND n.name = v_version.name AND n.live_id = p_id;
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

  // Takes the streams of appends that apply inline projections, in one order for all, or those that nobody else holds; answers
  // which of the versions are applied, and notes them for the transaction. All these locks have a name space apart from that of
  // the log.
  `CREATE FUNCTION begin_inline(
  p_log integer, p_ids integer[], p_streams text[], p_is_waiting boolean, OUT applied integer[], OUT held text[]
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
DECLARE
  v_setting text := ${inlineSetting("p_log")};
  v_lock bigint;
  v_streams text[];
  v_applied json;
BEGIN
  ${readCommitted}
  held := '{}';
  FOR v_lock, v_streams IN
    SELECT hashtextextended(current_schema() || '/' || p_log || '/stream/' || n.stream_id, 0) AS lock,
      array_agg(n.stream_id)
    FROM unnest(p_streams) AS n(stream_id)
    GROUP BY lock
    ORDER BY lock
  LOOP
    IF p_is_waiting THEN
      PERFORM pg_advisory_xact_lock(v_lock);
    ELSIF NOT pg_try_advisory_xact_lock(v_lock) THEN
      held := held || v_streams;
    END IF;
  END LOOP;
  -- statements from here on take their snapshots after the locks
  SELECT array_agg(v.version_id), json_agg(v.version_id || '.' || v.activation) INTO applied, v_applied
  FROM projection_versions v
  WHERE v.log_id = p_log AND v.version_id = ANY (p_ids) AND v.activation IS NOT NULL;
  IF applied IS NULL THEN
    applied := '{}';
    RETURN;
  END IF;
  FOR v_lock IN SELECT ${inlineLock("n.id")} FROM unnest(applied) AS n(id) ORDER BY n.id LOOP
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
END
$$`,

  `REVOKE ALL ON FUNCTION work_lock, move_to_head, publish_inline, deactivate_version, make_live, version_progress,
  is_behind_live, begin_set_up, drop_tables, finish_set_up, begin_indexing, finish_indexing, has_to_catch_up, forget_wishes,
  let_go, may_switch, begin_completion, finish_completion, is_abandoned,
  pause_projection, resume_projection, empty_version, reset_projection, repartition_projection, switch_projection,
  roll_back_projection, drop_projection, replay_parked, discard_parked, begin_inline FROM PUBLIC`
]
