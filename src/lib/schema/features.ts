import { readFeatures, type SchemaFeature } from '../../sql/features.js';
import type { Queryable } from '../../sql/queryable.js';
import { refused } from '../cli/errors.js';
import { command, hint } from '../cli/hint.js';

/** Refuses, before anything is written, where the schema lacks a feature. `what` starts the sentence: "Pausing a queue". */
export async function requireFeature(db: Queryable, feature: SchemaFeature, what: string): Promise<void> {
  if ((await readFeatures(db)).has(feature)) return;
  throw refused(
    `${what} requires a newer schema than this database has (feature "${feature}")`,
    hint`${command('migrate')} brings it; tasks in progress are kept`,
    'feature_missing',
  );
}
