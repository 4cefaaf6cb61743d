/** Searching in what tasks hold: list-tasks, retry-task and cancel-task with --where. */
import { run } from '../support/command.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';

const odd = `it's "a.b"; drop table absurd.t_q; --`;

/** Tasks whose names are the keys; what they hold are the values. */
const held: Record<string, unknown> = {
  number: { order: 42 },
  decimal: { order: 42.0 },
  text: { order: '42' },
  near: { order: 42.5 },
  huge: { order: 1 },
  nested: { customer: { email: 'Ann@example.org', tags: ['vip', 'eu'] } },
  odd: { [odd]: 1, 'a.b': true },
  nothing: { order: null },
};
const digits = '12345678901234567890.000000000000000000001';

async function fill(db: TestDatabase, mode: 'unpartitioned' | 'partitioned' = 'unpartitioned'): Promise<void> {
  await db.queue('q', mode);
  for (const [name, params] of Object.entries(held)) {
    const { task_id: id } = await db.spawn('q', name, params, { headers: { trace: name } });
    if (name !== 'huge') continue;
    await db.query(`update absurd.t_q set params = jsonb_build_object('order', $2::numeric) where task_id = $1`, [
      id,
      digits,
    ]);
  }
  await db.queue('done');
  await db.spawn('done', 'big');
  const [big] = await db.claim('done');
  await db.query(`select absurd.complete_run('done', $1, '{"total": 150}')`, [big?.run_id]);
  for (const name of ['lost', 'stolen']) {
    await db.spawn('done', name, { order: 7 }, { max_attempts: 1 });
    const [failed] = await db.claim('done');
    const reason = JSON.stringify({ name: 'Error', message: `card ${name}` });
    await db.query(`select absurd.fail_run('done', $1, $2)`, [failed?.run_id, reason]);
  }
}

async function found(db: TestDatabase, ...where: string[]): Promise<string[]> {
  const flags = where.flatMap((one) => ['--where', one]);
  const answer = await run(['list-tasks', '--json', ...flags], db);
  expect(answer.stderr).toMatch(/^(No tasks found\n)?$/);
  return answer
    .json<{ task_name: string }[]>()
    .map((row) => row.task_name)
    .sort();
}

describe.for(['unpartitioned', 'partitioned'] as const)('in a queue that is %s', (mode) => {
  test('every operator, root and kind of value', async ({ db }) => {
    await fill(db, mode);
    for (const [where, names] of [
      [['params.order=42'], ['decimal', 'number', 'text']],
      [['params.order=42.00'], ['decimal', 'number']],
      [['params.order="42"'], ['text']],
      [['params.order!=42'], ['huge', 'near', 'nothing', 'lost', 'stolen'].sort()],
      [['params.order>42'], ['huge', 'near']],
      [
        ['params.order>=42', 'params.order<=42.5'],
        ['decimal', 'near', 'number'],
      ],
      [['params.order<42'], ['lost', 'stolen']],
      [[`params.order=${digits}`], ['huge']],
      [[`params.order>${digits.slice(0, -1)}0`], ['huge']],
      [['params.order>12345678901234567890.000000000000000000001'], []],
      [['params.order=null'], ['nothing']],
      [['params.order exists'], ['decimal', 'huge', 'lost', 'near', 'nothing', 'number', 'stolen', 'text']],
      [['params.customer.email~example'], ['nested']],
      [['params.customer.email~/^ann@/i'], ['nested']],
      [['params.customer.email~/^ann@/'], []],
      [['params.customer.email>A', 'params.customer.email<B'], ['nested']],
      [['params.customer.tags.1=eu'], ['nested']],
      [['params.customer.tags=["vip", "eu"]'], ['nested']],
      [['params~vip'], ['nested']],
      [['params."a.b"=true'], ['odd']],
      [[`params.${JSON.stringify(odd)} exists`], ['odd']],
      [['headers.trace=number'], ['number']],
      [['result.total>100'], ['big']],
      [['result.total>150'], []],
      [['failure.message=card lost'], ['lost']],
      [
        ['failure.message~/^card/', 'params.order=7'],
        ['lost', 'stolen'],
      ],
    ] as [string[], string[]][]) {
      expect(await found(db, ...where), where.join(' and ')).toEqual(names);
    }
  });
});

test('a value or a path cannot become SQL', async ({ db }) => {
  await fill(db);
  const attack = `'); drop table absurd.t_q; --`;
  for (const where of [
    `params.order=${attack}`,
    `params.order~${attack}`,
    `params.${JSON.stringify(attack)}=1`,
    `params.${JSON.stringify('{}",\\')} exists`,
    `params.order="$1"`,
    `params.order>zz${attack}`,
    `headers~%`,
    'params.order={"$$": "\\\\"}',
  ]) {
    expect(await found(db, where), where).toEqual([]);
  }
  const { rows } = await db.query<{ n: number }>('select count(*)::int as n from absurd.t_q');
  expect(rows[0]?.n).toBe(Object.keys(held).length);
});

test('what is no condition is refused with what would be one', async ({ db }) => {
  await db.queue('q');
  for (const [where, said] of [
    ['', /--where is empty/],
    ['=1', /names nothing/],
    ['param.order=1', /did you mean params/],
    ['params.order', /after the path comes/],
    ['params..order=1', /missing after a dot/],
    ['params.order>true', /neither/],
    ['params."order=1', /missing after a dot/],
    ['params.order=[1', /not JSON/],
    ['params.order~', /nothing follows/],
    ['params.order="a\\u0000"', /can be stored/],
    ['params.order~/(/', /regular expression|parentheses/],
  ] as const) {
    const { code, stderr } = await run(['list-tasks', '--where', where], db);
    expect(code, `${where}: ${stderr}`).toBe(2);
    expect(stderr).toMatch(said);
  }
  expect((await run(['list-tasks', '--where', 'params.a=1', '--key', 'k'], db)).code).toBe(2);
});

test('the newest come first, of so many as are looked at; it says how far back that was, and which index would help', async ({
  db,
}) => {
  await db.queue('q');
  for (let i = 0; i < 8; i++) await db.spawn('q', `t${i}`, { order: i % 2 });
  const look = (...argv: string[]) => run(['list-tasks', '--json', '--where', 'params.order=1', ...argv], db);
  const names = (answer: Awaited<ReturnType<typeof look>>): string[] =>
    answer.json<{ task_name: string }[]>().map((row) => row.task_name);
  const all = await look();
  expect(names(all)).toEqual(['t7', 't5', 't3', 't1']);
  expect(all.stderr).toBe('');
  const part = await look('--look-back', '4');
  expect(names(part)).toEqual(['t7', 't5']);
  expect(part.stderr).toMatch(
    /^Looked at the newest 4 tasks of queue "q" back to \d{4}-\d\d-\d\d [\d:]{8}Z; --look-back 40 looks further$/m,
  );
  expect(part.stderr).toContain(`create index concurrently on absurd."t_q" ((params #> '{"order"}'));`);
  expect(names(await look('--limit', '3'))).toEqual(['t7', 't5', 't3']);
  expect((await look('--limit', '3')).stderr).toMatch(/--limit 6 shows more/);
  expect(names(await look('--limit', '3', '-s', 'failed'))).toEqual([]);
});

test('with the index that it names, a search reads the index', async ({ db }) => {
  await db.queue('q');
  const key = `it's "odd" \\ key`;
  await db.query(
    `select absurd.spawn_tasks('q', (select jsonb_agg(jsonb_build_object('task_name', 'n', 'params', jsonb_build_object($1::text, i)))
                                       from generate_series(1, 2000) i))`,
    [key],
  );
  const where = `params.${JSON.stringify(key)}=1500`;
  const { stderr } = await run(['list-tasks', '--where', where, '--look-back', '10'], db);
  const [, statement = ''] = /: (create index .*);$/m.exec(stderr) ?? [];
  await db.query(statement);
  await db.query('analyze absurd.t_q');
  const { rows: indexes } = await db.query<{ name: string }>(
    `select indexrelid::regclass::text as name from pg_index where indrelid = 'absurd.t_q'::regclass and indexprs is not null`,
  );
  expect(indexes).toHaveLength(1);
  const answer = await run(['list-tasks', '--json', '--where', where], db);
  expect(answer.json()).toHaveLength(1);
  const scans = async (): Promise<number> =>
    (await db.query<{ n: string }>('select pg_stat_get_numscans($1::regclass) as n', [indexes[0]?.name])).rows.map(
      ({ n }) => Number(n),
    )[0] ?? 0;
  await expect.poll(scans, { timeout: 60_000 }).toBeGreaterThan(0);
});

test.for(['retry-task', 'cancel-task', 'wake-task'])('%s takes the same conditions', async (command, { db }) => {
  await fill(db);
  const dry = await run(
    [command, '--where', 'params.order=7', '--where', 'failure.message~lost', '--dry-run', '--json'],
    db,
  );
  const names = dry.json<{ task_name: string }[]>().map((row) => row.task_name);
  expect(names).toEqual(command === 'retry-task' ? ['lost'] : []);
  const refused = await run([command, '019ca000-0000-7000-8000-000000000000', '--where', 'params.order=7'], db);
  expect(refused.code).toBe(2);
});

test('retry-task retries those that a condition finds, and no other', async ({ db }) => {
  await fill(db);
  const { code, stderr } = await run(['retry-task', '--where', 'failure.message=card stolen', '--yes'], db);
  expect(code, stderr).toBe(0);
  const { rows } = await db.query(`select task_name, state from absurd.t_done where task_name <> 'big' order by 1`);
  expect(rows).toEqual([
    { task_name: 'lost', state: 'failed' },
    { task_name: 'stolen', state: 'pending' },
  ]);
});
