import type { SdkDatabase } from '../sql/sdk.js';
import { hasFeature, type Feature } from '../sql/sdk-engine.js';
import type { SpawnOptions } from './types.js';

export type { Feature } from '../sql/sdk-engine.js';

/** The known features of each connection's schema. Missing ones may be added while we run. */
const seen = new WeakMap<SdkDatabase, Set<Feature>>();

/**
 * Raises, before anything is written, where the schema lacks a feature.
 * @param what what cannot be done then, as in `pause queues`
 */
export async function requireFeature(db: SdkDatabase, feature: Feature, what: string): Promise<void> {
  let features = seen.get(db);
  if (features === undefined) seen.set(db, (features = new Set()));
  if (features.has(feature)) return;
  if (!(await hasFeature(db, feature))) {
    throw new Error(`The schema of this database cannot ${what}: run "absurdctl init", which brings what is missing`);
  }
  features.add(feature);
}

/** Raises an error if the schema would ignore an option of a spawn. */
export async function requireSpawnFeatures(db: SdkDatabase, options: SpawnOptions): Promise<void> {
  if (options.startAt !== undefined || options.delay !== undefined) {
    await requireFeature(db, 'delayed_spawn', 'delay the start of a task');
  }
  if (options.parent !== undefined) await requireFeature(db, 'task_tree', 'give a task a parent');
}
