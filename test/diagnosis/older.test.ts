import { expect, test, type TestDatabase } from '../support/database.js';
import { run } from '../support/command.js';
import { installOlder, versions } from '../sql/older.js';

const supported = versions.filter((version) => version >= '0.2.0');

interface Row {
  name: string;
  state: string;
  /** SQL for columns of the run, on top of its state. */
  run?: string;
  task?: string;
  runState?: string;
}

/** One task in every trouble, by rows alone: the functions of these schemas are stand-ins. */
const rows: Record<string, Row> = {
  completed: { name: 'a', state: 'completed', run: `started_at = now() - interval '20 minutes', completed_at = now()` },
  failed: {
    name: 'a',
    state: 'failed',
    run: `failure_reason = '{"name": "Error", "message": "no route"}', failed_at = now()`,
  },
  cancelled_by_hand: { name: 'a', state: 'cancelled', task: 'cancelled_at = now()' },
  lease_expired: {
    name: 'a',
    state: 'running',
    run: `claimed_by = 'w', started_at = now() - interval '20 minutes', claim_expires_at = now() - interval '10 minutes'`,
  },
  no_lease: { name: 'a', state: 'running', run: `claimed_by = 'w', started_at = now() - interval '20 minutes'` },
  sleeping: {
    name: 'a',
    state: 'sleeping',
    run: `started_at = now() - interval '20 minutes', available_at = now() + interval '1 day'`,
  },
  event_never_emitted: {
    name: 'a',
    state: 'sleeping',
    run: `started_at = now() - interval '20 minutes', available_at = 'infinity', wake_event = 'paid'`,
  },
  not_claimed_since: { name: 'a', state: 'pending', run: `available_at = now() - interval '5 minutes'` },
  contradiction: { name: 'a', state: 'running', runState: 'completed' },
};

async function fill(db: TestDatabase, queue: string): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  let place = 0;
  for (const [code, { name, state, run: runColumns, task, runState }] of Object.entries(rows)) {
    place += 1;
    const id = `019a32d3-8425-7ae2-a5af-2f17a67${queue === 'q' ? '0' : '1'}${String(place).padStart(4, '0')}`;
    const runId = id.replace('019a32d3-8425', '019a32d3-8426');
    await db.query(
      `insert into absurd.t_${queue} (task_id, task_name, params, state, attempts, last_attempt_run, enqueue_at)
       values ('${id}', '${name}', '{}', '${state}', 1, '${runId}', now() - interval '1 hour')`,
    );
    await db.query(
      `insert into absurd.r_${queue} (run_id, task_id, attempt, state, available_at, created_at)
       values ('${runId}', '${id}', 1, '${runState ?? state}', now() - interval '20 minutes', now() - interval '1 hour')`,
    );
    if (runColumns) await db.query(`update absurd.r_${queue} set ${runColumns} where run_id = '${runId}'`);
    if (task) await db.query(`update absurd.t_${queue} set ${task} where task_id = '${id}'`);
    if (code === 'event_never_emitted') {
      await db.query(
        `insert into absurd.w_${queue} (task_id, run_id, step_name, event_name) values ('${id}', '${runId}', 's', 'paid')`,
      );
      await db.query(`insert into absurd.e_${queue} (event_name, emitted_at) values ('paid', 'epoch')`);
    }
    if (code === 'failed') {
      await db.query(
        `insert into absurd.c_${queue} (task_id, checkpoint_name, state, owner_run_id) values ('${id}', 'charge', '1', '${runId}')`,
      );
    }
    ids.set(code, id);
  }
  return ids;
}

for (const version of supported) {
  test(
    `schema ${version}, as others install it: every read answers, and tells the causes apart`,
    { timeout: 120_000 },
    async ({ emptyDatabase: db }) => {
      await installOlder(db, version);
      const queues = (await db.query<{ q: string }>('select queue_name as q from absurd.queues order by 1')).rows;
      for (const { q: queue } of queues) {
        const ids = await fill(db, queue);
        for (const [code, id] of ids) {
          const why = await run(['why', id, '--json'], db);
          expect(why.json(), `${queue}: ${code}`).toMatchObject({ code, queue, unread: [] });
        }
        const failed = ids.get('failed') ?? '';
        for (const argv of [
          ['why', '--queue', queue],
          ['why', '--task-name', 'a'],
          ['list-tasks', '-q', queue],
          ['list-runs', '-q', queue],
          ['list-waits', '-q', queue],
          ['list-events', '-q', queue],
          ['list-workers', '-q', queue],
          ['list-checkpoints', failed],
          ['show-checkpoint', failed, 'charge'],
          ['queue-stats', '-q', queue],
          ['queue-stats', '-q', queue, '--by', 'task-name'],
          ['queue-stats', '-o', 'openmetrics'],
          ['dump-task', failed],
          ['export-task', failed],
          ['retry-task', '--all', '-q', queue, '--dry-run'],
          ['cancel-task', '--all', '-q', queue, '--dry-run'],
        ]) {
          const read = await run(argv, db);
          expect(read.code, `${argv.join(' ')}: ${read.stderr}`).toBe(0);
          expect(read.stdout, argv.join(' ')).not.toBe('');
        }
        expect((await run(['show-event', 'paid', '-q', queue], db)).code).toBe(3);
      }

      const doctor = await run(['doctor', '--json', '--wait-age', '0', '--hang-after', '1'], db);
      const { findings, unread } = doctor.json<{
        findings: { check: string; queue: string | null; leads_to?: { check: string; queue: string | null }[] }[];
        unread: unknown[];
      }>();

      expect(doctor.code).toBe(1);
      expect(unread).toEqual([]);
      const all = findings.flatMap((finding) => [finding, ...(finding.leads_to ?? [])]);
      const found = new Set(all.map(({ check, queue }) => `${queue ?? 'all'}: ${check}`));
      for (const { q: queue } of queues) {
        for (const check of ['expired-leases', 'runs-without-lease', 'contradictions', 'lost-waits']) {
          expect(found).toContain(`${queue}: ${check}`);
        }
      }
      expect(found.has('all: schema-behind')).toBe(version < '0.5.0');
      expect(findings.map(({ check }) => check)).not.toContain('schema-drifted');
      expect(findings.map(({ check }) => check)).not.toContain('indexes-missing');
    },
  );
}
