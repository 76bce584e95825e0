/**
 * The partition of a key: the same in every process and every release, since what is kept of a key stays with its partition.
 * FNV-1a over UTF-16 code units, and the last step of MurmurHash3, so that keys that differ in their end spread as well.
 */
export const partitionOf = (key: string, of: number): number => {
  if (of === 1) return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) % of
}
