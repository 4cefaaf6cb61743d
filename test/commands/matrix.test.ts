/** Every command against servers and schemas that are not as it would like them. */
import { withoutDatabase } from '../../src/lib/cli/hint.js';
import { loadCommands, topicSummaries } from '../../src/main.js';
import { quoteIdent } from '../../src/sql/identifiers.js';
import { installOlder } from '../sql/older.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';
import { everyLine, named, type Given, type Line } from './every-command.js';
import { errorOf, runLine, standInForCron, withFolder, withRole } from './roles.js';

const id = (n: number): string => `019a32d3-8425-7ae2-a5af-2f17a67076${n}0`;

const given: Given = {
  queue: 'q',
  role: 'postgres',
  failed: id(1),
  open: id(2),
  done: id(3),
  step: 'charge',
  event: 'paid',
  candidate: 't_q_401',
  detached: 'w_q_401',
  exported: 'exported.json',
  schedule: 'hourly',
  schedules: 'schedules.json',
  module: 'open.mjs',
};

const withDatabase = everyLine.filter(({ needs: need }) => need !== 'none');
const commandOf = ({ command }: Line): string => command;

test('every command declares a topic and samples, and hints know which take no database', async () => {
  const commands = (await loadCommands()).map(({ id }) => id).sort();
  const shown = (await topicSummaries()).flatMap((topic) => topic.commands.map(({ id }) => id));
  expect(shown.sort()).toEqual(commands);
  expect([...new Set(everyLine.map(commandOf))].sort()).toEqual(commands);
  const none = (await loadCommands()).filter(({ flags = {} }) => !('database' in flags)).map(({ id }) => id);
  expect(none.sort()).toEqual([...withoutDatabase].sort());
});

/** Runs lines and gathers what was not as it should be. */
async function complaints(
  lines: Line[],
  url: string,
  judge: (line: Line, result: { code: number; stdout: string; stderr: string }) => string | null,
): Promise<string[]> {
  return withFolder(async (folder) => {
    const wrong: string[] = [];
    for (const line of lines) {
      const result = await runLine(line, given, url, folder);
      const said = judge(line, result);
      if (said !== null) wrong.push(`${named(line, given)}: ${said} (exit ${result.code}, ${result.stderr.trim()})`);
    }
    return wrong;
  });
}

test('a server that is not there: 5, with the address', { timeout: 120_000 }, async () => {
  const wrong = await complaints(withDatabase, 'postgresql://nobody@127.0.0.1:1/none', (_, result) => {
    const { code, message } = errorOf(result as never);
    return result.code === 5 && code === 'unreachable' && message.includes('127.0.0.1:1') ? null : 'expected 5';
  });
  expect(wrong).toEqual([]);
});

test('a database without a schema: 5, and init is named', { timeout: 120_000 }, async ({ emptyDatabase: db }) => {
  // init makes it, uninstall has nothing to do; --check, doctor and a plan answer that nothing is there, schema-version that it is unknown.
  const lines = withDatabase.filter((line) => !['init', 'uninstall'].includes(commandOf(line)));
  const wrong = await complaints(lines, db.url, (line, result) => {
    if (/^(doctor|migrate --(check|dry-run))/.test(named(line, given))) {
      return /missing|no Absurd schema|"installed": false/.test(result.stdout) ? null : 'does not say so';
    }
    if (commandOf(line) === 'schema-version') return result.stdout.includes('null') ? null : 'does not say so';
    const { code, hint } = errorOf(result as never);
    if (line.only === 'cron') return code === 'cron_missing' ? null : 'expected cron_missing';
    return result.code === 5 && code === 'schema_missing' && hint?.includes('absurdctl init') ? null : 'expected 5';
  });
  expect(wrong).toEqual([]);
  const { rows } = await db.query(`select to_regnamespace('absurd') as found`);
  expect(rows[0]).toEqual({ found: null });
});

test('a role without rights: 1, and the grant is named', { timeout: 120_000 }, async ({ db }) => {
  await db.queue('q');
  await standInForCron(db);
  await withRole(db, async ({ name, url }) => {
    const wrong = await complaints(withDatabase, url, (line, result) => {
      const { code, hint } = errorOf(result as never);
      const wanted =
        line.needs === 'owner' ? '-U postgres' : `absurdctl grants ${name} --as ${line.needs} --apply -U postgres`;
      return result.code === 1 && code === 'not_permitted' && hint?.includes(wanted) ? null : `expected ${wanted}`;
    });
    expect(wrong).toEqual([]);
  });
});

/** A failed task with a step, a pending and a completed one, an event: written as that version's functions would. */
async function fillOlder(db: TestDatabase): Promise<void> {
  const task = async (n: number, state: string, more = ''): Promise<void> => {
    await db.query(
      `insert into absurd.t_q (task_id, task_name, params, state, attempts, last_attempt_run, completed_payload)
       values ($1, 'open', '{}', $2, 1, $3, ${state === 'completed' ? `'1'` : 'null'})`,
      [id(n), state, id(n + 3)],
    );
    await db.query(
      `insert into absurd.r_q (run_id, task_id, attempt, state, available_at${more && ', failed_at, failure_reason'})
       values ($1, $2, 1, $3, now()${more && `, now(), '{"message": "no"}'`})`,
      [id(n + 3), id(n), state],
    );
  };
  await task(1, 'failed', 'failure');
  await task(2, 'pending');
  await task(3, 'completed');
  await db.query(
    `insert into absurd.c_q (task_id, checkpoint_name, state, status, owner_run_id) values ($1, 'charge', '1', 'committed', $2)`,
    [id(1), id(4)],
  );
  await db.query(`insert into absurd.e_q (event_name, payload, emitted_at) values ('paid', '1', now())`);
}

describe.for(['0.2.0', '0.3.0', '0.4.0', '0.5.0'])("the original's schema %s", (version) => {
  test('reads answer; what it lacks is named', { timeout: 120_000 }, async ({ emptyDatabase: db }) => {
    await installOlder(db, version);
    await fillOlder(db);
    const before = await db.query(`select ${quoteIdent('task_id')}, state from absurd.t_q order by 1`);
    // These bring the schema up to date, or take the queue away.
    const lines = withDatabase.filter(
      (line) =>
        line.needs === 'reader' || !/^(init|migrate|drop-queue|work|grants|uninstall|maintain)/.test(commandOf(line)),
    );
    const wrong = await complaints(lines, db.url, (line, result) => {
      if (result.code === 0) return null;
      const { code, message, hint } = errorOf(result as never);
      if (code === 'schema_too_old' && hint?.includes('absurdctl init')) return null;
      // The stand-in for that version's function was reached: the real one would have done it.
      if (message.includes(`a function of schema ${version}`)) return null;
      if (line.needs === 'reader') return 'a read must answer, or name init';
      return ['cron_missing', 'not_listed', 'no_partition', 'bad_value', 'usage'].includes(code)
        ? null
        : 'neither done nor explained';
    });
    expect(wrong).toEqual([]);
    const after = await db.query('select task_id, state from absurd.t_q order by 1');
    expect(after.rows).toEqual(expect.arrayContaining(before.rows));
  });
});
