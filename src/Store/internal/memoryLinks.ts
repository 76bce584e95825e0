import type { ProjectionLink } from "../ProjectionStorage.ts"
import { MemoryMap } from "./memoryMap.ts"
import type { Drafted, Transaction } from "./memoryTransaction.ts"

/** Links from keys to positions, as the transactions that add some see them. */
export class MemoryLinks implements Drafted<Map<string, Set<number>>> {
  private readonly stored = new MemoryMap<string, Links>()

  add(transaction: Transaction | undefined, key: string, position: number): void {
    if (transaction === undefined) return this.store(key, position)
    const draft = transaction.openDraft(this)
    const added = draft.get(key)
    if (added === undefined) draft.set(key, new Set([position]))
    else added.add(position)
  }

  private store(key: string, position: number): void {
    let links = this.stored.get(undefined, key)
    if (links === undefined) this.stored.set(undefined, key, links = { positions: [], known: new Set() })
    if (links.known.has(position)) return
    links.known.add(position)
    // nearly always the last one: projections move forward
    let i = links.positions.length
    while (i > 0 && links.positions[i - 1]! > position) i--
    links.positions.splice(i, 0, position)
  }

  /** Ascending. */
  positions(transaction: Transaction | undefined, key: string): ReadonlyArray<number> {
    const stored = this.stored.get(undefined, key)?.positions ?? []
    const added = new Set<number>()
    for (let one = transaction; one !== undefined; one = one.outer) {
      for (const position of one.draft(this)?.get(key) ?? []) added.add(position)
    }
    return added.size === 0 ? stored : [...new Set([...stored, ...added])].sort((a, b) => a - b)
  }

  keys(
    transaction: Transaction | undefined,
    options: { readonly prefix: string; readonly after: string; readonly limit: number }
  ): ReadonlyArray<{ readonly key: string; readonly count: number }> {
    const added = new Set<string>()
    for (let one = transaction; one !== undefined; one = one.outer) {
      for (const key of one.draft(this)?.keys() ?? []) added.add(key)
    }
    return this.keysWith(added, options).map((key) => ({ key, count: this.positions(transaction, key).length }))
  }

  /** Links in code point order of their keys, those of a key in the order of positions. */
  list(
    transaction: Transaction | undefined,
    { after, isVisible, limit }: {
      readonly after: ProjectionLink | undefined
      readonly limit: number
      readonly isVisible: (position: number) => boolean
    }
  ): ReadonlyArray<ProjectionLink> {
    const found: Array<ProjectionLink> = []
    const add = (key: string, behind: number) => {
      for (const position of this.positions(transaction, key)) {
        if (found.length >= limit) return
        if (position > behind && isVisible(position)) found.push({ key, position })
      }
    }
    if (after !== undefined) add(after.key, after.position)
    let last = after?.key ?? ""
    while (found.length < limit) {
      const page = this.keys(transaction, { prefix: "", after: last, limit: keysAtATime })
      for (const { key } of page) add(key, 0)
      if (page.length < keysAtATime) break
      last = page[page.length - 1]!.key
    }
    return found
  }

  private keysWith(
    added: ReadonlySet<string>,
    options: { readonly prefix: string; readonly after: string; readonly limit: number }
  ): ReadonlyArray<string> {
    if (added.size === 0) return this.stored.page(undefined, options).map(([key]) => key)
    const all = new MemoryMap<string, true>()
    for (const [key] of this.stored.entries(undefined)) all.set(undefined, key, true)
    for (const key of added) all.set(undefined, key, true)
    return all.page(undefined, options).map(([key]) => key)
  }

  clear(): void {
    this.stored.clear()
  }

  emptyDraft = (): Map<string, Set<number>> => new Map()

  settleDraft = (draft: Map<string, Set<number>>, outer: Transaction | undefined): void => {
    for (const [key, positions] of draft) {
      for (const position of positions) this.add(outer, key, position)
    }
  }
}

/** Keys that are looked at together. */
const keysAtATime = 1000

interface Links {
  readonly positions: Array<number>
  readonly known: Set<number>
}
