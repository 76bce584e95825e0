import type { PageRange } from "../LogStorage.ts"
import type { ProjectionLink } from "../ProjectionStorage.ts"
import { isVisible, pageColumns, type Statement } from "./eventsSql.ts"
import { inKeyRange, type KeyRange } from "./keyRange.ts"

export const addLinks = (
  schema: string,
  log: number,
  id: number,
  links: ReadonlyArray<{ readonly key: string; readonly position: number }>
): Statement => ({
  text: `
      SELECT ${schema}.add_links($1::int4, $2::int4, $3::text[], $4::text[]::int8[])`,
  params: [log, id, links.map(({ key }) => key), links.map(({ position }) => String(position))]
})

/**
 * A page of the events that a key links to, without what is large: a range of links_pkey, with a probe of events_pkey for
 * each, until there are enough that are not hidden.
 */
export const linksPage = (
  schema: string,
  log: number,
  id: number,
  key: string,
  { direction, from, limit, to }: PageRange
): Statement => {
  const forward = direction === "forward"
  const order = forward ? "ASC" : "DESC"
  return {
    text: `
      SELECT ${pageColumns}
      FROM ${schema}.links l
      CROSS JOIN LATERAL (
        SELECT e.* FROM ${schema}.events e WHERE e.log_id = $1::int4 AND e.position = l.position AND ${
      isVisible(schema)
    }
        LIMIT 1
      ) e
      WHERE l.version_id = $2::int4
        AND l.link_key = $3::text
        AND l.position ${forward ? ">=" : "<="} $4::int8
        AND l.position ${forward ? "<=" : ">="} $5::int8
      ORDER BY l.version_id ${order}, l.link_key ${order}, l.position ${order}
      LIMIT $6::int8`,
    params: [log, id, key, BigInt(from), BigInt(to), BigInt(limit)]
  }
}

/** A page of the links to events that are not hidden: a range of links_pkey, with a probe of events_pkey for each. */
export const visibleLinks = (
  schema: string,
  log: number,
  id: number,
  { after, limit }: { readonly after: ProjectionLink | undefined; readonly limit: number }
): Statement => ({
  text: `
      SELECT l.link_key::text, l.position::float8
      FROM ${schema}.links l
      CROSS JOIN LATERAL (
        SELECT e.position FROM ${schema}.events e WHERE e.log_id = $1::int4 AND e.position = l.position AND ${
    isVisible(schema)
  }
        LIMIT 1
      ) e
      WHERE l.version_id = $2::int4 AND (l.link_key, l.position) > ($3::text, $4::int8)
      ORDER BY l.version_id, l.link_key, l.position
      LIMIT $5::int8`,
  params: [log, id, after?.key ?? "", BigInt(after?.position ?? 0), BigInt(limit)]
})

/** A page of keys with how many links they have: a range of links_pkey, which is counted. */
export const linkKeys = (schema: string, id: number, range: KeyRange & { readonly limit: number }): Statement => {
  const keys = inKeyRange("l.link_key", range, [id, BigInt(range.limit)])
  return {
    text: `
      SELECT l.link_key::text, count(*)::float8
      FROM ${schema}.links l
      WHERE l.version_id = $1::int4 AND ${keys.condition}
      GROUP BY l.link_key
      ORDER BY l.link_key
      LIMIT $2::int8`,
    params: keys.params
  }
}
