/** From a kind of role to statements, and from statements to rights that are really there. */
import {
  findHeldRight,
  findMissingRight,
  listQueueTables,
  listRoleNames,
  readRoleFacts,
  rightStatement,
  runRightStatement,
  type Right,
} from '../../sql/grants.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Database } from '../connection/database.js';
import { shellWord } from '../cli/format/shell.js';
import { CliError, notFound } from '../cli/errors.js';
import { unknownQueue } from '../cli/explain.js';
import { nearest } from '../cli/nearest.js';
import { planGrants, type Wanted } from './plan.js';

export interface Statement {
  /** Without a semicolon. */
  statement: string;
  why: string;
}

export interface GrantsPlan extends Wanted {
  statements: Statement[];
  rights: Right[];
  /** Roles that own tables of the schema. */
  owners: string[];
  superuser: boolean;
  /** Statements that the connected role may not run, though it may run the others: --apply omits them. */
  omitted: Statement[];
  /** Those of them that must still be run by another role. */
  beyond: Statement[];
}

/** Raises exit 3 for a role or queue that is not there. */
export async function planFor(db: Queryable, wanted: Wanted): Promise<GrantsPlan> {
  const { role, revoke } = wanted;
  const queues = await listQueueTables(db);
  const known = queues.map(({ queue_name }) => queue_name);
  for (const queue of wanted.queues) if (!known.includes(queue)) throw unknownQueue(queue, known);
  const facts = await readRoleFacts(db, role);
  if (!facts.found) throw unknownRole(role, await listRoleNames(db));
  const some = queues.filter(({ queue_name }) => wanted.queues.length === 0 || wanted.queues.includes(queue_name));
  const makers = wanted.newQueues ? facts.owners : revoke ? facts.opened : [];
  const rights = planGrants(wanted, some, facts, makers);
  const statements = rights.map((right) => ({ statement: rightStatement(right, role, revoke), why: right.why }));
  const omitted = facts.grants_sight ? [] : statements.filter((_, i) => rights[i]?.on.kind === 'role');
  return {
    ...wanted,
    statements,
    omitted,
    // A membership that exists already needs no one to grant it.
    beyond: facts.has_sight && !revoke ? [] : omitted,
    rights,
    owners: facts.owners,
    superuser: facts.superuser,
  };
}

function unknownRole(role: string, known: readonly string[]): CliError {
  const suggestion = nearest(role, known);
  const create = `create it first (psql: create role "${role.replaceAll('"', '""')}" login)`;
  return notFound(
    `There is no role "${role}"`,
    suggestion === undefined ? create : `did you mean "${suggestion}"? or ${create}`,
    'role_not_found',
  );
}

/**
 * Runs the plan in one transaction. Raises `not_permitted` where the rights are not there afterwards, or not gone; nothing
 * is changed then.
 */
export async function applyGrants(db: Database, wanted: Wanted): Promise<GrantsPlan> {
  return db.transaction(
    async (transaction) => {
      const plan = await planFor(transaction, wanted);
      const ours = plan.statements.filter((one) => !plan.omitted.includes(one));
      for (const { statement } of ours) await runRightStatement(transaction, statement);
      if (wanted.revoke) await requireGone(transaction, plan);
      else await requireGiven(transaction, plan);
      return { ...plan, statements: ours };
    },
    { lockTimeoutMs },
  );
}

async function requireGiven(db: Queryable, { role, rights, owners }: GrantsPlan): Promise<void> {
  const missing = await findMissingRight(db, role, rights);
  if (missing === null) return;
  throw new CliError(`This role may not grant ${missing}`, {
    code: 'not_permitted',
    hint: `only a superuser or the owner may: ${owners.map((owner) => `-U ${shellWord(owner)}`).join(', ')}`,
  });
}

async function requireGone(db: Queryable, { role, rights }: GrantsPlan): Promise<void> {
  const held = await findHeldRight(db, role, rights);
  if (held === null) return;
  throw new CliError(`This role may not revoke ${held.right} from "${role}": "${held.grantor}" granted it`, {
    code: 'not_permitted',
    hint: `connect as the role that granted it: -U ${shellWord(held.grantor)}`,
  });
}

/** Rights of a table are a row of the catalog: somebody else who changes them is soon done. */
const lockTimeoutMs = 10_000;
