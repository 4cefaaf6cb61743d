/** The built pages, held in memory: what was not there at the start is not served, whatever a path says. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { CliError } from '../cli/errors.js';

interface Asset {
  type: string;
  plain: Buffer;
  packed: Buffer;
}

export interface Pages {
  /** The page that loads all others. */
  index: string;
  /** By name below `assets/`. */
  assets: ReadonlyMap<string, Asset>;
}

const types: Record<string, string> = {
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** The folder that the build writes, wherever this code was bundled to. */
function builtFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const built = join(folder, 'dist', 'dashboard');
    if (existsSync(join(built, 'index.html'))) return built;
    if (folder === dirname(folder)) {
      throw new CliError('The pages of the dashboard are missing from this installation', {
        hint: 'install absurdctl again; from a clone: npm run build',
      });
    }
  }
}

/** The version of this package. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(builtFolder(), '..', '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Reads them once. `basePath` is put before what the page loads. */
export function loadPages(basePath: string): Pages {
  const folder = builtFolder();
  const assets = new Map<string, Asset>();
  for (const name of readdirSync(join(folder, 'assets'))) {
    const plain = readFileSync(join(folder, 'assets', name));
    const type = types[name.slice(name.lastIndexOf('.') + 1)];
    if (type !== undefined) assets.set(name, { type, plain, packed: gzipSync(plain) });
  }
  const index = readFileSync(join(folder, 'index.html'), 'utf8')
    .replaceAll('"/assets/', `"${escaped(basePath)}/assets/`)
    .replace('name="base-path" content=""', `name="base-path" content="${escaped(basePath)}"`);
  return { index, assets };
}

/** What a visitor without a token is shown. */
export const plainPage = (title: string, text: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>${escaped(title)}</title><h1>${escaped(title)}</h1><p>${escaped(text)}</p></html>`;

/** Leads to the same page without the token: a page of its own, because a cookie that is strict does not follow a redirect from elsewhere. */
export const forwardPage = (path: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0;url=${escaped(path)}"><title>absurdctl</title></html>`;
