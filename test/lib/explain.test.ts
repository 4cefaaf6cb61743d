/** What is said of an error does not depend on the language of the server's messages. */
import { Database } from '../../src/lib/connection/database.js';
import { resolveSettings } from '../../src/lib/connection/resolve.js';
import { explainError } from '../../src/lib/cli/explain.js';
import { adviceText } from '../../src/lib/cli/hint.js';
import { processIo } from '../../src/lib/cli/io.js';
import type { Io } from '../../src/lib/cli/io.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';

const io = (): Io => Object.assign(processIo(), { onInterrupt: () => () => undefined });

async function open(url: string): Promise<Database> {
  return Database.open(await resolveSettings({ database: url }, { env: {}, cwd: '/' }), io());
}

const fromServer = (code: string): Error =>
  Object.assign(new Error('keine Berechtigung für Schema absurd'), { severity: 'FEHLER', code });

/** A role of the test's own, and its address. */
async function withRole(db: TestDatabase, work: (role: string, url: string) => Promise<void>): Promise<void> {
  const role = `absurd_limited_${db.name.slice(-8)}`;
  const url = new URL(db.url);
  url.username = role;
  url.password = 'p';
  await db.query(`create role ${role} login password 'p'`);
  try {
    await work(role, url.href);
  } finally {
    await db.query(`drop owned by ${role}; drop role ${role}`);
  }
}

describe('a missing right', () => {
  test('of a role that has all rights of its kind: only the owner may make what lacks', async ({ db }) => {
    await db.queue('q');
    await withRole(db, async (role, url) => {
      const hint = async (): Promise<string | undefined> => {
        const database = await open(url);
        const asked = { queue: 'q', need: 'worker' as const, command: 'spawn-task' };
        const { hint: said } = await explainError(fromServer('42501'), database, asked);
        await database.close();
        return said === undefined ? said : adviceText(said);
      };
      expect((await run(['grants', role, '--as', 'reader', '--apply', '-d', db.url])).code).toBe(0);
      expect(await hint()).toContain(`absurdctl grants ${role} --as worker --apply`);
      expect((await run(['grants', role, '--as', 'worker', '--apply', '-d', db.url])).code).toBe(0);
      expect(await hint()).toContain('only the owner can create queues and their functions');
    });
  });

  test('a function that a queue lacks cannot be made by a worker: the hint names the owner', async ({ db }) => {
    await db.queue('q');
    await withRole(db, async (role, url) => {
      expect((await run(['grants', role, '--as', 'worker', '--apply', '-d', db.url])).code).toBe(0);
      await db.query(`drop function absurd."spawn:q"`);
      const refused = await run(['spawn-task', 'x', '-q', 'q', '-d', url]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('only the owner can create queues and their functions');
    });
  });
});

describe('a statement that ran out of time', () => {
  test("by the role's own limit names that limit, and no lock", async ({ db }) => {
    await db.queue('q');
    await withRole(db, async (role, url) => {
      await run(['grants', role, '--as', 'worker', '--apply', '-d', db.url]);
      await db.query(`alter role ${role} set statement_timeout = '1234ms'`);
      const database = await open(url);
      const error = await database.query('select pg_sleep(30)').catch((thrown: unknown) => thrown);
      const said = await explainError(error, database, { queue: 'q', need: 'worker' as const, command: 'spawn-task' });
      expect(said).toMatchObject({
        code: 'statement_timeout',
        hint: `statement_timeout is 1234ms (set for the role ${role}); PGOPTIONS='-c statement_timeout=0' overrides it`,
      });
      const ours = await database
        .read((inside) => inside.query('select pg_sleep(30)'), 50)
        .catch((thrown: unknown) => thrown);
      const hinted = await explainError(ours, database, { queue: 'q', need: 'reader' as const, command: 'why' });
      expect(hinted.code).toBe('statement_timeout');
      expect(adviceText(hinted.hint ?? '')).toContain('lock');
      await database.close();
    });
  });
});
