/** How many letters make one name of another: put in, left out, another one, or two that changed places. */
const distance = (a: string, b: string): number => {
  let last: ReadonlyArray<number> = []
  let row: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (isSame ? 0 : 1))
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j]!, last[j - 2]! + 1)
    }
    last = row
    row = next
  }
  return row[b.length]!
}

/** The name that was probably meant; `undefined` where none is like it. */
export const nearest = (name: string, names: ReadonlyArray<string>): string | undefined => {
  const most = Math.min(2, Math.ceil(name.length / 3))
  const [best] = names
    .map((other) => ({ other, away: distance(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ away }) => away <= most)
    .sort((a, b) => a.away - b.away)
  return best?.other
}

/** `name` is none of those that there are: asks for the one that was probably meant, else tells which there are. */
export const didYouMean = (name: string, names: ReadonlyArray<string>): string => {
  const meant = nearest(name, names)
  return meant === undefined ? `there are ${names.join(", ")}` : `did you mean ${meant}?`
}
