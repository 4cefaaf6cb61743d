import { run } from '../support/command.js';
import { expect, test, type TestDatabase } from '../support/database.js';

interface Row {
  task_id: string;
  task_name: string;
  depth: number;
  asked: boolean;
  waits_for: string[];
  blocks: boolean;
}

/** A parent that waits for a child in another queue, which waits for a grandchild, and a finished child. */
async function family(db: TestDatabase): Promise<Record<'parent' | 'child' | 'grandchild' | 'done', string>> {
  await db.queue('q');
  await db.queue('other');
  const started = async (queue: string, name: string, parent?: { queue: string; task_id: string }) => {
    await db.spawn(queue, name, {}, parent === undefined ? {} : { parent });
    const [claimed] = await db.claim(queue, { timeout: 600 });
    if (claimed === undefined) throw new Error('nothing was claimed');
    return claimed;
  };
  const joins = (queue: string, { task_id: id, run_id: runId }: { task_id: string; run_id: string }, of: object[]) =>
    db.query(`select * from absurd.await_tasks($1, $2, $3, 'join', $4, 'all')`, [queue, id, runId, JSON.stringify(of)]);
  const parent = await started('q', 'import');
  const child = await started('other', 'page', { queue: 'q', task_id: parent.task_id });
  const done = await started('q', 'header', { queue: 'q', task_id: parent.task_id });
  await db.query(`select absurd.complete_run('q', $1, '1')`, [done.run_id]);
  const grandchild = await db.spawn('q', 'row', {}, { parent: { queue: 'other', task_id: child.task_id } });
  await joins('other', child, [{ task_id: grandchild.task_id, queue: 'q' }]);
  await joins('q', parent, [{ task_id: child.task_id, queue: 'other' }, { task_id: done.task_id }]);
  return {
    parent: parent.task_id,
    child: child.task_id,
    grandchild: grandchild.task_id,
    done: done.task_id,
  };
}

test('show-tree: the whole family from any of its tasks, and the path to what blocks it', async ({ db }) => {
  const ids = await family(db);
  const rows = (await run(['show-tree', ids.child, '--json'], db)).json<Row[]>();
  expect(rows.map(({ task_name: name, depth }) => `${depth} ${name}`)).toEqual([
    '0 import',
    '1 page',
    '2 row',
    '1 header',
  ]);
  expect(rows.find(({ asked }) => asked)).toMatchObject({ task_id: ids.child, waits_for: [ids.grandchild] });
  const fromTop = (await run(['show-tree', ids.parent, '--json'], db)).json<Row[]>();
  expect(fromTop.filter(({ blocks }) => blocks).map(({ task_name: name }) => name)).toEqual(['page', 'row']);

  const drawn = await run(['show-tree', ids.parent], { url: db.url, width: 160 });
  expect(drawn.stdout).toMatch(/^import .*waits for 1/m);
  expect(drawn.stdout).toMatch(/^ {4}row .*blocks/m);
  expect(drawn.stderr + drawn.stdout).toContain(`why ${ids.grandchild}`);
  expect((await run(['show-tree', ids.done, '-o', 'name'], db)).stdout.split('\n')).toHaveLength(5);

  await db.spawn('q', 'alone');
  const [alone] = (await db.query<{ task_id: string }>(`select task_id from absurd.t_q where task_name = 'alone'`))
    .rows;
  const single = await run(['show-tree', alone?.task_id ?? ''], db);
  expect(single.stderr).toContain('neither a parent nor children');
});

test('why: a waiting parent is answered by the task that is the real cause', async ({ db }) => {
  const ids = await family(db);
  const answer = (await run(['why', ids.parent, '--json'], db)).json<{ code: string; sentence: string }>();
  expect(answer.code).toBe('waits_for_task');
  expect(answer.sentence).toContain(`it waits for task ${ids.child} ("page"), and that task: it waits for task`);
  expect(answer.sentence).toContain(ids.grandchild);
});

test('list-tasks --parent: children in every queue, with the other filters', async ({ db }) => {
  const ids = await family(db);
  const names = async (...flags: string[]) =>
    (await run(['list-tasks', '--parent', ids.parent, ...flags, '--json'], db))
      .json<Row[]>()
      .map(({ task_name: name }) => name)
      .sort();
  expect(await names()).toEqual(['header', 'page']);
  expect(await names('--status', 'completed')).toEqual(['header']);
  expect(await names('-q', 'other')).toEqual(['page']);
  const unknown = await run(['list-tasks', '--parent', '019a32d3-8425-7ae2-a5af-2f17a6707666'], db);
  expect(unknown.code).toBe(3);
});

test('cancel-task --tree: a preview, a question, and the whole family is cancelled', async ({ db }) => {
  const ids = await family(db);
  const preview = (await run(['cancel-task', ids.parent, '--tree', '--dry-run', '--json'], db)).json<{
    would_take: Row[];
  }>();
  expect(JSON.stringify(preview)).toContain(ids.grandchild);
  expect(JSON.stringify(preview)).not.toContain(ids.done);
  const unasked = await run(['cancel-task', ids.parent, '--tree'], db);
  expect(unasked.code).not.toBe(0);

  const done = await run(['cancel-task', ids.parent, '--tree', '--yes', '--json'], db);
  expect(done.code).toBe(0);
  expect(done.json<{ counts: object }>()).toMatchObject({ counts: { cancelled: 3, failed: 0 } });
  const { rows } = await db.query(
    `select task_name, state from absurd.t_q union all select task_name, state from absurd.t_other order by 1`,
  );
  expect(rows).toEqual([
    { task_name: 'header', state: 'completed' },
    { task_name: 'import', state: 'cancelled' },
    { task_name: 'page', state: 'cancelled' },
    { task_name: 'row', state: 'cancelled' },
  ]);
});

test('without the schema’s families, nothing is done and the command to run is named', async ({ db }) => {
  await db.queue('q');
  const { task_id: id } = await db.spawn('q', 'job');
  await db.query(`create or replace function absurd.get_schema_features() returns text[] language sql
                  as 'select array[]::text[]'`);
  for (const line of [
    ['show-tree', id],
    ['cancel-task', id, '--tree', '--yes'],
    ['list-tasks', '--parent', id],
  ]) {
    const refused = await run(line, db);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain('init');
  }
});
