import type { BoundedReader } from './bounded.js';

/** What this role may see of the sessions of other roles. */
export interface Sight {
  me: string;
  /** False where the server hides what they do and since when: all that shows then is their pids and their locks. */
  sees_sessions: boolean;
}

/** The role that shows them, and that the operator's grants include. */
export const sightRole = 'pg_read_all_stats';

/** Whether this role may see what other sessions do: a superuser, or a member of pg_read_all_stats or pg_monitor. */
export async function readSight(reader: BoundedReader): Promise<Sight | null> {
  return reader.row<Sight>(
    'the rights on sessions',
    `select current_user::text as me, pg_has_role($1, 'usage') as sees_sessions`,
    [sightRole],
  );
}
