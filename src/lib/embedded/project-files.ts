import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EmbeddedServerError } from './errors.js';

/** The bundle is CommonJS and knows `__filename`; run from source, this is an ES module. */
const ownFile = typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url);

/** A file of this package, found upwards from wherever this code was put (src/ in a clone, dist/ when installed). */
export function packageFile(...parts: string[]): string {
  for (let folder = dirname(ownFile); ; folder = dirname(folder)) {
    const path = join(folder, ...parts);
    if (existsSync(path) && existsSync(join(folder, 'package.json'))) return path;
    if (dirname(folder) === folder) {
      throw new EmbeddedServerError(
        'storage',
        `absurdctl's own file ${parts.join('/')} is missing.`,
        'Install absurdctl again.',
      );
    }
  }
}

/** sql/absurd.sql, whole. */
export function schemaScript(): string {
  return readFileSync(packageFile('sql', 'absurd.sql'), 'utf8');
}
