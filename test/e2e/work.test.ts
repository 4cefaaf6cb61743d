import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCli, type RunningCli } from '../support/cli.js';
import { afterEach, beforeEach, expect, test, type TestDatabase } from '../support/database.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'absurd-work-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function module(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function work(db: TestDatabase, ...args: string[]): Promise<RunningCli> {
  const rhythm = args.includes('--poll-interval') ? [] : ['--poll-interval', '0.02'];
  return startCli(['work', ...args, ...rhythm, '--worker-id', 'w'], {
    env: { ABSURD_DATABASE_URL: db.url },
    cwd: folder,
  });
}

async function taskOf(db: TestDatabase, id: string): Promise<Record<string, unknown> | undefined> {
  const sql = 'select state, attempts, completed_payload as result from absurd.t_q where task_id = $1';
  return (await db.query(sql, [id])).rows[0];
}

const greeting = `
import { Absurd, TimeoutError } from 'absurdctl';
import { greet } from './greet.js';
interface Params { who: string }
export default (absurd: Absurd): void => {
  absurd.registerTask<Params>({ name: 'greet' }, async ({ who }, ctx) => {
    const text = await ctx.step('text', async () => greet(who));
    if (who === 'nobody') throw new TimeoutError('nobody is there');
    return { text, ours: absurd instanceof Absurd };
  });
};`;

test('a TypeScript module far from any installation works on its tasks until the queue is empty', async ({ db }) => {
  await db.queue('q');
  const good = await db.spawn('q', 'greet', { who: 'you' });
  const bad = await db.spawn('q', 'greet', { who: 'nobody' }, { max_attempts: 1 });
  module('greet.ts', 'export const greet = (who: string): string => `hello ${who}`;');
  const file = module('tasks.ts', greeting);

  const { code, stdout, stderr } = await (await work(db, file, '-q', 'q', '--burst')).done;

  expect(stderr).toContain(`completed  greet ${good.task_id} in `);
  expect(stderr).toContain(`failed     greet ${bad.task_id} TimeoutError: nobody is there`);
  expect(stderr).toMatch(/stopped +1 completed, 1 failed, 0 suspended\n$/);
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  expect(await taskOf(db, good.task_id)).toMatchObject({
    state: 'completed',
    result: { text: 'hello you', ours: true },
  });
});

test('an array of definitions in CommonJS; each names its queue, and events are JSON for machines', async ({ db }) => {
  await db.queue('q');
  await db.queue('other');
  const tasks = [await db.spawn('q', 'one'), await db.spawn('other', 'two')];
  const file = module(
    'tasks.cjs',
    `const { SuspendTask } = require('absurdctl');
     module.exports = [
       { name: 'one', queue: 'q', handler: async () => typeof SuspendTask },
       { name: 'two', queue: 'other', handler: async () => 2 },
     ];`,
  );

  const { code, stdout, stderr } = await (await work(db, file, '--burst', '-o', 'ndjson')).done;

  const events = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events[0]).toMatchObject({ event: 'worker_started', worker_id: 'w', queues: 'other, q', tasks: 'one, two' });
  const completed = events.filter(({ event }) => event === 'run_completed').map((event) => event.task_id);
  expect(completed.sort()).toEqual(tasks.map((task) => task.task_id).sort());
  expect(JSON.parse(stdout)).toEqual({ queues: ['other', 'q'], completed: 2, failed: 0, suspended: 0 });
  expect(code).toBe(0);
});

const gated = (gate: string): string => `
import { existsSync } from 'node:fs';
export default (absurd) => absurd.registerTask({ name: 'slow' }, async () => {
  while (!existsSync(${JSON.stringify(gate)})) await new Promise((resolve) => setTimeout(resolve, 10));
  return 'done';
});`;

test('SIGTERM waits for what runs, then ends with 0', async ({ db }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'slow');
  const gate = join(folder, 'gate');
  const worker = await work(db, module('tasks.mjs', gated(gate)), '-q', 'q');
  await worker.waitFor(/started +slow/);

  worker.kill('SIGTERM');
  await worker.waitFor(/stopping/);
  const during = await taskOf(db, task.task_id);
  writeFileSync(gate, '');

  expect((await worker.done).code).toBe(0);
  expect(during).toMatchObject({ state: 'running' });
  expect(await taskOf(db, task.task_id)).toMatchObject({ state: 'completed', result: 'done' });
});

test('a second Ctrl-C ends at once', async ({ db }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'slow');
  const worker = await work(db, module('tasks.mjs', gated(join(folder, 'never'))), '-q', 'q');
  await worker.waitFor(/started +slow/);

  worker.kill('SIGINT');
  await worker.waitFor(/stopping/);
  worker.kill('SIGINT');

  expect((await worker.done).code).toBe(130);
  expect(await taskOf(db, task.task_id)).toMatchObject({ state: 'running' });
});

test('--drain-timeout hands back what runs on, and its timers do not hold the process', async ({ db }) => {
  await db.queue('q');
  const task = await db.spawn('q', 'slow');
  const worker = await work(db, module('tasks.mjs', gated(join(folder, 'never'))), '-q', 'q', '--drain-timeout', '0');
  await worker.waitFor(/started +slow/);

  worker.kill('SIGTERM');

  expect((await worker.done).code).toBe(0);
  expect((await db.claim('q', { qty: 1 })).map((run) => run.task_id)).toEqual([task.task_id]);
});

test('--watch loads changed files again, and outlives a broken one', async ({ db }) => {
  await db.queue('q');
  module('answer.ts', 'export const answer: number = 1;');
  const file = module(
    'tasks.ts',
    `import { answer } from './answer.js';
     export default [{ name: 'ask', handler: async () => answer }];`,
  );
  const worker = await work(db, file, '-q', 'q', '--watch');
  await worker.waitFor(/started +w works on q: ask/);
  const first = await db.spawn('q', 'ask');
  await worker.waitFor(new RegExp(`completed +ask ${first.task_id}`));

  module('answer.ts', 'export const answer: number = ;');
  await worker.waitFor(/error +.*could not be loaded/);
  module('answer.ts', 'export const answer: number = 2;');
  await worker.waitFor(/(started +w works[^]*){2}/);
  const second = await db.spawn('q', 'ask');
  await worker.waitFor(new RegExp(`completed +ask ${second.task_id}`));
  worker.kill('SIGTERM');

  expect((await worker.done).code).toBe(0);
  expect(await taskOf(db, first.task_id)).toMatchObject({ result: 1 });
  expect(await taskOf(db, second.task_id)).toMatchObject({ result: 2 });
});

test('what cannot be worked with is named', async ({ db }) => {
  await db.queue('q');
  const none = module('none.ts', 'export default () => undefined;');
  const wrong = module('wrong.ts', 'export default [{ name: "x" }];');
  const broken = module('broken.ts', 'export default (absurd) => { throw new Error("no such setting"); };');
  const fine = module('fine.ts', 'export default [{ name: "x", handler: async () => 1 }];');
  const lines = async (...args: string[]): Promise<[number | null, string]> => {
    const { code, stderr } = await (await work(db, ...args)).done;
    return [code, stderr];
  };

  expect(await lines('missing.ts')).toEqual([3, expect.stringContaining('There is no file missing.ts')]);
  expect(await lines(none)).toEqual([2, expect.stringContaining('registers no task')]);
  expect(await lines(wrong)).toEqual([2, expect.stringContaining('Item 1 of the default export')]);
  expect(await lines(broken)).toEqual([1, expect.stringContaining('no such setting')]);
  expect((await lines(broken))[1]).toMatch(/no such setting\n +at /);
  const syntax = module('syntax.ts', 'export default [\n  { name: }\n];');
  expect((await lines(syntax))[1]).not.toContain(String.raw`\n`);
  expect(await lines(fine, '-q', 'qq')).toEqual([3, expect.stringContaining('There is no queue "qq"')]);
  expect(await lines(fine, '--concurrency', '0')).toEqual([2, expect.stringContaining('concurrency')]);
  expect(await lines(fine, '--poll-interval', 'soon')).toEqual([2, expect.stringContaining('number of seconds')]);
});
