import { Semaphore } from "effect"
import type { StoredEvent } from "../../Stream/StoredEvent.ts"
import type { AppendCommand } from "../LogStorage.ts"
import { StoreError } from "../StoreError.ts"

/** What happens together with the end of a transaction, or keeps it from being stored. */
export interface Ending {
  readonly isPossible: (now: number) => boolean
  readonly run: (now: number) => void
}

/** A part of the storage that a transaction changes for itself until it ends: `D` is what it has changed so far. */
export interface Drafted<D> {
  readonly emptyDraft: () => D
  /** Hands a draft to that of the transaction around it, or stores it where there is none. */
  readonly settleDraft: (draft: D, outer: Transaction | undefined) => void
}

/** What a transaction staged, and the one around it. */
export class Transaction {
  readonly outer: Transaction | undefined
  /** The outermost one: what it holds, it holds until it ends. */
  readonly root: Transaction
  /** 1 where there is none around it. */
  readonly depth: number
  readonly commands: Array<AppendCommand> = []
  readonly events: Array<StoredEvent> = []
  readonly endings: Array<Ending> = []
  /** Inline projections that it applies, by id: which time of being applied that is. */
  readonly inline = new Map<number, number>()
  /** Those within it run one after another: each sees what the one before it did. */
  readonly nested = Semaphore.makeUnsafe(1)
  closed = false
  private readonly drafts = new Map<Drafted<any>, any>()

  constructor(outer: Transaction | undefined) {
    this.outer = outer
    this.root = outer?.root ?? this
    this.depth = (outer?.depth ?? 0) + 1
  }

  /** Whether it has ended, or one around it: a fibre went on after it. */
  get isOver(): boolean {
    return this.closed || this.outer?.isOver === true
  }

  /** What it changed of a part, `undefined` where that is nothing. */
  draft<D>(part: Drafted<D>): D | undefined {
    return this.drafts.get(part)
  }

  /** What it changed of a part, to change more of it. */
  openDraft<D>(part: Drafted<D>): D {
    let draft: D | undefined = this.drafts.get(part)
    if (draft === undefined) this.drafts.set(part, draft = part.emptyDraft())
    return draft
  }

  /** Hands what it changed to the transaction around it, or stores it. */
  settleDrafts(): void {
    for (const [part, draft] of this.drafts) part.settleDraft(draft, this.outer)
  }

  /** Hands all that it staged to the transaction around it. */
  joinOuter(outer: Transaction): void {
    for (const command of this.commands) outer.commands.push(command)
    for (const event of this.events) outer.events.push(event)
    for (const ending of this.endings) outer.endings.push(ending)
    for (const [id, activation] of this.inline) outer.inline.set(id, activation)
    this.settleDrafts()
  }

  /** Which time of being applied an inline projection was begun for, in it or around it. */
  begunInline(id: number): number | undefined {
    return this.inline.get(id) ?? this.outer?.begunInline(id)
  }
}

/** A fibre went on after its transaction. */
export const transactionEnded = (operation: string) =>
  new StoreError({
    operation,
    isRetryable: false,
    outcome: "not-stored",
    cause: new Error("the transaction that this is a part of has ended")
  })
