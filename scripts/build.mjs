// Builds dist/: the command line as one CommonJS bundle, the SDK as ESM and CommonJS with its types.
import { existsSync } from 'node:fs';
import { buildSdk } from './build/sdk.mjs';

await buildSdk();
if (existsSync('scripts/build/cli.mjs')) await (await import('./build/cli.mjs')).buildCli();
