/**
 * Each kind of role can do all that it is for, nothing beyond, and needs every right that it gets. A kind has the rights of
 * the kinds before it (grants.test.ts), so each runs the commands that are its own, and is refused those of the kinds after it.
 */
import { Absurd as Other } from 'absurd-sdk';
import pg from 'pg';
import { kinds, type Kind } from '../../src/lib/grants/kinds.js';
import { Absurd } from '../../src/sdk/index.js';
import { run, type RunResult } from '../support/command.js';
import { createDatabase, describe, expect, test, type TestDatabase } from '../support/database.js';
import { everyLine, named, type Line } from './every-command.js';
import { errorOf, fill, makeQueue, runLine, snapshot, standInForCron, withFolder, withGrants } from './roles.js';
import { callEverything } from './worker-calls.js';

const modes = ['unpartitioned', 'partitioned'] as const;
type Mode = (typeof modes)[number];

/** What a command said, with what could not be read: nothing, where all is well. */
function complaint(command: string, { code, stdout, stderr }: RunResult): string {
  if (code !== 0) return `exit ${code}: ${stderr}`;
  if (!/^(why|doctor) /.test(command)) return '';
  const { unread } = JSON.parse(stdout) as { unread: { what: string }[] };
  return unread.map(({ what }) => what).join(', ');
}

const linesOf = (mode: Mode, wanted: (line: Line) => boolean): Line[] =>
  everyLine.filter((line) => wanted(line) && (line.only !== 'partitioned' || mode === 'partitioned'));

const isBeyond = (kind: Kind, { needs }: Line): boolean =>
  needs !== 'none' && (needs === 'owner' || kinds.indexOf(needs) > kinds.indexOf(kind));

async function withQueue(
  server: 'current' | 'older',
  mode: Mode,
  work: (db: TestDatabase, queue: string, folder: string) => Promise<void>,
): Promise<void> {
  const lease = await createDatabase(server, true);
  try {
    await standInForCron(lease.database);
    const queue = await makeQueue(lease.database, mode);
    await withFolder((folder) => work(lease.database, queue, folder));
  } finally {
    await lease.close();
  }
}

/** Gives back what of the kind's own commands, and for a worker of the functions, is refused to the role. */
async function refusals(
  db: TestDatabase,
  {
    kind,
    mode,
    queue,
    url,
    other,
    folder,
  }: Record<'queue' | 'url' | 'other' | 'folder', string> & { kind: Kind; mode: Mode },
  enough = Infinity,
): Promise<string[]> {
  const said: string[] = [];
  if (kind === 'worker') {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const refused = await callEverything(client, queue).finally(() => client.end());
    if (refused !== null) said.push(refused);
  }
  let given = await fill(db, queue, other, folder);
  for (const line of linesOf(mode, ({ needs }) => needs === kind)) {
    if (said.length >= enough) break;
    const command = named(line, given);
    const words = complaint(command, await runLine(line, given, url, folder));
    if (words !== '') said.push(`${command}: ${words}`);
    if (kind !== 'reader') given = await fill(db, queue, other, folder);
  }
  return said;
}

for (const server of ['current', 'older'] as const) {
  describe(`${server} server`, () => {
    for (const mode of server === 'current' ? modes : (['partitioned'] as const)) {
      // Skipped: the rights on pg_cron's schema, the membership that lets operators see sessions, and partial answers of
      // maintain are not told apart yet.
      test.for(kinds)(`a %s can do what it is for, and nothing beyond: ${mode} queue`, { timeout: 120_000 }, (kind) =>
        withQueue(server, mode, (db, queue, folder) =>
          withGrants(db, kind, async ({ name, url }, other) => {
            expect(await refusals(db, { kind, mode, queue, url, other, folder })).toEqual([]);

            const given = await fill(db, queue, other, folder);
            const before = await snapshot(db);
            const wrong: string[] = [];
            for (const line of linesOf(mode, (candidate) => isBeyond(kind, candidate))) {
              const refused = await runLine(line, given, url, folder);
              const { code, hint } = errorOf(refused);
              const words =
                line.needs === 'owner' ? '-U postgres' : `absurdctl grants ${name} --as ${line.needs} --apply`;
              if (code !== 'not_permitted' || refused.code !== 1 || !hint?.includes(words)) {
                wrong.push(`${named(line, given)}: exit ${refused.code}, ${refused.stderr}${refused.stdout}`);
              }
            }
            expect(wrong).toEqual([]);
            expect(await snapshot(db)).toEqual(before);
          }),
        ),
      );
    }
  });
}

/** Each privilege of each statement, as the statements that take it away and give it back. */
function singleRights(statement: string, role: string): { revoke: string; grant: string }[] {
  // Without it every command works; why and doctor see less, and say so.
  if (statement.startsWith('grant "pg_read_all_stats" to ')) return [];
  const [, privileges = '', on = ''] = /^grant (.+?) on (.+) to "/s.exec(statement) ?? [];
  return privileges.split(/, (?![^(]*\))/).map((privilege) => ({
    revoke: `revoke ${privilege} on ${on} from "${role}"`,
    grant: `grant ${privilege} on ${on} to "${role}"`,
  }));
}

for (const mode of modes) {
  test.for(kinds)(`a %s needs each single right that its kind adds: ${mode} queue`, { timeout: 240_000 }, (kind) =>
    withQueue('current', mode, (db, queue, folder) =>
      withGrants(db, kind, async ({ name, url }, other) => {
        const rightsOf = async (of: Kind): Promise<{ revoke: string; grant: string }[]> =>
          (await run(['grants', name, '--as', of, '--json'], db))
            .json<{ statement: string }[]>()
            .flatMap(({ statement }) => singleRights(statement, name));
        const smaller = kind === 'reader' ? [] : await rightsOf(kinds[kinds.indexOf(kind) - 1] ?? 'reader');
        const own = (await rightsOf(kind)).filter(({ grant }) => !smaller.some((known) => known.grant === grant));
        expect(own.length).toBeGreaterThan(5);
        const useless: string[] = [];
        for (const { revoke, grant } of own) {
          await db.query(revoke);
          const broken = await refusals(db, { kind, mode, queue, url, other, folder }, 1);
          if (broken.length === 0) useless.push(grant);
          await db.query(grant);
        }
        expect(useless).toEqual([]);
      }),
    ),
  );
}

test.for(modes)('a worker is enough for both SDKs, with wake-ups: %s queue', (mode) =>
  withQueue('current', mode, (db, queue) =>
    withGrants(db, 'worker', async ({ url }) => {
      await db.query('select absurd.set_queue_wakeup($1, true)', [queue]);
      const pool = new pg.Pool({ connectionString: url });
      const log = { log() {}, info() {}, warn() {}, error() {} };
      const client = {
        ours: new Absurd({ db: pool, queueName: queue, log }),
        theirs: new Other({ db: pool, queueName: queue, log }),
      };
      type Ctx = {
        step<T>(name: string, fn: () => Promise<T>): Promise<T>;
        sleepFor(name: string, seconds: number): Promise<void>;
        awaitEvent(name: string): Promise<unknown>;
      };
      const handler = async (_: unknown, ctx: Ctx): Promise<unknown> => {
        const one = await ctx.step('one', async () => 1);
        await ctx.sleepFor('nap', 0.01);
        return [one, await ctx.awaitEvent('go')];
      };
      client.ours.registerTask({ name: 'flow' }, handler as never);
      client.theirs.registerTask({ name: 'flow' }, handler as never);
      const failures: unknown[] = [];
      const onError = (error: Error): number => failures.push(error.message);
      const worker = await client.ours.startWorker({ pollInterval: 0.02, onError });
      try {
        const first = await client.ours.spawn('flow', {}, { idempotencyKey: 'one' });
        const second = await client.theirs.spawn('flow', {});
        await client.theirs.emitEvent('go', { n: 2 });
        const result = { state: 'completed', result: [1, { n: 2 }] };
        expect(await client.ours.awaitTaskResult(first.taskID, { timeout: 20 })).toMatchObject(result);
        expect(await client.ours.awaitTaskResult(second.taskID, { timeout: 20 })).toMatchObject(result);
      } finally {
        await worker.close();
        await pool.end();
      }
      expect(failures).toEqual([]);
    }),
  ),
);
