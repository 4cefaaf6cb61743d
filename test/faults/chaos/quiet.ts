/** Faults that take nothing away, and that workers should not notice. */
import type pg from 'pg';
import { pauseAndResume } from './capabilities.js';
import type { quietFaults } from './plan.js';
import { pause, script, type Scene } from './scene.js';

type Quiet = Record<(typeof quietFaults)[number], (scene: Scene) => Promise<void>>;

/** How long others must go on beside a lock that is held. */
const blockDeadlineMs = 30_000;

async function countEnds(scene: Scene): Promise<number> {
  const [row] = await scene.ask(`select last_value::int as n from history.entry_seq_seq`);
  return Number(row?.['n']);
}

async function beginRepeatably(client: pg.Client): Promise<void> {
  await client.query('begin isolation level repeatable read');
}

export const quiet: Quiet = {
  /** Others go on beside the locks, and no claim waits for them. */
  async 'hold row locks'(scene) {
    await scene.attempt('hold row locks', () =>
      scene.connected(async (client) => {
        const [holder] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows;
        await client.query('begin');
        const open = `state in ('pending', 'running', 'sleeping') order by random() limit 2 for update skip locked`;
        await client.query(`select 1 from ${scene.r} r where r.${open}`);
        await client.query(`select 1 from ${scene.t} t where t.${open}`);
        const before = await countEnds(scene);
        const untilMs = Date.now() + scene.random.between(300, 1500);
        const deadline = Date.now() + blockDeadlineMs;
        while (Date.now() < untilMs || (await countEnds(scene)) < before + 20) {
          // Asked beside the transaction: within one, pg_stat_activity goes on showing what it showed first.
          const blocked = await scene.ask(
            `select a.query from pg_stat_activity a
              where ${holder?.pid ?? 0} = any (pg_blocking_pids(a.pid)) and a.query ~ 'absurd.claim_task'`,
          );
          if (blocked.length > 0) {
            const words = 'a claim waits for an idle transaction';
            scene.facts.seen.push({ invariant: 'one-task-never-blocks-another', words });
          }
          if (Date.now() > deadline) throw new Error('nothing went on beside four locked rows');
          await pause(20);
        }
        await client.query('rollback');
      }),
    );
  },

  /** A snapshot shows every task and its last run in the same state, and goes on showing it. */
  async 'read repeatably'(scene) {
    await scene.attempt('read repeatably', () =>
      scene.connected(async (client) => {
        await beginRepeatably(client);
        const look = `
          select t.task_id, t.state, r.state as run_state,
            (select count(*)::int from ${scene.r} o
              where o.task_id = t.task_id and o.state in ('pending', 'running', 'sleeping')) as open
          from ${scene.t} t left join ${scene.r} r on r.run_id = t.last_attempt_run order by t.task_id`;
        const first = (await client.query(look)).rows as { state: string; run_state: string; open: number }[];
        for (const row of first) {
          const ended = ['completed', 'failed', 'cancelled'].includes(row.state);
          const agree = row.state === row.run_state || (row.state === 'cancelled' && row.run_state === 'failed');
          if (agree && row.open === (ended ? 0 : 1)) continue;
          scene.facts.seen.push({ invariant: 'rows-agree', words: `a snapshot shows ${JSON.stringify(row)}` });
        }
        await pause(scene.random.between(100, 1000));
        const again = (await client.query(look)).rows;
        if (JSON.stringify(again) !== JSON.stringify(first)) {
          scene.facts.seen.push({ invariant: 'rows-agree', words: 'a snapshot changed' });
        }
        await client.query('commit');
      }),
    );
  },

  /** The whole script again, while programs start up and make sure of their queue. */
  async upgrade(scene) {
    const upgrade = scene.attempt('upgrade', () => scene.connected((client) => client.query(script)));
    const starts = Array.from({ length: 3 }, async () => {
      for (let n = 0; n < 4; n += 1) {
        await scene.attempt('create_queue', () =>
          scene.pool.query('select absurd.create_queue($1, $2)', [scene.queue, scene.plan.mode]),
        );
      }
    });
    await Promise.all([upgrade, ...starts]);
  },

  async 'clean up'(scene) {
    const calls = [
      `absurd.cleanup_tasks('${scene.queue}', 0, 20)`,
      `absurd.cleanup_tasks('${scene.queue}', 1, 1000)`,
      `absurd.cleanup_events('${scene.queue}', 1, 10)`,
      'absurd.cleanup_all_queues()',
    ];
    const all = [...calls, ...calls].map((call) =>
      scene.attempt(call, () => scene.pool.query(`select * from ${call}`)),
    );
    await Promise.all(all);
  },

  /** Weeks are made while their rows come and go; the default partitions go and return. */
  async 'maintain partitions'(scene) {
    await scene.ask('select absurd.ensure_partitions()');
    await scene.ask('select * from absurd.list_detach_candidates()');
    if (scene.plan.mode !== 'partitioned') return;
    const policy = (value: string): string =>
      `select absurd.set_queue_policy('${scene.queue}', '{"default_partition": "${value}"}')`;
    await scene.attempt('disable the default partition', () => scene.ask(policy('disabled')));
    await scene.ask(policy('enabled'));
  },

  async 'cancel and retry'(scene) {
    const some = (state: string): string =>
      `select t.task_id from ${scene.t} t where t.state ${state} order by random() limit 8`;
    const open = await scene.ask(some(`in ('pending', 'running', 'sleeping')`));
    const failed = await scene.ask(some(`= 'failed'`));
    const cancels = open.map(({ task_id: id }) =>
      scene.attempt('cancel', () => scene.absurd.cancelTask(String(id), scene.queue)),
    );
    const retries = failed.map(({ task_id: id }) =>
      scene.attempt('retry', () => scene.absurd.retryTask(String(id), { queue: scene.queue })),
    );
    await Promise.all([...cancels, ...retries]);
  },

  /** Settings that no spawn would take, as other hands may write them. */
  async poison(scene) {
    const settings = [
      ['cancellation', '{"max_delay": "soon"}'],
      ['cancellation', '{"max_duration": {"a": 1}}'],
      ['cancellation', '[1]'],
      ['cancellation', '{"max_duration": 1e300}'],
      ['cancellation', '{"max_delay": -1}'],
      ['retry_strategy', '"often"'],
      ['retry_strategy', '{"kind": {}}'],
      ['headers', '7'],
    ];
    for (const [column, value] of settings) {
      await scene.attempt('poison', () =>
        scene.pool.query(
          `update ${scene.t} t set ${column} = $1 where t.task_id = (
             select p.task_id from ${scene.t} p where p.state in ('pending', 'running', 'sleeping')
              order by random() limit 1 for update skip locked)`,
          [value],
        ),
      );
    }
  },

  async 'toggle wake-ups'(scene) {
    for (const enabled of [scene.random.chance(0.5), scene.random.chance(0.5), true, false, scene.plan.wakeup]) {
      await scene.attempt('wake-ups', () => scene.absurd.setQueueWakeup(enabled, scene.queue));
      await pause(scene.random.between(0, 100));
    }
  },

  'pause and resume': (scene) => scene.attempt('pause and resume', () => pauseAndResume(scene)),
};
