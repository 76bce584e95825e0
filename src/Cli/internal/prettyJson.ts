import type { Output } from "./frame/output.ts"
import { printable } from "./frame/table.ts"

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g

/**
 * Lays a JSON text out for people, in colours where there are any. Numbers keep all their digits, and keys their order:
 * nothing is read and written anew.
 */
export const prettyJson = (text: string, paint: Output["Service"]["paint"]): string => {
  const tokens = text.match(token) ?? []
  let out = ""
  let depth = 0
  const line = () => `\n${"  ".repeat(depth)}`
  for (let i = 0; i < tokens.length; i++) {
    const current = tokens[i]!
    if (current === "{" || current === "[") {
      if (tokens[i + 1] === "}" || tokens[i + 1] === "]") {
        out += current + tokens[++i]!
        continue
      }
      depth++
      out += current + line()
    } else if (current === "}" || current === "]") {
      depth--
      out += line() + current
    } else if (current === ",") out += current + line()
    else if (current === ":") out += ": "
    else out += paint(styleOf(current, tokens[i + 1] === ":"), printable(current))
  }
  return out
}

const styleOf = (token: string, isKey: boolean) =>
  isKey ? "blue" : token.startsWith("\"") ? "green" : /^[-\d]/.test(token) ? "yellow" : "magenta"
