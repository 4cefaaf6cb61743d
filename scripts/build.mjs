// Builds dist/: the command line as one CommonJS bundle, the SDK as ESM and CommonJS with its types.
import { build } from 'esbuild';
import { existsSync } from 'node:fs';

if (existsSync('src/sdk/index.ts')) {
  const common = { entryPoints: ['src/sdk/index.ts'], bundle: true, platform: 'node', target: 'node20', external: ['pg'] };
  await build({ ...common, format: 'esm', outfile: 'dist/sdk/index.js' });
  await build({ ...common, format: 'cjs', outfile: 'dist/sdk/index.cjs' });
}
