import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { globSync } from "node:fs"
import { promisify } from "node:util"

/** What each example prints, as a user would run it: in a process of its own. */
const printed: Record<string, string> = {
  bank: `
not open yet: NotOpen
deposited: 1000
no command: Withdraw, cents
withdrawn: 700 left, version 3
sent twice: 700 left, version 3
of 10 withdrawals at once: 7 went through
now: 0 at version 10
at version 2: 1000
at position 2: 1000`,

  "blue-green": `
version 1: anna 600, ben 300
seen meanwhile: 900 orders by version 1, 900 orders by version 2
version 2: ben 300 for 27000, anna 600 for 7500
rolled back
version 1: anna 667, ben 333
and forward again
version 2: ben 333 for 29970, anna 667 for 8335
left: version 2, 1000 events`,

  cart: `
nothing in it: Empty
cup 1, tea 2 (version 3)
two cups less: NotThatMany
cup 1, tea 2, paid 1800
checked out again: 0 events, version 4
too late: AlreadyCheckedOut`,

  cli: `
cart-42: 1 event, version 2, position 2
stream   version  status
cart-42        2  active`,

  cluster: `
orders: 500, sold: 100, different tickets: 100
ordered twice: 7, repeated: true
one more: sold
sold: 101 of 101, version 103`,

  dashboard: `
2026-03-01  cancelled  1
2026-03-01  shipped    1
2026-03-02  paid       1
2026-03-02  placed     1
best: anna 120 (1), carl 90 (1)
ben pays
2026-03-01  cancelled  1
2026-03-01  shipped    1
2026-03-02  paid       2
best: ben 200 (1), anna 120 (1)`,

  documents: `
anna: {"items":1,"cents":500}
ben: none
carts: cart-anna, cart-carl
anna by version 1: {"skus":["?"],"cents":500,"isPaid":false}
anna by version 2: {"skus":["tea"],"cents":500,"isPaid":true}
deposited, and there already: {"cents":100}
too much withdrawn: InlineProjectionFailed
nothing is stored: {"cents":100}
the account is at version 1`,

  "dynamic-boundary": `
a second Anna: AppendConditionFailed
booked: 2 of 4
the others: SoldOut, SoldOut`,

  fraud: `
alert-a-1: 2400 in BR, US, because of payment-8
version 2 is live, and has looked at 15 events
alerts, looked for twice: 1`,

  given: `
lends what is there: passed
lends nothing twice: passed
takes it back once: passed
reminds after four weeks, and each week then: passed
keeps the laws: passed
plays a summer: passed
and one that is wrong: given Borrowed { reader: "anna" }, when Return {}, other events were expected (- expected, + actual)
  [
    Returned {}
-   Reminded {}
  ]`,

  idempotency: `
the same answer: version 1 and 1
events in the stream: 2
other content under the same id: EventIdConflict`,

  lifecycle: `
truncated: active, version 4, reads as [3 4]
deleted: deleted, version 4, reads as []
recreated: active, version 5, reads as [5]
tombstoned: StreamTombstoned; the log is still at position 5`,

  links: `
request-2, over all streams:
  Placed in order-2
  Reserved in stock-tea
  Charged in payment-2
what Anna did, the last first:
  paid 5
  ordered cup
  paid 5
  ordered tea
types: Charged 3, Placed 3, Reserved 3
orders, after one was deleted: order-1, order-2`,

  "mail-worker": `
anna@example.org: Thank you for order-0
anna@example.org: order-0 is on its way
ben@example.org: Thank you for order-1
ben@example.org: order-1 is on its way
parked: order-2, no such address, attempts: 1
parked: order-3, failed 4 times (the mail server is busy), attempts: 4
carl tells his address
carl@example.org: Thank you for order-2
carl@example.org: order-2 is on its way
parked: order-3, failed 4 times (the mail server is busy), attempts: 4
the server of dora is well again
dora@example.org: Thank you for order-3
dora@example.org: order-3 is on its way`,

  metadata: `
Ordered by anna, because of nothing, in request-7, tenant acme
  a trace context: true
Reserved by stock, because of Ordered, in request-7, tenant acme
  a trace context: true`,

  "multi-stream": `
account-anna at version 2, position 3
account-ben at version 1, position 4
day-monday at version 1, position 4
refused: account-anna is at 2, expected 1
refused: day-monday is at 2, expected 1
ben still has 1 event`,

  "order-process": `
in-time: please pay 500
in-time
  OrderPlaced -> RequestPayment
  PaymentReceived -> ShipOrder
  OrderShipped (the end)
too-late: please pay 700
too-late: we return 700
too-late
  OrderPlaced -> RequestPayment
  TimerFired -> CancelOrder
  PaymentReceived -> Refund
cancelled: please pay 900
cancelled: we return 400
a timer of too-late: afterwards
a timer of cancelled: afterwards
cancelled
  OrderPlaced -> RequestPayment
  PaymentReceived
  OrderCancelled -> Refund
  TimerFired (the end)
restarted: please pay 300
the program has ended, the time goes on
restarted
  OrderPlaced -> RequestPayment
  TimerFired -> CancelOrder`,

  raw: `
Event 2 of stream account-1 (position 2) is of the unknown type Blocked version 1
typed Opened, limit 5
raw Blocked
archive-1 1: Opened v1 {"at":"2024-05-01T00:00:00.000Z","limit":"5"}
archive-1 2: Blocked v1 {"why":"fraud"}`,

  reading: `
a stream: 1 2 3 6
its last two, newest first: 6 3
its versions 2 to 3: 2 3
a category: 1 2 3 5 6
two categories: 4 5 6
by type: 6
by tag: 3 4 5
by prefix: 5
a at version 2: 3, today: 2`,

  schemas: `
at first
2 versions are as schemas.json has them
2 versions are as schemas.json has them
a careless change
schemas.json: cart: Opened version 1 has changed:
  - at is read as it is stored now, and was read as date
Keep version 1 as it was and let the new shape be version 2: add the fields as they were to the chain with Event.oldest(before) and end it with .current(OpenedAsText, upcast). If none was ever stored, remove it from the file by hand and have it noted anew.
a careful one
3 versions are as schemas.json has them`,

  seats: `
redeemed the code: 1 of 3
1a: reserved
1b: reserved
1c: NoCredit
seats 1a, 1b; 50 left
the flight is at version 2, the customer at 3
1a for somebody else: SeatTaken
asked twice: position 10 and 10`,

  shop: `
placed twice: Stream order-7 is at version 1, expected no-stream
conflict: Stream order-7 is at version 3, expected 2
too late: AlreadyConfirmed
1 {"_tag":"Placed","customer":"c-1","total":10000}
2 {"_tag":"DepositPaid","cents":1250,"by":"unknown"} (v1)
3 {"_tag":"DepositPaid","cents":4000,"by":"anna"}
4 {"_tag":"DepositPaid","cents":5000,"by":"ben"}
5 {"_tag":"Confirmed"}
{ total: 10000, paid: 10250, confirmed: true, version: 5 }`,

  sse: `
1 Opened {"_tag":"Opened","customer":"anna"}
2 Paid {"_tag":"Paid","cents":500}
3 Opened {"_tag":"Opened","customer":"ben"}
the client leaves
nobody reads the log any more
it comes back with Last-Event-ID: 3
4 Paid {"_tag":"Paid","cents":700}
400 Last-Event-ID is "three", which is not a position of the log: a whole number from 0
409 The log was read up to position 99, but ends at position 4: it was restored, or it is another log`,

  tail: `
     1  cart-1 1  Opened  {"customer":"anna"}
     2  cart-1 2  Paid  {"cents":500}
     3  parcel-1 1  Shipped  {"to":"Main Street 1"}
-- caught up at position 3 --
     4  cart-2 1  Opened  {"customer":"ben"}
     5  cart-1 3  Closed  {}
     6  cart-2 2  Paid  {"cents":1250}
     7  parcel-2 1  Shipped  {"to":"\\u001b[31mSide Street 2"}`,

  telemetry: `
eventstore.append page ok
eventstore.append page failed
eventstore.readCategory page ok
db.client.operation.duration of append: 2 measured
db.client.operation.duration of readCategory: 1 measured
eventstore.append.conflicts = 1
eventstore.events.appended = 2
eventstore.events.read = 2`,

  temporal: `
Anna today: CTO, 99000 (version 3)
at version 1: Engineer, 60000
at position 3: Lead, 75000
at the end of 2019: Anna not with us; all together 0
at the end of 2021: Anna Engineer, 60000; all together 110000
at the end of 2023: Anna Lead, 75000; all together 75000`,

  testing: `
voted already
{ tea: 2 }
voted already
{ tea: 2 }`,

  transaction: `
shipped at version 1
without an address: NoAddress
once more: WrongExpectedVersion
labels: [{"parcel":"1","address":"Main Street 1"}]
events in the log: 1`,

  upcasting: `
1 Added v1 -> {"_tag":"Added","sku":"tea","quantity":1}
2 Added v2 -> {"_tag":"Added","sku":"cup","quantity":2}
4 Placed v1 -> {"_tag":"Placed","by":"anna"}
5 Paid v1 -> {"_tag":"Paid","cents":1250,"currency":"CHF"}
6 AddedAndPlaced v1 -> {"_tag":"Added","sku":"pot","quantity":1}
6+1 AddedAndPlaced v1 -> {"_tag":"Placed","by":"ben"}
7 Paid v2 -> {"_tag":"Paid","cents":100,"currency":"EUR"}`,

  workflow: `
short
  book flight EF-4
  book hotel Layer
  charge 400
booked: ticket of book flight EF-4
long
  book flight EF-4
  book hotel Layer
  cancel hotel Layer
  cancel flight EF-4
refused: the card was declined
last
  book flight EF-4
  book hotel Layer
  charge 100
booked: ticket of book flight EF-4
events: 6`
}

const env = { ...process.env, NODE_OPTIONS: "", NO_COLOR: "1" }

describe("examples", { timeout: 60_000 }, () => {
  for (const file of globSync("examples/*.ts").sort()) {
    const name = file.slice("examples/".length, -".ts".length)
    if (name === "demo") continue // has a test of its own
    it(`${name} prints what it promises`, async () => {
      const { stderr, stdout } = await promisify(execFile)(
        process.execPath,
        ["--conditions=source", "--disable-warning=ExperimentalWarning", file],
        { env }
      )
      assert.strictEqual(`\n${stdout.trimEnd()}`, printed[name])
      assert.strictEqual(stderr, "")
    })
  }
})
