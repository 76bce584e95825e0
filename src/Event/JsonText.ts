/**
 * What a JSON text may hold so that every storage can keep it.
 *
 * @since 0.1.0
 */

/**
 * Tells whether a text made by `JSON.stringify` holds a NUL character or a lone surrogate: Postgres can store neither in
 * a text of its own, and both tend to break whatever reads them later. `JSON.stringify` writes them as escapes and no
 * other way, and most texts have no such escape at all.
 *
 * @category guards
 * @since 0.1.0
 */
export const hasForbiddenEscape = (json: string): boolean => json.includes("\\u") && forbidden.test(json)

const forbidden = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/
