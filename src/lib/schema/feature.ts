import { schemaFeatures } from '../../sql/features.js';
import type { Queryable } from '../../sql/queryable.js';
import { inspectSchema } from '../../sql/schema.js';
import { CliError, exit } from '../cli/errors.js';
import { command, hint } from '../cli/hint.js';

/** Raises exit code 5, before anything is written, where the schema lacks a feature; `what` is what cannot be done then. */
export async function requireFeature(db: Queryable, feature: string, what: string): Promise<void> {
  if ((await schemaFeatures(db)).includes(feature)) return;
  const { installed, database } = await inspectSchema(db);
  throw new CliError(`The schema of "${database}" cannot ${what}`, {
    exitCode: exit.unreachable,
    // The base says it where there is no schema at all.
    code: installed ? 'schema_too_old' : 'schema_missing',
    hint: hint`${command('init')} upgrades it; data and running workers are kept`,
  });
}
