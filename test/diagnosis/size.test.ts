import { examine } from '../../src/lib/doctor/index.js';
import { expect, test } from '../support/database.js';
import { askId, askName, askQueue, queryable } from './support.js';

test('a long queue is read in ranges of its indexes, never as a whole', { timeout: 120_000 }, async ({ db }) => {
  const queue = await db.queue();
  await db.query(
    `insert into absurd.t_q (task_id, task_name, params, state, attempts, last_attempt_run, enqueue_at)
     select absurd.portable_uuidv7(), 'job' || i % 10, '{}', case when i <= 120000 then 'completed' else 'pending' end, 1,
            absurd.portable_uuidv7(), now() - interval '1 day' from generate_series(1, 150000) as i`,
  );
  await db.query(
    `insert into absurd.r_q (run_id, task_id, attempt, state, available_at, started_at, completed_at)
     select t.last_attempt_run, t.task_id, 1, t.state, now() - interval '1 hour' - random() * interval '1 day',
            case when t.state = 'completed' then now() - interval '1 hour' end, case when t.state = 'completed' then now() - interval '1 hour' end from absurd.t_q t`,
  );
  await db.query('analyze absurd.t_q, absurd.r_q');
  const last = `select task_id from absurd.r_q where state = 'pending' order by available_at desc limit 1`;
  const id = (await db.query<{ task_id: string }>(last)).rows[0]?.task_id ?? '';
  const read = async (): Promise<number> => {
    await db.query('select pg_stat_force_next_flush()');
    const sql = `select sum(seq_tup_read)::int as read from pg_stat_user_tables where relname in ('t_q', 'r_q')`;
    return (await db.query<{ read: number }>(sql)).rows[0]?.read ?? NaN;
  };
  await read();
  const before = await read();

  const answers = [
    await askId(db, id),
    await askQueue(db, queue),
    await askName(db, 'job3'),
    await askName(db, 'nobody'),
  ];
  const { result } = await examine(queryable(db), { timeoutMs: 5000 });

  await read();
  expect(await read()).toBe(before);
  expect(answers.map((answer) => answer.unread)).toEqual([[], [], [], []]);
  expect(answers[0]?.evidence).toContainEqual({ certainty: 'known', what: 'older runs before it', value: '10000+' });
  expect(result.findings.map((finding) => finding.check)).toEqual(
    expect.arrayContaining(['unclaimed-work', 'backlog']),
  );
  expect(result.unread).toEqual([]);
});
