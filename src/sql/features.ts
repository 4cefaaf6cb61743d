import type { Queryable } from './queryable.js';

/** What a schema of ours offers on top of the contract (`absurd.get_schema_features()`). */
export type SchemaFeature =
  | 'await_events'
  | 'await_tasks'
  | 'delayed_spawn'
  | 'operations'
  | 'pause'
  | 'schedules'
  | 'step_times'
  | 'task_tree'
  | 'wake_task'
  | 'worker_registry';

/** The features of the schema in this database; none where it is another's, or older. */
export async function readFeatures(db: Queryable): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ known: boolean }>(
    `select to_regprocedure('absurd.get_schema_features()') is not null as known`,
  );
  if (rows[0]?.known !== true) return new Set();
  const found = await db.query<{ features: string[] }>('select absurd.get_schema_features() as features');
  return new Set(found.rows[0]?.features);
}
