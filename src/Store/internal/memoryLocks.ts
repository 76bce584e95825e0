import { Effect } from "effect"
import { StoreError } from "../StoreError.ts"
import { type Transaction, transactionEnded } from "./memoryTransaction.ts"

/**
 * Locks by name that transactions hold until they end. Who wants one that another transaction holds waits for it, and is
 * refused where that other one waits for what it holds itself.
 */
export class MemoryLocks {
  private readonly holders = new Map<string, Transaction>()
  private readonly held = new Map<Transaction, Set<string>>()
  /** What is called when a lock is given back. */
  private readonly waiting = new Map<string, Set<() => void>>()
  /** What transactions wait for. */
  private readonly wanted = new Map<Transaction, Array<string>>()

  /** Whether somebody else than a transaction holds a lock. */
  isHeld(name: string, transaction: Transaction | undefined): boolean {
    if (this.holders.size === 0) return false
    const holder = this.holders.get(name)
    return holder !== undefined && holder !== transaction?.root
  }

  /** Whether who wants a lock would have to wait for somebody else who holds it, or waits for it already. */
  isTaken(name: string, transaction: Transaction | undefined): boolean {
    return this.isHeld(name, transaction) ||
      (this.waiting.get(name)?.size ?? 0) > 0 && this.holders.get(name) !== transaction?.root
  }

  /**
   * Runs something, in one piece with the moment when a transaction holds locks. Without a transaction that is when all of
   * them are free.
   */
  run<A, E, R>(
    operation: string,
    transaction: Transaction | undefined,
    names: ReadonlyArray<string>,
    effect: () => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | StoreError, R> {
    // taken in one order, so that few have to be refused
    const sorted = names.length > 1 ? [...names].sort() : names
    const attempt: Effect.Effect<A, E | StoreError, R> = Effect.suspend(() => {
      if (transaction?.isOver === true) return Effect.fail(transactionEnded(operation))
      for (const name of sorted) {
        if (this.isHeld(name, transaction)) return Effect.andThen(this.wait(operation, transaction, name), attempt)
        if (transaction !== undefined) this.take(transaction.root, name)
      }
      return effect()
    })
    return attempt
  }

  /** Runs something as soon as nobody else holds a lock, and does not take it. */
  whenFree<A, E, R>(
    operation: string,
    transaction: Transaction | undefined,
    name: string,
    effect: () => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | StoreError, R> {
    return this.isHeld(name, transaction)
      ? Effect.flatMap(
        this.wait(operation, transaction, name),
        () => this.whenFree(operation, transaction, name, effect)
      )
      : effect()
  }

  /** Gives back what a transaction holds. */
  release(root: Transaction): void {
    const held = this.held.get(root)
    if (held === undefined) return
    this.held.delete(root)
    for (const name of held) {
      this.holders.delete(name)
      const waiting = this.waiting.get(name)
      this.waiting.delete(name)
      for (const wake of waiting ?? []) wake()
    }
  }

  private take(root: Transaction, name: string): void {
    this.holders.set(name, root)
    const held = this.held.get(root)
    if (held === undefined) this.held.set(root, new Set([name]))
    else held.add(name)
  }

  private wait(
    operation: string,
    transaction: Transaction | undefined,
    name: string
  ): Effect.Effect<void, StoreError> {
    const root = transaction?.root
    return Effect.suspend(() => {
      if (root !== undefined && this.waitsFor(this.holders.get(name), root)) return Effect.fail(deadlock(operation))
      return Effect.callback<void>((resume) => {
        // given back before this began to wait
        if (!this.isHeld(name, transaction)) return resume(Effect.void)
        const wake = () => {
          forget()
          resume(Effect.void)
        }
        const waiting = this.waiting.get(name) ?? new Set()
        this.waiting.set(name, waiting.add(wake))
        const wanted = root === undefined ? undefined : this.wanted.get(root) ?? []
        if (wanted !== undefined) {
          wanted.push(name)
          this.wanted.set(root!, wanted)
        }
        const forget = () => {
          waiting.delete(wake)
          if (wanted === undefined) return
          wanted.splice(wanted.indexOf(name), 1)
          if (wanted.length === 0) this.wanted.delete(root!)
        }
        return Effect.sync(forget)
      })
    })
  }

  /** Whether a transaction waits for another one, be it through others. */
  private waitsFor(transaction: Transaction | undefined, other: Transaction): boolean {
    if (transaction === undefined) return false
    if (transaction === other) return true
    return (this.wanted.get(transaction) ?? []).some((name) => this.waitsFor(this.holders.get(name), other))
  }
}

/** Two transactions wait for one another: one of them has to begin again. */
const deadlock = (operation: string) =>
  new StoreError({
    operation,
    isRetryable: true,
    outcome: "not-stored",
    cause: new Error("another transaction waits for what this one holds, and holds what this one wants")
  })
