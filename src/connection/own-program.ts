import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConnectionError } from './errors.js';

/** bin/absurdctl at `folder`, where that is the root of this package. */
function programOf(folder: string): string | undefined {
  const program = join(folder, 'bin', 'absurdctl');
  const manifest = join(folder, 'package.json');
  if (!existsSync(program) || !existsSync(manifest)) return undefined;
  return /"name":\s*"absurdctl"/.test(readFileSync(manifest, 'utf8')) ? program : undefined;
}

/**
 * bin/absurdctl of this package, found upwards from where this code is (src/ in a clone, dist/ when installed), or, for a
 * program that was bundled with it, among the packages of `cwd`.
 */
export function ownProgram(cwd?: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const program = programOf(folder);
    if (program !== undefined) return program;
    if (dirname(folder) === folder) break;
  }
  try {
    const manifest = cwd && createRequire(join(cwd, 'package.json')).resolve('absurdctl/package.json');
    const program = manifest && programOf(dirname(manifest));
    if (program) return program;
  } catch {
    // Not installed there either.
  }
  throw new ConnectionError('bin/absurdctl is missing from this installation', {
    code: 'embedded_storage',
    hint: 'install absurdctl again',
  });
}
