/** A JSON text as a value that `JSON.stringify` writes again with every digit of its numbers. */
export const exactJson = (text: string): unknown =>
  JSON.parse(
    text,
    (_, value: unknown, context?: { readonly source?: string }) =>
      typeof value === "number" && context?.source !== undefined ? rawJson(context.source) : value
  )

// not in the types of es2024; every Node that this library runs on has it
const rawJson = (JSON as unknown as { readonly rawJSON: (text: string) => unknown }).rawJSON
