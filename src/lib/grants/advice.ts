/** What to say to a role that was refused something. */
import { findMissingRight, listQueueTables, readRoleFacts, readStanding } from '../../sql/grants.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Advice } from '../cli/hint.js';
import { rightHint } from './hint.js';
import type { Kind, Need } from './kinds.js';
import { planGrants } from './plan.js';

/** Whether a role has all that `grants` would give it: what it is still refused, only an owner may do. */
async function hasRightsOf(db: Queryable, role: string, kind: Kind, queue: string | undefined): Promise<boolean> {
  const facts = await readRoleFacts(db, role);
  const tables = await listQueueTables(db);
  const chosen = queue === undefined ? tables : tables.filter(({ queue_name: name }) => name === queue);
  const wanted = { role, kind, queues: [], newQueues: false, revoke: false };
  return (await findMissingRight(db, role, planGrants(wanted, chosen, facts, []))) === null;
}

/** Asked of the catalogs: the server's message says which thing was refused, but in the language of its settings. */
export async function adviseRights(db: Queryable, need: Need | undefined, queue: string | undefined): Promise<Advice> {
  const standing = await readStanding(db);
  const asked = standing.enters && need === 'worker';
  return rightHint(standing, need, asked && (await hasRightsOf(db, standing.me, need, queue)));
}
