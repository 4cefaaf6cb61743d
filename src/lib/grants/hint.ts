/** What to type where a right is missing. */
import { command, hint, type Advice, type Hint } from '../cli/hint.js';
import { shellWord } from '../cli/format/shell.js';
import type { Standing } from '../../sql/grants.js';
import type { Filtered } from '../../sql/row-security.js';
import type { Need } from './kinds.js';

/** The command by which the owner of the schema gives the role what a kind needs. */
export function grantCommand({ me, owner }: Pick<Standing, 'me' | 'owner'>, kind: Need): Hint {
  const U = owner === null || owner === me ? undefined : owner;
  return command('grants', me, { as: kind, apply: true, U });
}

/**
 * For an error: who is connected, and what they lack. `need` is unknown where no command is to blame. A role that has all
 * rights of its kind and is refused makes something in the schema: a queue, or what a queue lacks.
 */
export function rightHint(standing: Standing, need: Need | undefined, hasRights = false): Advice {
  const { owner } = standing;
  const other = `connect as a role that may (-U)`;
  if (owner === null || need === undefined || need === 'none') return other;
  if (hasRights && need === 'worker') {
    const as = { U: owner };
    return hint`only the owner can create queues and their functions: ${command('create-queue', as)}, or ${command('init', as)}`;
  }
  if (need !== 'owner') return grantCommand(standing, need);
  return owner === standing.me
    ? `connect as a superuser, or as the role that owns that table (-U)`
    : `only the owner of the schema may: -U ${shellWord(owner)}`;
}

/** For an answer that may lack rows, of which nothing can be concluded. */
export function filteredHint({ me, owner, tables }: Filtered, asked: string): Advice {
  const count = `${tables.length} ${tables.length === 1 ? 'table' : 'tables'}`;
  const seen = `Row-level security hides rows of ${count} from role "${me}"`;
  return me === owner
    ? hint`${seen}: ${command('doctor', { only: 'row-security' })} names them`
    : hint`${seen}: ${command(asked, { U: owner })} asks as the owner, ${command('doctor', { only: 'row-security' })} names them`;
}
