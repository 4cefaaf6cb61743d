import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, type TestDatabase } from '../support/database.js';
import { run, type RunOptions } from '../support/command.js';
import { startPty } from '../support/pty.js';
import { harmless, harmlessJson } from '../../src/lib/cli/format/text.js';
import { attack, dangers, fakes, hostileQueue, hostileTasks, type HostileTasks } from './hostile.js';

/** Every command that shows what is stored, and errors that repeat what was typed. */
function looks(tasks: HostileTasks): string[][] {
  const { failed, waiting, expired, pending } = tasks;
  return [
    ['list-queues'],
    ['queue-policy', hostileQueue],
    ['queue-stats'],
    ['queue-stats', '--by', 'task-name'],
    ['list-tasks'],
    ['list-tasks', '-q', hostileQueue, '--status', 'failed'],
    ['list-runs'],
    ['list-waits'],
    ['list-events'],
    ['list-workers'],
    ['list-checkpoints', failed],
    ['show-checkpoint', failed, `step${attack}`],
    ['show-checkpoint', failed, `stup${attack}`],
    ['show-event', `event${attack}`],
    ['show-event', `evnet${attack}`],
    ['show-event', `never${attack}`],
    ...[failed, waiting, expired].map((id) => ['dump-task', id]),
    ...[failed, waiting, expired, pending].map((id) => ['why', id]),
    ['why', '--queue', hostileQueue],
    ['why', '--task-name', `pending${attack}`],
    ['why', '--task-name', `pendnig${attack}`],
    ['doctor', '--fail-on', 'never'],
    ['await-task', failed],
    ['await-task', failed, expired, '--timeout', '0'],
    ['fork-task', failed, '--dry-run', '--from-step', `step${attack}`],
    ['fork-task', failed, '--dry-run', '--from-step', `stpe${attack}`],
    ['retry-task', '--all', '--dry-run'],
    ['cancel-task', '--all', '--dry-run'],
    ['cancel-task', '--all', '-q', `x${attack}`],
    ['cleanup', hostileQueue, '0', '--dry-run'],
    ['drop-queue', hostileQueue],
    ['create-queue', `too-long${attack}${attack}`],
    ['create-queue', hostileQueue, '--storage-mode', 'partitioned'],
    ['create-queue', hostileQueue, '--storage-mode', attack],
    ['spawn-task', 'x', '-q', attack],
    ['spawn-task', 'x', '-P', attack],
    ['spawn-task', 'x', '-P', `a:=${attack}`],
    ['spawn-task', 'x', '--params', `@${attack}`],
    ['spawn-task', `x${attack}`, '-q', hostileQueue, '--idempotency-key', `key-failed${attack}`],
    ['emit-event', `event${attack}`, '-q', hostileQueue],
    ['export-task', failed],
    ['import-task', attack],
    ['list-detach-candidates', '-q', attack],
    ['detach-candidate', attack],
    ['cron', '--enable', '-q', attack],
    ['doctor', '--only', attack],
    [attack],
    ['list-tasks', `--${attack}`],
    ['list-tasks', attack],
    ['list-tasks', '-o', attack],
    ['list-tasks', '-p', attack],
    ['list-queues', '-d', attack, '-h', '127.0.0.1', '-p', '1'],
    ['list-queues', '-U', attack, '-h', '127.0.0.1', '-p', '1', '-v'],
    ['dump-task', failed, '--redact', attack],
  ];
}

interface Shown {
  argv: string[];
  text: string;
}

async function show(
  db: TestDatabase,
  tasks: HostileTasks,
  extra: readonly string[],
  options: RunOptions,
): Promise<Shown[]> {
  const shown: Shown[] = [];
  for (const argv of looks(tasks)) {
    const { stdout, stderr } = await run([...argv, ...extra], { url: db.url, ...options });
    shown.push({ argv: [...argv, ...extra], text: stdout + stderr });
  }
  return shown;
}

test.for([{ mode: [] }, { mode: ['-o', 'json'] }, { mode: ['-o', 'csv'] }, { mode: ['-o', 'name'] }] as const)(
  'nothing that is stored or typed moves the cursor of a terminal, hides a word or makes a row of its own ($mode)',
  { timeout: 120_000 },
  async ({ mode }, { fileDb: db }) => {
    const { rows } = await db.query<{ n: number }>('select count(*)::int as n from absurd.queues');
    if (rows[0]?.n === 0) await hostileTasks(db);
    const tasks = await ids(db);
    for (const width of mode.length === 0 ? [60, 240] : [100]) {
      for (const { argv, text } of await show(db, tasks, mode, { width })) {
        expect(dangers(text), `${JSON.stringify(argv)} at ${width} columns`).toEqual([]);
        expect(fakes(text), JSON.stringify(argv)).toEqual([]);
      }
    }
  },
);

async function ids(db: TestDatabase): Promise<HostileTasks> {
  const { rows } = await db.query<{ task_id: string; task_name: string }>(
    `select task_id, task_name from absurd."t_${hostileQueue.replaceAll('"', '""')}"`,
  );
  const of = (word: string): string => rows.find(({ task_name }) => task_name.startsWith(word))?.task_id ?? '';
  return { failed: of('failed'), waiting: of('waiting'), expired: of('expired'), pending: of('pending') };
}

test('in a pipe, a row is a line whatever its cells hold', { timeout: 60_000 }, async ({ db }) => {
  for (const { argv, text } of await show(db, await hostileTasks(db), [], {})) {
    // What was typed wrongly is repeated; what is stored stands in cells.
    expect(fakes(text), JSON.stringify(argv)).toEqual([]);
  }
});

test('colours are ours alone', async ({ db }) => {
  const { failed } = await hostileTasks(db);
  const sgr = /\u001b\[[0-9;]*m/g;
  for (const argv of [['list-tasks'], ['list-queues'], ['dump-task', failed]]) {
    const now = new Date();
    const plain = await run(argv, { url: db.url, width: 200, now });
    const painted = await run(argv, { url: db.url, width: 200, now, colour: true });
    expect(painted.stdout).toMatch(sgr);
    expect(painted.stdout.replace(sgr, '')).toBe(plain.stdout);
  }
});

test('metrics: a label is one line, and its quotes are closed', async ({ db }) => {
  await hostileTasks(db);
  for (const command of ['doctor', 'queue-stats']) {
    const piped = await run([command, '-o', 'openmetrics'], { url: db.url });
    for (const line of piped.stdout.trimEnd().split('\n')) {
      expect(line).toMatch(/^(# (TYPE|HELP|EOF).*|\w+(\{(\w+="([^"\\]|\\[\\"n])*",?)*\})? [\d.e+-]+)$/s);
    }
    const drawn = await run([command, '-o', 'openmetrics'], { url: db.url, width: 80 });
    expect(dangers(drawn.stdout)).toEqual([]);
  }
});

test('JSON for a terminal still says what JSON in a pipe says', async ({ db }) => {
  await hostileTasks(db);
  const piped = await run(['list-tasks', '--json'], { url: db.url });
  const drawn = await run(['list-tasks', '--json'], { url: db.url, width: 80 });
  expect(drawn.stdout).not.toBe(piped.stdout);
  expect(drawn.json()).toEqual(piped.json());
  for (let code = 0; code <= 0x2100; code++) {
    const text = String.fromCodePoint(code);
    expect(JSON.parse(harmlessJson(JSON.stringify(text)))).toBe(text);
  }
});

test('every character of Unicode that a terminal may obey is escaped, and no letter is', () => {
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const text = String.fromCodePoint(code);
    const obeyed = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(text);
    if (obeyed) expect(harmless(text), `U+${code.toString(16)}`).toMatch(/^\\[\w{}]+$/);
    else if (/[\p{L}\p{N}\p{M}\p{P}\p{S}\p{Emoji}]/u.test(text)) expect(harmless(text)).toBe(text);
  }
});

test('the database, the role and the application that a name comes from may be hostile too', async ({ db }) => {
  const name = `d${attack}`.slice(0, 40);
  const quoted = `"${name.replaceAll('"', '""')}"`;
  const role = `"r${attack}"`;
  await db.query(`create database ${quoted}`);
  await db.query(`create role ${role} login superuser password 'x'`);
  try {
    const url = new URL(db.url);
    url.pathname = `/${encodeURIComponent(name)}`;
    url.username = encodeURIComponent(`r${attack}`);
    url.password = 'x';
    for (const argv of [
      ['list-queues'],
      ['init', '-v'],
      ['doctor', '--fail-on', 'never'],
      ['migrate', '--check'],
      ['migrate', '--dry-run'],
      ['cron', '--enable'],
      ['why', '-q', 'x'],
    ]) {
      for (const mode of [[], ['--json']]) {
        const { stdout, stderr } = await run([...argv, ...mode], { url: url.href, width: 100 });
        expect(dangers(stdout + stderr), argv.join(' ')).toEqual([]);
        expect(fakes(stdout + stderr), argv.join(' ')).toEqual([]);
      }
    }
  } finally {
    await db.query(`drop database ${quoted} with (force)`);
    await db.query(`drop role ${role}`);
  }
});

test('questions and progress on a real terminal', { timeout: 60_000 }, async ({ db }) => {
  await hostileTasks(db);
  const env = { ABSURD_DATABASE_URL: db.url };
  const asked = await startPty(['cancel-task', '-q', hostileQueue, '--all'], { env });
  await asked.waitFor(/\(y\/N\)/);
  asked.type('n\r');
  expect((await asked.done).code).toBe(4);
  const typed = await startPty(['drop-queue', hostileQueue], { env });
  await typed.waitFor(/Type yes/);
  typed.type('no\r');
  expect((await typed.done).code).toBe(0);
  const url = new URL(db.url);
  url.password = '';
  url.username = encodeURIComponent(attack);
  const password = await startPty(['list-queues', '-d', url.href], { env });
  await password.waitFor(/Password for/);
  password.type('nothing\r');
  expect((await password.done).code).toBe(5);
  for (const session of [asked, typed, password]) {
    expect(session.raw()).not.toMatch(/\u001b\]|\u001b\[2J[^\u001b]*\u009b|[\u0080-\u009f\u202a-\u202e\u2066-\u2069]/);
    expect(fakes(session.text())).toEqual([]);
  }
});

/** A worker's words come on standard error line by line; a stack or a log of many lines stays one line of them. */
test('what a worker says of hostile tasks, and what a hostile module logs', { timeout: 60_000 }, async ({ db }) => {
  await db.queue(hostileQueue);
  const folder = mkdtempSync(join(tmpdir(), 'absurd-hostile-'));
  try {
    const file = join(folder, 'tasks.cjs');
    writeFileSync(
      file,
      `const attack = ${JSON.stringify(attack)};
       module.exports = (absurd) => {
         absurd.registerTask({ name: 'x' + attack }, async (params, ctx) => {
           throw Object.assign(new Error('oh' + attack), { name: 'Bad' + attack, stack: 'stack' + attack });
         });
       };`,
    );
    for (const mode of [[], ['--json']]) {
      await db.spawn(hostileQueue, `x${attack}`, {}, { max_attempts: 1 });
      await db.spawn(hostileQueue, `unknown${attack}`, {}, { max_attempts: 1 });
      const argv = ['work', file, '-q', hostileQueue, '--burst', '--worker-id', attack, '--poll-interval', '0.02'];
      const session = await startPty([...argv, ...mode], { env: { ABSURD_DATABASE_URL: db.url, NO_COLOR: '1' } });
      expect((await session.done).code, session.text()).toBe(0);
      expect(session.text()).toContain('x\\');
      expect(dangers(session.raw().replaceAll('\r\n', '\n'))).toEqual([]);
      expect(fakes(session.raw())).toEqual([]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
