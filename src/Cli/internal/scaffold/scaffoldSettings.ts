import type { Names } from "./scaffoldNames.ts"

/** How a new project is checked; one that is there is left as it is. */
export const tsconfig = `{
  "compilerOptions": {
    "target": "es2024",
    "module": "nodenext",
    "types": ["node"],
    "noEmit": true,
    "allowImportingTsExtensions": true,
    "erasableSyntaxOnly": true,
    "verbatimModuleSyntax": true,
    "strict": true,
    "exactOptionalPropertyTypes": true,
    "noUncheckedIndexedAccess": true,
    "skipLibCheck": true
  },
  "include": ["src", "test", "eventstore.config.ts"]
}
`

/** What does not belong into a repository; a list that is there gets what it lacks. */
export const ignored = ["node_modules/", "data/", "*.checkpoint.json"]

/** What to type next; one that is there is left as it is. */
export const readme = (title: string, { name, projection }: Names) =>
  `# ${title}

    npm install
    npm start                                 # stores events in ./data, and prints the read model
    npm test                                  # the rules, without a store
    npm run types

    npx eventstore streams list
    npx eventstore read ${name}-1
    npx eventstore replay ${projection} --dry-run
    npx eventstore --help

Events and their older shapes are in \`src/events.ts\`, the rules in \`src/decider.ts\`, read models in \`src/projections.ts\`. With
\`EVENTSTORE_URL=postgres://user:password@host/database\` the program and the command line use Postgres instead of \`./data\`.
`
