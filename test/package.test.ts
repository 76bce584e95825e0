import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "..")
const exported: Record<string, unknown> = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports

describe("package.json", () => {
  it("exports no internal module of any room", () => {
    for (const room of globSync("src/*/internal", { cwd: root }).map((path) => path.split(/[\\/]/)[1])) {
      assert.isNull(exported[`./${room}/internal/*`], room)
    }
  })

  it("offers every public module under its own name", () => {
    const resolved = import.meta.resolve("effect-eventstore/Store/EventStore")
    assert.isTrue(existsSync(new URL(resolved)), resolved)
    assert.throws(() => import.meta.resolve("effect-eventstore/Store/internal/eventStore"))
  })
})
