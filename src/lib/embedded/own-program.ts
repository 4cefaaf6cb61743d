import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EmbeddedServerError } from './errors.js';

/** bin/absurdctl of this package, found upwards from wherever this code was put (src/ in a clone, dist/ when installed). */
export function ownProgram(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, 'bin', 'absurdctl');
    if (existsSync(path) && existsSync(join(folder, 'package.json'))) return path;
    if (dirname(folder) === folder) {
      throw new EmbeddedServerError(
        'storage',
        'bin/absurdctl is missing from this installation.',
        'Install absurdctl again.',
      );
    }
  }
}
