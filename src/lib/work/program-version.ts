import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** The version in the package.json nearest to a module; undefined where it has none. */
export function versionOf(file: string, cwd: string): string | undefined {
  for (let folder = dirname(resolve(cwd, file)); ; folder = dirname(folder)) {
    const manifest = read(join(folder, 'package.json'));
    if (manifest !== undefined) {
      const { version } = manifest;
      return typeof version === 'string' && version !== '' ? version : undefined;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

function read(path: string): { version?: unknown } | undefined {
  try {
    const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof manifest === 'object' && manifest !== null ? manifest : undefined;
  } catch {
    return undefined;
  }
}
