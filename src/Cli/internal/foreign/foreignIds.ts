/**
 * Which event ids were seen: 64 bits of each, in 16 to 32 bytes. That two ids are taken for one is as good as impossible, and no
 * harm is done where they are: the second is given another one.
 */
export class SeenIds {
  private table = new Uint32Array(2 * 1024)
  private size = 0

  /** Whether an id, a UUID, was not there before. */
  add(id: string): boolean {
    if (4 * ++this.size > this.table.length) this.grow()
    const isNew = put(this.table, ...hashOf(id))
    if (!isNew) this.size--
    return isNew
  }

  private grow(): void {
    const table = new Uint32Array(this.table.length * 2)
    for (let i = 0; i < this.table.length; i += 2) {
      const [high, low] = [this.table[i]!, this.table[i + 1]!]
      if (high !== 0) put(table, high, low)
    }
    this.table = table
  }
}

/** Open addressing: at most half of the places are taken. */
const put = (table: Uint32Array, high: number, low: number): boolean => {
  const mask = table.length / 2 - 1
  for (let place = low & mask;; place = (place + 1) & mask) {
    const at = 2 * place
    if (table[at] === 0) {
      table[at] = high
      table[at + 1] = low
      return true
    }
    if (table[at] === high && table[at + 1] === low) return false
  }
}

/** Two words, the first never 0, that differ much where ids differ little: ids may be counted. */
const hashOf = (id: string): readonly [high: number, low: number] => {
  let [high, low] = [0x9747b28c, 0x165667b1]
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    high = Math.imul(high ^ unit, 0x01000193)
    low = Math.imul(low ^ unit, 0x85ebca6b)
    low = (low << 13) | (low >>> 19)
  }
  return [mixed(high ^ (low >>> 7)) || 1, mixed(low)]
}

const mixed = (word: number): number => {
  let mixed = word ^ (word >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
