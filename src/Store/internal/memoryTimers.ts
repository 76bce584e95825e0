import type { Timer } from "../ProjectionStorage.ts"
import { MemoryMap } from "./memoryMap.ts"
import type { Transaction } from "./memoryTransaction.ts"

/** The timers of one owner, by key and name. */
export class MemoryTimers {
  private readonly timers = new MemoryMap<string, Timer>()

  set(transaction: Transaction | undefined, timer: Timer): void {
    this.timers.set(transaction, nameOf(timer), timer)
  }

  remove(transaction: Transaction | undefined, timer: { readonly key: string; readonly name: string }): void {
    this.timers.set(transaction, nameOf(timer), undefined)
  }

  clear(transaction: Transaction | undefined, key: string): void {
    for (const timer of this.sorted(transaction)) {
      if (timer.key === key) this.remove(transaction, timer)
    }
  }

  /** Removes one if it is the one that was seen. */
  take(transaction: Transaction | undefined, timer: Timer): boolean {
    if (this.timers.get(transaction, nameOf(timer))?.id !== timer.id) return false
    this.remove(transaction, timer)
    return true
  }

  /** By time. */
  sorted(transaction: Transaction | undefined): ReadonlyArray<Timer> {
    return Array.from(this.timers.entries(transaction), ([, timer]) => timer).sort((a, b) => a.at - b.at || a.id - b.id)
  }
}

const nameOf = ({ key, name }: { readonly key: string; readonly name: string }): string => `${name}\0${key}`
