/** How deep a JSON text is nested, at most. Brackets in its strings do not count. */
export const nesting = (text: string): number => {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit === 0x5b || unit === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (unit === 0x5d || unit === 0x7d) depth--
    else if (unit === 0x22) {
      i = endOfString(text, i)
      if (i < 0) return deepest
    }
  }
  return deepest
}

/** Where the string ends that begins at a place; -1 where it does not. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf("\"", start + 1); end >= 0; end = text.indexOf("\"", end + 1)) {
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === 0x5c) escapes++
    if (escapes % 2 === 0) return end
  }
  return -1
}

/**
 * Whether a JSON text is nested deeper than that. Short ones need no look: an array or object takes two characters.
 */
export const isDeeper = (text: string, depth: number): boolean => text.length > 2 * depth && nesting(text) > depth
