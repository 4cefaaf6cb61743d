// Builds the SDK: ESM and CommonJS bundles that leave `pg` to the program, and declarations for both that need no other types.
import { build } from 'esbuild';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const tsc = path.join(path.dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');

async function bundle(format, outfile) {
  await build({
    entryPoints: ['src/sdk/index.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    external: ['pg'],
    format,
    outfile,
    // CommonJS has no import.meta; it is used to find the package's own program.
    ...(format === 'cjs' && {
      define: { 'import.meta.url': 'bundleUrl' },
      banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
    }),
  });
}

/** Declarations as tsc emits them, module by module; for CommonJS the same text under the names that CommonJS resolves. */
async function declarations(outdir) {
  const emitted = path.join(outdir, '.types');
  await rm(emitted, { recursive: true, force: true });
  const flags = '--declaration --emitDeclarationOnly --stripInternal --skipLibCheck';
  const language = '--target es2023 --lib es2023 --module nodenext --moduleResolution nodenext --types node --strict';
  const rooms = ['--rootDir', 'src', '--outDir', emitted, '--ignoreConfig'];
  await run(process.execPath, [tsc, 'src/sdk/index.ts', ...flags.split(' '), ...language.split(' '), ...rooms]);
  const room = path.join(emitted, 'sdk');
  for (const file of await publicModules(room)) {
    const text = await readFile(path.join(room, `${file}.d.ts`), 'utf8');
    await writeFile(path.join(outdir, `${file}.d.ts`), text);
    await writeFile(path.join(outdir, `${file}.d.cts`), text.replace(/(from\s+['"]\.\/[\w-]+)\.js(['"])/g, '$1.cjs$2'));
  }
  await rm(emitted, { recursive: true, force: true });
}

/** The modules that the declarations of the entry lead to. */
async function publicModules(room, file = 'index', found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const text = await readFile(path.join(room, `${file}.d.ts`), 'utf8');
  for (const [, next] of text.matchAll(/from\s+['"]\.\/([\w-]+)\.js['"]/g)) await publicModules(room, next, found);
  const outside = [...text.matchAll(/from\s+['"]([^'"]+)['"]/g)]
    .map(([, name]) => name)
    .find((name) => !name.startsWith('./'));
  if (outside !== undefined)
    throw new Error(`${file}.d.ts leads out of the SDK, to ${outside}: its types must stand alone.`);
  return found;
}

/** @param {string} outdir where the package's `exports` expect the SDK */
export async function buildSdk(outdir = 'dist/sdk') {
  await mkdir(outdir, { recursive: true });
  await Promise.all([
    bundle('esm', path.join(outdir, 'index.js')),
    bundle('cjs', path.join(outdir, 'index.cjs')),
    declarations(outdir),
  ]);
}
