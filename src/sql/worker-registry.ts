/** The rows that workers keep in absurd.workers while they run (feature `worker_registry`). */
import type { SdkDatabase } from './sdk.js';

/** A registry that somebody has locked must not hold a worker's connection. */
const lockTimeout = '500ms';

/**
 * `call`, where this role may change the registry; without the right nothing is called, so the server logs no error and no
 * transaction of the caller is aborted. The answer is null then.
 */
const whereAllowed = (name: string, call: string): string =>
  `SELECT CASE
            WHEN NOT (has_function_privilege('absurd.${name}', 'EXECUTE')
                      AND has_table_privilege('absurd.workers', 'SELECT')
                      AND has_table_privilege('absurd.workers', 'INSERT')
                      AND has_table_privilege('absurd.workers', 'UPDATE')
                      AND has_table_privilege('absurd.workers', 'DELETE')) THEN NULL
            WHEN set_config('lock_timeout', '${lockTimeout}', true) IS NOT NULL THEN (SELECT true FROM absurd.${call})
          END AS done`;

async function done(db: SdkDatabase, text: string, values: unknown[]): Promise<boolean> {
  const { rows } = await db.query(text, values);
  return (rows?.[0] as { done?: unknown } | undefined)?.done === true;
}

/** Writes the worker's row; false where the role has no right to. */
export function heartbeatWorker(
  db: SdkDatabase,
  queueName: string,
  workerId: string,
  details: object,
): Promise<boolean> {
  const text = whereAllowed('heartbeat_worker(text,text,jsonb)', 'heartbeat_worker($1, $2, $3::text::jsonb)');
  return done(db, text, [queueName, workerId, JSON.stringify(details)]);
}

/** Deletes the worker's row; false where the role has no right to. */
export function forgetWorker(db: SdkDatabase, queueName: string, workerId: string): Promise<boolean> {
  return done(db, whereAllowed('forget_worker(text,text)', 'forget_worker($1, $2)'), [queueName, workerId]);
}
