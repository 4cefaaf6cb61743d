/** Whether a role has all that `grants` would give it: what it is still refused, only an owner may do. */
import { findMissingRight, listQueueTables, readRoleFacts } from '../../sql/grants.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Kind } from './kinds.js';
import { planGrants } from './plan.js';

/** Asked of the catalogs: the server's message says which thing was refused, but in the language of its settings. */
export async function hasRightsOf(
  db: Queryable,
  role: string,
  kind: Kind,
  queue: string | undefined,
): Promise<boolean> {
  const facts = await readRoleFacts(db, role);
  const tables = await listQueueTables(db);
  const chosen = queue === undefined ? tables : tables.filter(({ queue_name: name }) => name === queue);
  const wanted = { role, kind, queues: [], newQueues: false, revoke: false };
  return (await findMissingRight(db, role, planGrants(wanted, chosen, facts, []))) === null;
}
