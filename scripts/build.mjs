// Builds dist/: the parts of the schema, the command line as one CommonJS bundle, the SDK as ESM and CommonJS with its types, and the
// dashboard's pages.
import { buildCli } from './build/cli.mjs';
import { buildDashboard } from './build/dashboard.mjs';
import { buildSchema } from './build/schema.mjs';
import { buildSdk } from './build/sdk.mjs';

buildSchema();
await buildSdk();
await buildCli();
await buildDashboard();
