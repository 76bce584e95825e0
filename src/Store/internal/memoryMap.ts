import { compare } from "../../Stream/StreamId.ts"
import { firstAfter } from "./memoryPage.ts"
import type { Drafted, Transaction } from "./memoryTransaction.ts"

/** Entries that transactions change for themselves until they end. Values are never changed, only replaced. */
export class MemoryMap<K, V> implements Drafted<Map<K, V | undefined>> {
  private readonly stored = new Map<K, V>()
  /** Keys in code point order, made when somebody asks for them. */
  private sorted: Array<K> | undefined

  get(transaction: Transaction | undefined, key: K): V | undefined {
    for (let one = transaction; one !== undefined; one = one.outer) {
      const draft = one.draft(this)
      if (draft?.has(key) === true) return draft.get(key)
    }
    return this.stored.get(key)
  }

  /** `undefined` removes it. */
  set(transaction: Transaction | undefined, key: K, value: V | undefined): void {
    if (transaction !== undefined) transaction.openDraft(this).set(key, value)
    else if (value === undefined) {
      if (this.stored.delete(key)) this.sorted = undefined
    } else {
      if (!this.stored.has(key)) this.sorted = undefined
      this.stored.set(key, value)
    }
  }

  /** All entries as a transaction sees them, in no order. */
  entries(transaction: Transaction | undefined): Iterable<readonly [K, V]> {
    if (transaction === undefined) return this.stored
    const seen = new Map<K, V>(this.stored)
    for (const draft of this.draftsOf(transaction)) {
      for (const [key, value] of draft) {
        if (value === undefined) seen.delete(key)
        else seen.set(key, value)
      }
    }
    return seen
  }

  /** Removes all that is stored. */
  clear(): void {
    this.stored.clear()
    this.sorted = undefined
  }

  /** Entries behind a key whose keys begin with a prefix, in code point order. */
  page(
    this: MemoryMap<string, V>,
    transaction: Transaction | undefined,
    { after, limit, prefix }: { readonly prefix: string; readonly after: string; readonly limit: number }
  ): ReadonlyArray<readonly [string, V]> {
    const found: Array<readonly [string, V]> = []
    const keys = this.keysOf(transaction)
    const isBefore = compare(after, prefix) < 0
    // one back: the prefix itself may be a key
    for (let i = Math.max(0, isBefore ? firstAfter(keys, prefix) - 1 : firstAfter(keys, after)); i < keys.length; i++) {
      const key = keys[i]!
      if (found.length >= limit || !key.startsWith(prefix) && compare(key, prefix) > 0) break
      if (key.startsWith(prefix)) found.push([key, this.get(transaction, key)!])
    }
    return found
  }

  private keysOf(this: MemoryMap<string, V>, transaction: Transaction | undefined): ReadonlyArray<string> {
    const isChanged = transaction !== undefined && this.draftsOf(transaction).length > 0
    if (isChanged) return Array.from(this.entries(transaction), ([key]) => key).sort(compare)
    return this.sorted ??= [...this.stored.keys()].sort(compare)
  }

  /** What transactions changed, from the outermost to the innermost. */
  private draftsOf(transaction: Transaction): ReadonlyArray<Map<K, V | undefined>> {
    const drafts: Array<Map<K, V | undefined>> = []
    for (let one: Transaction | undefined = transaction; one !== undefined; one = one.outer) {
      const draft = one.draft(this)
      if (draft !== undefined) drafts.unshift(draft)
    }
    return drafts
  }

  emptyDraft = (): Map<K, V | undefined> => new Map()

  settleDraft = (draft: Map<K, V | undefined>, outer: Transaction | undefined): void => {
    for (const [key, value] of draft) this.set(outer, key, value)
  }
}
