/** What people are told to type next is pasted into real shells here, and into a real psql's place: names stay names. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command } from '../../src/lib/cli/hint.js';
import { pastedIdent, pastedLiteral } from '../../src/sql/identifiers.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { hostileQueue, hostileTasks } from './hostile.js';

const names = [
  'plain',
  'x; rm -rf ~ #',
  '$(touch owned)',
  '`touch owned`',
  "it's'; touch owned; '",
  '"; touch owned; "',
  '-y',
  '--all',
  '-queue=x',
  '!! !$ ^a^b',
  '~root',
  '=ls',
  '*',
  '{a,b}',
  '& touch owned &',
  '| touch owned',
  '> owned',
  'a\\b\\\\',
  "back\\'; touch owned #",
  '${IFS}$HOME$0',
  ' ',
  'ünï 日本',
  'a\nb\ttouch owned\r',
  "\u001b[2J'; touch owned; '",
  'zero\u200bwidth\u202e',
  hostileQueue,
];

const invisible = /(?![ ])[\p{C}\p{Z}]/u;

/** Shells that are here. Only these two know `$'…'`, which names with control characters need. */
const shells = ['bash', 'zsh', 'sh', 'fish'].filter((shell) => spawnSync(shell, ['-c', 'exit 0']).status === 0);
const knows = (shell: string, name: string): boolean => !invisible.test(name) || ['bash', 'zsh'].includes(shell);

/** Pastes lines into a shell where `absurdctl` prints its arguments. */
function pasteAll(shell: string, lines: readonly string[], cwd: string): string[][] {
  const print =
    shell === 'fish'
      ? `function absurdctl; printf '%s\\0' $argv; printf '\\0'; end`
      : `absurdctl() { printf '%s\\0' "$@"; printf '\\0'; }`;
  const program = `${print}\n${lines.join('\n')}\n`;
  const { stdout } = spawnSync(shell, ['-c', program], { cwd, encoding: 'utf8', timeout: 60_000 });
  return stdout.split('\0\0').flatMap((one) => (one === '' ? [] : [one.split('\0')]));
}

const paste = (shell: string, line: string, cwd: string): string[] | undefined => pasteAll(shell, [line], cwd)[0];

test('a name is one word in every shell, and nothing of it runs', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-paste-'));
  try {
    expect(shells).toContain('bash');
    for (const shell of shells) {
      const lines = (name: string): string[] => [
        command('drop-queue', name, { json: true }).text(),
        command('why', { queue: name }).text(),
      ];
      const known = names.filter((name) => knows(shell, name));
      const expected = known.flatMap((name) =>
        name.startsWith('-')
          ? [
              ['drop-queue', '--json', '--', name],
              ['why', `--queue=${name}`],
            ]
          : [
              ['drop-queue', name, '--json'],
              ['why', '--queue', name],
            ],
      );
      expect(pasteAll(shell, known.flatMap(lines), cwd), shell).toEqual(expected);
      for (const name of names.filter((one) => !known.includes(one))) pasteAll(shell, lines(name), cwd);
      expect(existsSync(join(cwd, 'owned')), shell).toBe(false);
    }
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
});

interface Advice {
  next?: string[];
  findings?: { mend: string[] }[];
}

/** All command lines that `why` and `doctor` advise. */
async function advice(db: TestDatabase, name: string): Promise<string[]> {
  const tasks = await hostileTasks(db, name);
  const cancelled = await db.spawn(name, name);
  await db.query('select absurd.cancel_task($1, $2)', [name, cancelled.task_id]);
  const { task_id: waiter } = await db.spawn(name, 'waiter');
  const claimed = await db.claim(name, { qty: 9 });
  const run_id = claimed.find((one) => one.task_id === waiter)?.run_id;
  await db.query(`select absurd.await_event($1, $2, $3, 'step', $1)`, [name, waiter, run_id]);
  const lines: string[] = [];
  const ask = async (...argv: string[]): Promise<void> => {
    const result = await run([...argv, '--json'], { url: db.url });
    expect(result.stdout, `${argv.join(' ')}: ${result.stderr}`).not.toBe('');
    const { next = [], findings = [] } = result.json<Advice>();
    lines.push(...next, ...findings.flatMap(({ mend }) => mend));
  };
  for (const id of [...(Object.values(tasks) as string[]), waiter]) await ask('why', id);
  await ask('why', `--queue=${name}`);
  await ask('why', `--task-name=${name}`);
  await ask('doctor', '--fail-on', 'never');
  return lines.filter((line) => /^absurdctl [a-z-]+ /.test(line) && !/ID\b/.test(line));
}

test('advice about a hostile queue can be pasted, and is understood', { timeout: 60_000 }, async ({ db }) => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-paste-'));
  try {
    for (const name of ['$(touch owned)', '-y', hostileQueue]) {
      const lines = [...new Set(await advice(db, name))];
      const named = lines.filter((line) => line.includes('--queue') || line.includes(' -- '));
      expect(named.length, name).toBeGreaterThan(5);
      for (const line of named) {
        const argv = paste('bash', line, cwd);
        expect(
          argv?.some((word) => word === name || word === `--queue=${name}`),
          line,
        ).toBe(true);
        // What only looks is run as it is, for the name that a parser likes least: the command finds the queue under it.
        if (name !== '-y' || !/^(why|list-|queue-stats|dump-)/.test(argv?.[0] ?? '')) continue;
        const { code, stderr } = await run(argv ?? [], { url: db.url });
        expect(code, `${line}\n${stderr}`).toBe(0);
      }
      expect(existsSync(join(cwd, 'owned'))).toBe(false);
      await db.query('select absurd.drop_queue($1)', [name]);
    }
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
});

test('a queue that is registered without tables, and tables without a queue', async ({ db }) => {
  for (const name of ['-y', '$(touch owned)', hostileQueue]) {
    await db.queue(name);
    await db.query('delete from absurd.queues');
    const { stdout } = await run(['doctor', '--only', 'queue-unregistered', '--json'], { url: db.url });
    const [line = ''] = (JSON.parse(stdout) as Advice).findings?.[0]?.mend ?? [];
    const argv = paste('bash', line, tmpdir());
    expect(argv).toContain(name);
    expect((await run(argv ?? [], { url: db.url })).code).toBe(0);
    await db.query('select absurd.drop_queue($1)', [name]);
  }
});

test('SQL to paste: identifiers and literals mean what they name, and nothing in them is invisible', async ({ db }) => {
  for (const name of [...names, '!', 'a!b\\', '\u{1f468}\u200d\u{1f33e}\u{e0041}']) {
    const sql = `select ${pastedLiteral(name)} as ${pastedIdent(name)}`;
    expect(sql).not.toMatch(invisible);
    const { rows } = await db.query(sql);
    expect(rows, sql).toEqual([{ [name]: name }]);
  }
});

test('--show-sql of a hostile queue is a statement that detaches it, copied from a terminal or a pipe', async ({
  db,
}) => {
  const name = '"; drop schema absurd cascade; --\n\\%I';
  await db.freeze('2026-01-07T12:00:00Z');
  await db.queue(name, 'partitioned');
  const policy = { detach_mode: 'empty', detach_min_age: '40 days', partition_lookahead: '0' };
  await db.query('select absurd.set_queue_policy($1, $2)', [name, JSON.stringify(policy)]);
  await db.freeze('2026-03-04T12:00:00Z');
  const argv = ['list-detach-candidates', '--show-sql'];
  const piped = (await run(argv, { url: db.url })).stdout.split('\n')[1]?.split('\t').at(-1) ?? '';
  const drawn = (await run(argv, { url: db.url, width: 1000 })).stdout.split('\n')[1] ?? '';
  expect(piped).toMatch(/^alter table absurd\.U&"/);
  expect(drawn).toContain(piped);
  await db.query(piped);
  const [json] = (await run([...argv, '--json'], { url: db.url })).json<{ partition: string; sql: string }[]>();
  await db.query(json?.sql ?? '');
  const detached = await run(['detach-candidate', `t_${name}_602`, '--drop', '--json'], { url: db.url });
  expect(detached.json()).toMatchObject({ dropped: true, partition: `t_${name}_602` });
});

test('the jobs of pg_cron for a hostile queue are statements about that queue', async ({ db }) => {
  await db.query(`
    create schema cron;
    create table cron.job (jobid bigint generated always as identity, schedule text, command text, jobname text);
    create function cron.schedule(a text, b text, c text) returns bigint language sql as
      'insert into cron.job (jobname, schedule, command) values (a, b, c) returning jobid';
    create function cron.unschedule(a bigint) returns boolean language sql as 'delete from cron.job where jobid = a; select true'`);
  const name = `'; drop schema absurd cascade; --\\ "$$ %s`;
  await db.queue(name, 'partitioned');
  expect((await run(['cron', '--enable', '-q', name], { url: db.url })).code).toBe(0);
  const { rows } = await db.query<{ command: string }>('select command from cron.job');
  expect(rows).toHaveLength(3);
  for (const { command } of rows) await db.query(command);
  expect((await run(['list-queues'], { url: db.url })).stdout).toBe(`${name.replaceAll('\\', '\\\\')}\n`);
  expect((await run(['cron', '--disable', '-q', name, '--json'], { url: db.url })).json()).toHaveLength(3);
});
