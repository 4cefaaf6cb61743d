import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CliError, usageError } from '../cli/errors.js';

/** The version of the contract that this package's schema has. */
export const schemaVersion = '0.5.0';

/** A file of this package, wherever this code was bundled to. */
export function readPackageFile(name: 'sql/absurd.sql' | 'dist/schema.json'): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const file = join(folder, name);
    if (existsSync(file)) return readFileSync(file, 'utf8');
    if (folder === dirname(folder)) {
      throw new CliError(`${name} is missing from this installation`, { hint: 'install absurdctl again' });
    }
  }
}

export const readSchemaScript = (): string => readPackageFile('sql/absurd.sql');

/** Raises a usage error unless `ref`, the value of `flag`, names the schema that this package ships (`0.5.0`, `v0.5.0`). */
export function requireShippedRef(ref: string | undefined, flag: '--ref' | '--to'): void {
  if (ref === undefined || ref.replace(/^v/, '') === schemaVersion) return;
  throw usageError(
    `This absurdctl ships schema ${schemaVersion} only, not "${ref}"`,
    `omit ${flag}, or install the release of absurdctl that ships "${ref}"`,
  );
}
