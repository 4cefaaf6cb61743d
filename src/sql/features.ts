/** Features of the schema beyond the contract. Callers check for the feature that they need, not for a version. */
import type { Queryable } from './queryable.js';

/** The names of the schema's features; none if it does not exist or has no such function. */
export async function schemaFeatures(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ exists: boolean }>(
    `select to_regprocedure('absurd.get_schema_features()') is not null as exists`,
  );
  if (rows[0]?.exists !== true) return [];
  const { rows: found } = await db.query<{ features: string[] }>('select absurd.get_schema_features() as features');
  return found[0]?.features ?? [];
}
