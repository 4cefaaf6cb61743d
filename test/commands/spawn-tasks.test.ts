import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSpawnLine } from '../../src/lib/task/spawn-lines.js';
import { run } from '../support/command.js';
import { expect, test } from '../support/database.js';

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
    const read = (): unknown => readSpawnLine(`{"name": "a", "params": ${value}}`, 1);
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
