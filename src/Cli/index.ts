export * as App from "./App.ts"
export * as Cli from "./Cli.ts"
