// The pages of the dashboard: dist/dashboard/index.html and its hashed assets. The command line serves them as they are.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** The licences of what the pages contain, as their terms ask. */
function licences(names) {
  const entries = names.map((name) => {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const file = existsSync(folder) && readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    return `${name} ${version} (${license})\n\n${file ? readFileSync(`${folder}/${file}`, 'utf8').trim() : ''}\n`;
  });
  return entries.join(`\n${'-'.repeat(80)}\n\n`);
}

export async function buildDashboard() {
  const { build } = await import('vite');
  await build({
    configFile: false,
    root: 'src/dashboard',
    base: '/',
    logLevel: 'warn',
    // Nothing else of the page is inline: its content security policy forbids it.
    build: {
      outDir: '../../dist/dashboard',
      emptyOutDir: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      target: 'es2022',
      reportCompressedSize: false,
    },
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  });
  writeFileSync('dist/dashboard/LICENSES.txt', licences(['preact', 'uplot']));
}
