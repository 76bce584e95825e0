/**
 * Git's names are bytes; an event store keeps text, and only printable characters in the id of a stream.
 *
 * `escape` turns bytes into printable text and is reversible, so two different names never become one: bytes that are
 * not valid UTF-8, control and other invisible characters, and the percent sign itself become `%` and two hex digits.
 */
import { createHash } from "node:crypto"

/** Bytes come as a "latin1" string, one character a byte: a plain ASCII name stays as it is, without a copy. */
export const escape = (latin1: string): string => {
  if (plain.test(latin1)) return latin1
  if (latin1 === "") return nothing
  const bytes = Buffer.from(latin1, "latin1")
  let text = ""
  for (let at = 0; at < bytes.length;) {
    const character = characterAt(bytes, at)
    const end = at + (character === undefined ? 1 : Buffer.byteLength(character))
    text += character !== undefined && !hidden.test(character) ? character : percent(bytes.subarray(at, end))
    at = end
  }
  return text
}

/** An escaped name, cut to what fits into the id of a stream; a hash of the whole then keeps it apart from others. */
export const fit = (escaped: string, length: number): string => {
  if (escaped.length <= length) return escaped
  const hash = createHash("sha256").update(escaped).digest("hex")
  const cut = escaped.slice(0, length - hash.length - 2).replace(/[\ud800-\udbff]$/, "")
  return `${cut}%~${hash}` // "%~" is no escape, so the result is not the escape of any name
}

/** Text for people, from which nothing has to be recovered: a name, a subject. */
export const toText = (latin1: string): string => Buffer.from(latin1, "latin1").toString("utf8")

/** Makes a text safe to print: nothing in it moves the cursor or turns the line around. */
export const printable = (text: string): string => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\ufffd")

/** Stands for the name without a character: no file has it, but an author without an e-mail address. */
export const nothing = "%_"

const plain = /^[ -$&-~]+$/
const hidden = /[%\p{C}\p{Zl}\p{Zp}]/u

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const characterAt = (bytes: Uint8Array, at: number): string | undefined => {
  const lead = bytes[at]!
  const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  try {
    return utf8.decode(bytes.subarray(at, at + length))
  } catch {
    return undefined
  }
}

const percent = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
