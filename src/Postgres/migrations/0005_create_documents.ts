/**
 * What projections keep in the storage: documents and links. Statements without schema names, as in the migrations before.
 *
 * Frozen once released.
 */

import { plans } from "./0003_create_projections.ts"

export const statements: ReadonlyArray<string> = [
  // Without a state it is a key that somebody locked while there was no document.
  `CREATE TABLE documents (
  version_id integer NOT NULL,
  document_key text COLLATE "C" NOT NULL,
  state json,
  CONSTRAINT documents_pkey PRIMARY KEY (version_id, document_key)
) WITH (fillfactor = 80)`,

  // No foreign key to the events: it would lock, and so write to, the row of each event that is linked to. add_links looks
  // for the event, and events are never removed.
  `CREATE TABLE links (
  position bigint NOT NULL,
  version_id integer NOT NULL,
  link_key text COLLATE "C" NOT NULL,
  CONSTRAINT links_pkey PRIMARY KEY (version_id, link_key, position)
)`,

  `CREATE FUNCTION read_documents(p_id integer, p_keys text[]) RETURNS TABLE (document_key text, state json)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  RETURN QUERY
  SELECT n.document_key, d.state
  FROM unnest(p_keys) AS n(document_key)
  CROSS JOIN LATERAL (
    SELECT o.state FROM documents o WHERE o.version_id = p_id AND o.document_key = n.document_key LIMIT 1
  ) d
  WHERE d.state IS NOT NULL;
END
$$`,

  // Nobody else locks or saves the keys until the transaction ends. Rows are locked, and not numbers: a
  // server has room for a few thousand advisory locks only. They are taken in the order of the keys.
  `CREATE FUNCTION lock_documents(p_id integer, p_keys text[]) RETURNS TABLE (document_key text, state json)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  INSERT INTO documents AS d (version_id, document_key)
  SELECT DISTINCT p_id, n.document_key COLLATE "C" FROM unnest(p_keys) AS n(document_key) ORDER BY 2
  -- locks a row that is there, and does not change it
  ON CONFLICT ON CONSTRAINT documents_pkey DO UPDATE SET state = d.state WHERE false;
  -- a statement that begins after the locks
  RETURN QUERY SELECT r.document_key, r.state FROM read_documents(p_id, p_keys) r;
END
$$`,

  // p_removed are keys whose documents go.
  `CREATE FUNCTION save_documents(p_id integer, p_keys text[], p_states text[], p_removed text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  IF p_removed <> '{}' THEN
    DELETE FROM documents d WHERE d.version_id = p_id AND d.document_key = ANY (p_removed);
  END IF;
  INSERT INTO documents AS d (version_id, document_key, state)
  SELECT p_id, n.document_key, n.state::json
  FROM unnest(p_keys, p_states) AS n(document_key, state)
  ORDER BY n.document_key COLLATE "C"
  ON CONFLICT ON CONSTRAINT documents_pkey DO UPDATE SET state = EXCLUDED.state;
END
$$`,

  // Links to what is no event are left out.
  `CREATE FUNCTION add_links(p_log integer, p_id integer, p_keys text[], p_positions bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT${plans} AS $$
BEGIN
  INSERT INTO links (version_id, link_key, position)
  SELECT p_id, n.link_key, e.position
  FROM unnest(p_keys, p_positions) AS n(link_key, position)
  CROSS JOIN LATERAL (
    SELECT v.position FROM events v WHERE v.log_id = p_log AND v.position = n.position LIMIT 1
  ) e
  ORDER BY n.link_key COLLATE "C", n.position
  ON CONFLICT DO NOTHING;
END
$$`,

  `REVOKE ALL ON FUNCTION read_documents, lock_documents, save_documents, add_links FROM PUBLIC`
]
