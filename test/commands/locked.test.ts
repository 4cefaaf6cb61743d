/** Every command that writes, while another session holds all tables: it ends by itself, and says that a lock was in the way. */
import { quoteIdent } from '../../src/sql/identifiers.js';
import { expect, test } from '../support/database.js';
import { everyLine, named } from './every-command.js';
import { errorOf, fill, makeQueue, runLine, withFolder } from './roles.js';

/** They wait on purpose, and say so: a worker until its tables are free, an upgrade for several attempts. */
const patient = ['work', 'init', 'migrate', 'grants'];

test('no command that writes waits for a lock without limit', { timeout: 120_000 }, async ({ db }) => {
  await withFolder(async (folder) => {
    const given = await fill(db, await makeQueue(db, 'partitioned'), 'postgres', folder);
    const { rows } = await db.query<{ name: string }>(
      `select c.relname::text as name from pg_class c
        where c.relnamespace = 'absurd'::regnamespace and c.relkind in ('r', 'p')`,
    );
    const tables = rows.map(({ name }) => `absurd.${quoteIdent(name)}`).join(', ');
    const holder = await db.connect();
    await holder.query(`begin; lock table ${tables} in exclusive mode`);
    const lines = everyLine.filter(
      ({ needs, command, only }) =>
        !['none', 'reader'].includes(needs) && !patient.includes(command) && only !== 'cron',
    );
    const wrong: string[] = [];
    await Promise.all(
      lines.map(async (line) => {
        const result = await runLine(line, given, db.url, folder);
        const said =
          result.code === 1 &&
          `${errorOf(result).code}${result.stdout}`.match(/lock_timeout|another session|lock timeout/);
        if (!said) wrong.push(`${named(line, given)}: ${result.code} ${result.stderr}${result.stdout}`);
      }),
    );
    await holder.query('rollback');
    expect(wrong).toEqual([]);
    expect(lines.length).toBeGreaterThan(15);
  });
});
