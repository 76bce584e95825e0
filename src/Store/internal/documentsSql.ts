import type { DocumentChange } from "../ProjectionStorage.ts"
import type { Statement, Values } from "./eventsSql.ts"
import { inKeyRange, type KeyRange } from "./keyRange.ts"

/** Documents of one version: a probe of documents_pkey for each key. */
export const readDocuments = (schema: string, id: number, keys: ReadonlyArray<string>): Statement => ({
  text: `
      SELECT d.document_key, d.state::text FROM ${schema}.read_documents($1::int4, $2::text[]) d`,
  params: [id, keys]
})

/** The same, and nobody else locks or saves these keys until the transaction ends. */
export const lockDocuments = (schema: string, id: number, keys: ReadonlyArray<string>): Statement => ({
  text: `
      SELECT d.document_key, d.state::text FROM ${schema}.lock_documents($1::int4, $2::text[]) d`,
  params: [id, keys]
})

/** The rows of {@link readDocuments} and {@link lockDocuments}. */
export const toDocuments = (rows: ReadonlyArray<Values>): ReadonlyMap<string, string> =>
  new Map(rows.map(([key, state]) => [key, state]))

/** Of several changes of one key the last one counts. */
export const saveDocuments = (schema: string, id: number, changes: ReadonlyArray<DocumentChange>): Statement => {
  const last = new Map(changes.map(({ key, state }) => [key, state]))
  const saved = [...last].filter((change): change is [string, string] => change[1] !== null)
  return {
    text: `
      SELECT ${schema}.save_documents($1::int4, $2::text[], $3::text[], $4::text[])`,
    params: [
      id,
      saved.map(([key]) => key),
      saved.map(([, state]) => state),
      [...last].flatMap(([key, state]) => state === null ? [key] : [])
    ]
  }
}

/**
 * Documents of the live version. One statement, so that the version and its documents are of one moment: read_documents is
 * STABLE, and sees what the statement sees.
 */
export const liveDocuments = (schema: string, log: number, name: string, keys: ReadonlyArray<string>): Statement => ({
  text: `
      SELECT v.version_id, v.version, d.document_key, d.state::text
      FROM ${schema}.projections n
      JOIN ${schema}.projection_versions v ON v.version_id = n.live_id
      LEFT JOIN LATERAL ${schema}.read_documents(v.version_id, $3::text[]) d ON true
      WHERE n.log_id = $1::int4 AND n.name = $2::text`,
  params: [log, name, keys]
})

/** The rows of {@link liveDocuments}; none where there is no such projection. */
export const toLiveDocuments = (rows: ReadonlyArray<Values>) =>
  rows[0] === undefined ? undefined : {
    id: rows[0][0] as number,
    version: rows[0][1] as number,
    found: new Map<string, string>(rows.flatMap((row) => row[2] === null ? [] : [[row[2], row[3]]]))
  }

/** A page of documents by key: a range of documents_pkey. */
export const documentsPage = (
  schema: string,
  id: number,
  range: KeyRange & { readonly limit: number }
): Statement => {
  const keys = inKeyRange("d.document_key", range, [id, BigInt(range.limit)])
  return {
    text: `
      SELECT d.document_key::text, d.state::text
      FROM ${schema}.documents d
      WHERE d.version_id = $1::int4 AND ${keys.condition} AND d.state IS NOT NULL
      ORDER BY d.document_key
      LIMIT $2::int8`,
    params: keys.params
  }
}
