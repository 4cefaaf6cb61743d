import type { Queryable } from '../../src/sql/queryable.js';
import { examine, type DoctorFinding } from '../../src/lib/doctor/index.js';
import type { Thresholds } from '../../src/lib/doctor/thresholds.js';
import { whyId, whyQueue, whyTaskName, type WhyResult } from '../../src/lib/diagnosis/why.js';
import { adviceText } from '../../src/lib/cli/hint.js';
import { expect, type Connection, type TestDatabase } from '../support/database.js';

export const start = '2026-03-02T10:00:00Z';
const options = { windowSeconds: 300, timeoutMs: 5000 };

export const queryable = (db: Connection): Queryable => ({
  query: <T extends object>(sql: string, values?: unknown[]) => db.client.query<T>(sql, values),
});

/** An answer as it is printed: advice as text. */
type Printed<T, Key extends keyof T> = Omit<T, Key> & Record<Key, string[]>;
type Why = Printed<WhyResult, 'next'>;

const printed = async (asked: Promise<WhyResult>): Promise<Why> => {
  const result = await asked;
  return { ...result, next: result.next.map((advice) => adviceText(advice)) };
};

export const askId = (db: TestDatabase, id: string, queue?: string): Promise<Why> =>
  printed(whyId(queryable(db), id, queue, options));
export const askQueue = (db: TestDatabase, queue: string): Promise<Why> =>
  printed(whyQueue(queryable(db), queue, options));
export const askName = (db: TestDatabase, name: string, queue?: string): Promise<Why> =>
  printed(whyTaskName(queryable(db), name, queue, options));

/** Takes away all that only our schema has, down to what 0.3.0 had: no policy columns, no column or function of ours. */
export async function makeForeign(db: TestDatabase): Promise<void> {
  await db.query(`do $$
    declare item record;
    begin
      for item in select p.oid::regprocedure as name from pg_proc p
                   where p.pronamespace = 'absurd'::regnamespace and p.proname <> 'current_time'
                     and p.proname <> 'get_schema_version' and p.proname <> 'portable_uuidv7' loop
        execute format('drop function if exists %s cascade', item.name);
      end loop;
      for item in select a.attrelid::regclass as tab, a.attname as col from pg_attribute a
                    join pg_class c on c.oid = a.attrelid
                   where c.relnamespace = 'absurd'::regnamespace and c.relkind in ('r', 'p') and a.attinhcount = 0 and a.attnum > 0 and not a.attisdropped
                     and (a.attname = 'cancel_due' or (c.relname = 'queues' and a.attname not in ('queue_name', 'created_at'))) loop
        execute format('alter table %s drop column %I cascade', item.tab, item.col);
      end loop;
    end $$`);
}

/** Asks on our schema and again on what another installer would have left; the code must be the same. */
export async function expectCode(db: TestDatabase, ask: () => Promise<Why>, code: string): Promise<Why> {
  const ours = await ask();
  expect(ours.unread).toEqual([]);
  expect(ours.code).toBe(code);
  await makeForeign(db);
  const theirs = await ask();
  // Only our schema can wake a task.
  expect(theirs).toEqual({ ...ours, next: ours.next.filter((advice) => !advice.includes('wake-task')) });
  return ours;
}

/** Waits until a session's transaction is old enough to be named. */
export async function aged(db: TestDatabase, pid: number, seconds = 1): Promise<void> {
  await expect
    .poll(
      async () =>
        (
          await db.query<{ old: boolean }>(
            `select clock_timestamp() - xact_start > make_interval(secs => $2) as old from pg_stat_activity where pid = $1`,
            [pid, seconds],
          )
        ).rows[0]?.old,
      { timeout: 60_000, interval: 100 },
    )
    .toBe(true);
}

export const values = (result: Pick<WhyResult, 'evidence'>): string =>
  result.evidence.map(({ what, value }) => `${what}: ${value}`).join('\n');

/** The findings of one check. */
export async function findings(
  db: TestDatabase,
  check: string,
  limits: Partial<Thresholds> = {},
): Promise<Printed<DoctorFinding, 'mend'>[]> {
  const { result } = await examine(queryable(db), { only: [check], thresholds: limits, timeoutMs: 5000 });
  return result.findings.map((finding) => ({ ...finding, mend: finding.mend.map((advice) => adviceText(advice)) }));
}

/** Work of every kind in a queue, claimed and finished by a worker that is well, by the real clock. */
export async function makeBusy(db: TestDatabase, queue: string): Promise<void> {
  const step = 'select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)';
  const names = ['job0', 'job1', 'job2', 'with-limits'];
  for (const [worker, version] of [
    ['w1', '1.1'],
    ['w2', '1.0'],
  ]) {
    const details = { task_names: names, program_version: version, concurrency: 30 };
    await db.query('select absurd.heartbeat_worker($1, $2, $3)', [queue, worker, JSON.stringify(details)]);
  }
  for (let index = 0; index < 30; index += 1) await db.spawn(queue, `job${index % 3}`, {}, { max_attempts: 3 });
  await db.spawn(
    queue,
    'with-limits',
    {},
    {
      cancellation: { max_delay: 3600, max_duration: 7200 },
      retry_strategy: { kind: 'exponential', base_seconds: 5, factor: 2, max_seconds: 60 },
    },
  );
  const claimed = await db.claim(queue, { qty: 24, timeout: 120 });
  for (const [index, run] of claimed.entries()) {
    if (index % 3 === 0) await db.query(step, [queue, run.task_id, 'first', '1', run.run_id]);
    if (index < 14) await db.query('select absurd.complete_run($1, $2)', [queue, run.run_id]);
    else if (index < 16)
      await db.query('select absurd.fail_run($1, $2, $3)', [queue, run.run_id, '{"message":"one of few"}']);
    else if (index < 18) {
      await db.query(step, [queue, run.task_id, 'nap', '"2999-01-01T00:00:00.000Z"', run.run_id]);
      await db.query(`select absurd.schedule_run($1, $2, absurd.current_time() + interval '20 seconds')`, [
        queue,
        run.run_id,
      ]);
    } else if (index < 20)
      await db.query(`select * from absurd.await_event($1, $2, $3, 'wait', 'paid', null)`, [
        queue,
        run.task_id,
        run.run_id,
      ]);
  }
  await db.query(`select absurd.emit_event($1, 'shipped', '{}')`, [queue]);
}
