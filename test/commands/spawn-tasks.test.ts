import { appendFileSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LineBatches } from '../../src/lib/task/line-batches.js';
import { checkLines, spawnInBatches } from '../../src/lib/task/spawn-batches.js';
import { checkSpawnLine } from '../../src/lib/task/spawn-lines.js';
import { readFileTwice } from '../../src/lib/task/spool.js';
import { queryable } from '../diagnosis/support.js';
import { run } from '../support/command.js';
import { bin, cleanEnv } from '../support/cli.js';
import { describe, ensureBuilt, expect, test, vi } from '../support/database.js';

const line = (name: string, extra: object = {}): string => JSON.stringify({ name, ...extra });

test('spawns every line of a file, in order, keeping every digit', async ({ db }) => {
  await db.queue('q');
  const file = join(mkdtempSync(join(tmpdir(), 'absurd-')), 'tasks.ndjson');
  const lines = [
    '\ufeff{"name": "a", "params": {"id": 12345678901234567890, "price": 1.10}, "options": {"max_attempts": 2, "headers": {"h": 1}}}',
    '',
    '{"name": "it\'s", "params": [1]}\r',
    '{"options": {"idempotency_key": "k", "cancellation": {"max_delay": 5}, "retry_strategy": {"kind": "fixed"}}, "name": "c"}',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);

  const { code, stdout, stderr } = await run(['spawn-tasks', file, '-q', 'q'], db);

  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: 'Queue: q\nLines: 3\nSpawned: 3\nAlready there: 0\n',
    stderr: '',
  });
  const { rows } = await db.query(
    'select task_name, params::text, max_attempts, headers, idempotency_key, cancellation from absurd.t_q order by task_name',
  );
  expect(rows).toMatchObject([
    { task_name: 'a', params: '{"id": 12345678901234567890, "price": 1.10}', max_attempts: 2, headers: { h: 1 } },
    { task_name: 'c', params: '{}', idempotency_key: 'k', cancellation: { max_delay: 5 } },
    { task_name: "it's", params: '[1]' },
  ]);
});

test('with keys the same lines may be sent again', async ({ db }) => {
  await db.queue('default');
  const stdin = Array.from({ length: 1200 }, (_, n) =>
    line('job', { params: n, options: { idempotency_key: `k${n}` } }),
  ).join('\n');
  const first = await run(['spawn-tasks', '-', '--json'], { ...db, stdin });
  const again = await run(['spawn-tasks', '-', '--json'], { ...db, stdin });
  expect(first.json()).toMatchObject({ total: 1200, spawned: 1200, existing: 0 });
  expect(again.json()).toMatchObject({ total: 1200, spawned: 0, existing: 1200 });
  const ids = (result: typeof first): unknown =>
    result.json<{ tasks: { task_id: string; line: number }[] }>().tasks.map((task) => [task.line, task.task_id]);
  expect(ids(again)).toEqual(ids(first));
  expect((await db.query('select count(*)::int as n from absurd.t_default')).rows).toEqual([{ n: 1200 }]);
});

test.for([
  ['no JSON', '{"name": ', 'is not JSON'],
  ['a zero character', '{"name": "a", "params": {"deep": ["\\u0000"]}}', '\\u0000'],
  ['a zero character in a key that comes again', '{"name": "a", "params": {"\\u0000": 1, "\\u0000": 2}}', '\\u0000'],
  ['half of a pair', '{"name": "a", "params": {}, "options": {"headers": {"h": "\\ud83d"}}}', 'surrogate'],
  ['halves the wrong way round', '{"name": "a", "params": "\\ude00\\ud83d"}', 'surrogate'],
  ['a number that is too large', '{"name": "a", "params": 1e131072}', '1e131072'],
  ['a number that is too fine', '{"name": "a", "params": -0.1e-16383}', '-0.1e-16383'],
  ['no object', '[1]', 'is not an object'],
  ['no name', '{"params": {}}', 'has no "name"'],
  ['a blank name', line(' '), 'has no "name"'],
  ['an unknown member', line('a', { parms: 1 }), '"parms"'],
  ['options of the wrong shape', line('a', { options: [] }), 'not an object'],
  ['an unknown option', line('a', { options: { maxAttempts: 1 } }), '"maxAttempts"'],
  ['no attempts', line('a', { options: { max_attempts: 0 } }), '"max_attempts"'],
  ['a delay in words', line('a', { options: { cancellation: { max_delay: 'soon' } } }), '"cancellation"'],
  ['an unknown kind of retry', line('a', { options: { retry_strategy: { kind: 'often' } } }), '"retry_strategy"'],
  ['a null strategy', line('a', { options: { retry_strategy: null } }), 'must be a JSON object'],
  [
    'a delay of more than a day',
    line('a', { options: { retry_strategy: { kind: 'fixed', base_seconds: 86401 } } }),
    'retry_strategy.base_seconds must be between 0 and 86400',
  ],
] as const)('a line with %s is named, and nothing is spawned', async ([, bad, words], { db }) => {
  await db.queue('default');
  const result = await run(['spawn-tasks', '-'], { ...db, stdin: `${line('good')}\n\n${bad}\n` });
  expect(result).toMatchObject({ code: 2, stdout: '' });
  expect(result.stderr).toContain('Line 3 ');
  expect(result.stderr).toContain(words);
  expect((await db.query('select 1 from absurd.t_default')).rows).toEqual([]);
});

test('what a line may hold is what the server stores', async ({ db }) => {
  const values = ['1e131071', '9.9e131071', '1e131072', '10e131071', '0e131073', '0.1e131072', '0.01e131072'];
  values.push('1e-16383', '1e-16384', '0.1e-16382', '0.1e-16383', '0e-16384', '-1e-16383', '-1e131072');
  values.push('"\\\\u0000"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud83dx"', '"\\ude00"', '"\\uffff"', '"\\u0001"');
  for (const value of values) {
    const stored = await db.query('select $1::jsonb', [value]).then(
      () => true,
      () => false,
    );
    const read = (): unknown => checkSpawnLine({ text: `{"name": "a", "params": ${value}}`, line: 1 });
    if (stored) expect(read, value).not.toThrow();
    else expect(read, value).toThrow(/Line 1 holds/);
  }
});

test('what only the server refuses names the lines and how to go on', async ({ db }) => {
  await db.queue('default');
  await db.query(`alter table absurd.t_default add constraint small check (length(task_name) < 50)`);
  const stdin = Array.from({ length: 600 }, (_, n) => line(n === 555 ? 'x'.repeat(60) : 'job')).join('\n');
  const { code, stderr } = await run(['spawn-tasks', '-'], { ...db, stdin });
  expect(code).toBe(2);
  expect(stderr).toContain('Lines 501 to 600 were refused');
  expect(stderr).toContain('500 of 600 tasks are spawned');
  expect(stderr).toContain('tail -n +501 FILE');
  expect((await db.query('select count(*)::int as n from absurd.t_default')).rows).toEqual([{ n: 500 }]);
});

test('a dry run checks and does nothing; an unknown queue and a missing file are told', async ({ db }) => {
  await db.queue('default');
  const dry = await run(['spawn-tasks', '-', '--dry-run'], { ...db, stdin: line('a') });
  expect(dry).toMatchObject({ code: 0, stderr: '1 line is valid; nothing was spawned\n' });
  expect((await run(['spawn-tasks', '-', '-n'], { ...db, stdin: 'x' })).code).toBe(2);
  const stdin = `${line('a')}\n${line('b', { options: { retry_strategy: { kind: 'fixed', base_seconds: -1 } } })}`;
  const bad = await run(['spawn-tasks', '-', '-n'], { ...db, stdin });
  expect(bad).toMatchObject({ code: 2, stdout: '' });
  expect(bad.stderr).toContain('Line 2 has an option "retry_strategy" that cannot be used');
  expect((await db.query('select 1 from absurd.t_default')).rows).toEqual([]);
  expect((await run(['spawn-tasks', '-', '-q', 'nowhere'], { ...db, stdin: line('a') })).code).toBe(3);
  expect((await run(['spawn-tasks', 'no-such-file'], db)).code).toBe(3);
  expect((await run(['spawn-tasks', '-', '-o', 'name'], { ...db, stdin: '' })).stdout).toBe('');
});

test('a schema without our call gets the contract’s, and a terminal a bar', async ({ db }) => {
  await db.queue('default');
  await db.query('drop function absurd.spawn_tasks(text, jsonb)');
  const stdin = [line('a'), line('b', { params: { n: 1 } })].join('\n');
  const { code, stderr } = await run(['spawn-tasks', '-'], { ...db, stdin, width: 100 });
  expect(code).toBe(0);
  expect(stderr).toContain('[########################] 2 of 2 tasks');
  expect((await db.query('select task_name, params from absurd.t_default order by 1')).rows).toEqual([
    { task_name: 'a', params: {} },
    { task_name: 'b', params: { n: 1 } },
  ]);
});

describe('a long input', () => {
  const lines = (count: number): string =>
    Array.from({ length: count }, (_, n) => line('job', { params: { n, text: 'x'.repeat(80) } })).join('\n');

  test('a pipe longer than its memory is spawned from a file without a name', async ({ db }) => {
    await db.queue('default');
    const folder = mkdtempSync(join(tmpdir(), 'absurd-'));
    vi.stubEnv('TMPDIR', folder);
    const stdin = `${lines(15_000)}\n\n`;
    expect(stdin.length).toBeGreaterThan(1024 * 1024);
    const result = await run(['spawn-tasks', '-', '--json'], { ...db, stdin });
    vi.unstubAllEnvs();
    const { tasks, ...counts } = result.json<{ tasks: { line: number }[] }>();
    expect(counts).toMatchObject({ total: 15_000, spawned: 15_000, existing: 0 });
    expect(tasks.map((task) => task.line)).toEqual(Array.from({ length: 15_000 }, (_, n) => n + 1));
    const { rows } = await db.query(`select count(distinct params ->> 'n')::int as n from absurd.t_default`);
    expect(rows).toEqual([{ n: 15_000 }]);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a folder for temporary files that cannot be written ends it before anything is spawned', async ({ db }) => {
    await db.queue('default');
    vi.stubEnv('TMPDIR', '/nowhere');
    const refused = await run(['spawn-tasks', '-'], { ...db, stdin: lines(15_000) });
    const dry = await run(['spawn-tasks', '-', '-n'], { ...db, stdin: lines(15_000) });
    vi.unstubAllEnvs();
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('Standard input cannot be kept in /nowhere');
    expect(dry.code).toBe(0);
    expect((await db.query('select 1 from absurd.t_default')).rows).toEqual([]);
  });

  test.for([
    ['an edited line', (file: string) => writeFileSync(file, lines(1200).replace('"n":700,', '"n":999,')), 501, 500],
    ['a shorter file', (file: string) => truncateSync(file, lines(1000).length + 1), 1001, 1000],
    ['more lines', (file: string) => appendFileSync(file, `\n${line('more')}`), 1001, 1000],
  ] as const)('%s after the check ends it at the batch', async ([, change, from, done], { db }) => {
    await db.queue('default');
    const file = join(mkdtempSync(join(tmpdir(), 'absurd-')), 'tasks.ndjson');
    writeFileSync(file, lines(1200));
    const input = await readFileTwice(file, 'tasks.ndjson');
    const checked = await checkLines(input.first());
    change(file);
    await expect(spawnInBatches(queryable(db), 'default', input, checked, () => undefined)).rejects.toMatchObject({
      exitCode: 4,
      code: 'file_changed',
      message: `The file changed after its lines were checked, from line ${from} on; ${done} of 1200 tasks are spawned`,
    });
    await input.close();
    expect((await db.query('select count(*)::int as n from absurd.t_default')).rows).toEqual([{ n: done }]);
  });

  test('a file that another one replaces is read to its end', async ({ db }) => {
    await db.queue('default');
    const file = join(mkdtempSync(join(tmpdir(), 'absurd-')), 'tasks.ndjson');
    writeFileSync(file, line('checked'));
    const input = await readFileTwice(file, file);
    const checked = await checkLines(input.first());
    rmSync(file);
    writeFileSync(file, line('other'));
    await spawnInBatches(queryable(db), 'default', input, checked, () => undefined);
    await input.close();
    expect((await db.query('select task_name from absurd.t_default')).rows).toEqual([{ task_name: 'checked' }]);
  });

  test('a line that is too long is named; a named pipe is read as standard input', async ({ db }) => {
    await db.queue('default');
    const long = line('job', { params: 'x'.repeat(16 * 1024 * 1024) });
    const stdin = `${line('a')}\n\n${long}\n`;
    for (const argv of [['-'], ['-', '-n']]) {
      const result = await run(['spawn-tasks', ...argv], { ...db, stdin });
      expect(result).toMatchObject({ code: 2, stdout: '' });
      expect(result.stderr).toContain('Line 3 is longer than 16 MB');
    }
    const fits = line('job', { params: 'x'.repeat(15 * 1024 * 1024) });
    expect((await run(['spawn-tasks', '-'], { ...db, stdin: fits })).code).toBe(0);
    const folder = mkdtempSync(join(tmpdir(), 'absurd-'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const [result] = await Promise.all([
      run(['spawn-tasks', 'pipe', '-o', 'name'], { ...db, cwd: folder }),
      writeFile(join(folder, 'pipe'), `${line('b')}\n${line('c')}\n`),
    ]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout.trim().split('\n')).toHaveLength(2);
    const { rows } = await db.query('select task_name from absurd.t_default order by 1');
    expect(rows.map((row) => row.task_name)).toEqual(['b', 'c', 'job']);
  });

  test('200,000 lines through a pipe take no more memory than few', async ({ db }) => {
    await db.queue('default');
    // What is inserted does not matter here, and takes the server half a minute.
    await db.query(`create or replace function absurd.spawn_tasks (p_queue_name text, p_tasks jsonb)
      returns table (task_id uuid, run_id uuid, attempt integer, created boolean) language sql as $$
        select gen_random_uuid(), gen_random_uuid(), 1, true from jsonb_array_elements(p_tasks) $$`);
    await ensureBuilt();
    const folder = mkdtempSync(join(tmpdir(), 'absurd-'));
    writeFileSync(
      join(folder, 'rss.cjs'),
      `process.on('exit', () => console.error('peak MB:', process.resourceUsage().maxRSS / 1024))`,
    );
    writeFileSync(
      join(folder, 'lines.cjs'),
      `const text = 'x'.repeat(200);
       const lines = function* () {
         for (let n = 0; n < 200; n++)
           yield Array.from({ length: 1000 }, (_, i) => JSON.stringify({ name: 'job', params: { n, i, text } }) + '\\n').join('');
       };
       require('node:stream').Readable.from(lines()).pipe(process.stdout)`,
    );
    const { status, stdout, stderr } = spawnSync(
      'bash',
      ['-c', 'set -o pipefail; "$NODE" lines.cjs | "$NODE" -r ./rss.cjs "$BIN" spawn-tasks -'],
      {
        cwd: folder,
        encoding: 'utf8',
        env: cleanEnv({ ABSURD_DATABASE_URL: db.url, TMPDIR: folder, NODE: process.execPath, BIN: bin }),
      },
    );
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: 'Queue: default\nLines: 200000\nSpawned: 200000\nAlready there: 0\n',
    });
    expect(Number(/peak MB: ([\d.]+)/.exec(stderr)?.[1])).toBeLessThan(200);
    expect(readdirSync(folder).sort()).toEqual(['lines.cjs', 'rss.cjs']);
  });

  test('however the bytes arrive, lines and batches are the same', () => {
    const text = Buffer.from('\ufeff{"a": 1}\r\n\n  {"b": "é😀"}  \n{"c": 3}\n\n\n{"d": 4}');
    const limits = { lines: 2, bytes: 1000, lineBytes: 1000 };
    const cut = (size: number): unknown => {
      const batches = new LineBatches(limits);
      const found = [];
      for (let at = 0; at < text.length; at += size) found.push(...batches.push(text.subarray(at, at + size)));
      return [...found, batches.finish()];
    };
    const whole = cut(text.length);
    expect(whole).toMatchObject([
      {
        from: 1,
        lines: [
          { line: 1, text: '{"a": 1}' },
          { line: 3, text: '{"b": "é😀"}' },
        ],
      },
      {
        from: 4,
        lines: [
          { line: 4, text: '{"c": 3}' },
          { line: 7, text: '{"d": 4}' },
        ],
      },
    ]);
    for (const size of [1, 2, 3, 5, 7, 11, 40]) expect(cut(size)).toEqual(whole);
    const small = new LineBatches({ ...limits, bytes: 5 });
    expect([...small.push(text)].map((batch) => batch.lines.length)).toEqual([1, 1, 1]);
  });
});
