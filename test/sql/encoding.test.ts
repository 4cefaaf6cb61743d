/** The schema in databases of other encodings than UTF-8. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { run } from '../support/command.js';
import { connectTo, expect, serverUrl, test, type Connection, type Filler } from '../support/database.js';
import { script } from './older.js';

async function within(
  kind: 'current' | 'older',
  encoding: string,
  work: (db: Filler & Connection) => Promise<void>,
): Promise<void> {
  const server = await serverUrl(kind);
  const admin = new pg.Client({ connectionString: server });
  await admin.connect();
  const name = `absurd_test_${randomBytes(8).toString('hex')}`;
  const { rows } = await admin.query<{ choice: string }>(
    `select case when current_setting('server_version_num')::int >= 150000 then 'locale_provider libc' else '' end as choice`,
  );
  await admin.query(
    `create database "${name}" template template0 encoding '${encoding}' ${rows[0]?.choice ?? ''} lc_collate 'C' lc_ctype 'C'`,
  );
  const url = new URL(server);
  url.pathname = `/${name}`;
  const db = await connectTo(url.href);
  try {
    await work(db);
  } finally {
    await db.client.end();
    await admin.query(`drop database "${name}" with (force)`);
    await admin.end();
  }
}

for (const encoding of ['LATIN1', 'SQL_ASCII']) {
  for (const kind of ['current', 'older'] as const) {
    test(`${encoding}: installed twice, and a task from its start to its end (${kind} server)`, async () => {
      await within(kind, encoding, async (db) => {
        await db.query(script);
        // 57 bytes as UTF-8, fewer in Latin-1.
        const queue = await db.queue('é'.repeat(28) + 'x', 'partitioned');
        await db.query(script);
        await expect(db.queue('é'.repeat(29))).rejects.toMatchObject({ code: '22023' });
        const spawned = await db.spawn(queue, 'tâche', { to: 'Zoë' }, { max_attempts: 2, idempotency_key: 'clé' });
        const [claimed] = await db.claim(queue);
        expect(claimed).toMatchObject({ task_id: spawned.task_id, task_name: 'tâche', params: { to: 'Zoë' } });
        await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', [
          queue,
          spawned.task_id,
          'étape',
          '"à"',
          spawned.run_id,
        ]);
        await db.query('select absurd.complete_run($1, $2, $3)', [queue, spawned.run_id, '{"ça": "va"}']);
        const shown = await run(['dump-task', '--task-id', spawned.task_id, '--json'], { url: db.url });
        expect(shown.json()).toMatchObject({ queue_name: queue, task_name: 'tâche', state: 'completed' });
        const check = await run(['migrate', '--check'], { url: db.url });
        expect(check.stderr).toBe('The schema is what this absurdctl ships\n');
      });
    });
  }
}
