import type { ClientBase } from 'pg';

/** How the starting command asks the supervising process to end: a message on its own server, so a stale process id harms nobody. */
const controlChannel = 'absurdctl_dev';

/** Creates the database of an embedded server. `name` is a plain identifier of ours. */
export async function ensureDatabase(db: ClientBase, name: string): Promise<void> {
  const { rows } = await db.query('select 1 from pg_database d where d.datname = $1', [name]);
  if (rows.length === 0) await db.query(`create database "${name.replaceAll('"', '""')}"`);
}

export interface ClientActivity {
  /** Connections of clients now, without the asking one. */
  clients: number;
  /** Connections since the start, including those that opened and closed between two looks. */
  sessions: string;
}

export async function readClientActivity(db: ClientBase): Promise<ClientActivity> {
  const { rows } = await db.query<ClientActivity>(`
    select
      (
        select count(*)::integer
        from pg_stat_activity a
        where a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
      ) as clients,
      (select coalesce(sum(d.sessions), 0)::text from pg_stat_database d) as sessions
  `);
  return rows[0] ?? { clients: 0, sessions: '0' };
}

export async function listenForStop(db: ClientBase): Promise<void> {
  await db.query(`listen ${controlChannel}`);
}

export async function askToStop(db: ClientBase): Promise<void> {
  await db.query('select pg_notify($1, $2)', [controlChannel, 'stop']);
}
