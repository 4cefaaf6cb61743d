import type { Invariant } from './checker/invariants.js';
import type { Mutation } from './mutate.js';
import type { Story } from './story.js';

/** A way to break the engine, what of its promises that breaks, and a story in which it shows. */
export interface Mutant {
  name: string;
  breaks: Invariant;
  /** None: the story itself breaks the promise, which is not the engine's alone to keep. */
  mutations: Mutation[];
  mode?: 'partitioned';
  story(story: Story): Promise<void>;
}

/** The first attempt's lease runs out, and a second one takes the task. */
async function superseded(story: Story): Promise<[Awaited<ReturnType<Story['claim']>>, typeof story]> {
  await story.spawn('job');
  const first = await story.claim('first', { timeout: 10 });
  await story.db.advance('11 seconds');
  return [first, story];
}

const fence: Mutation = {
  function: '_require_writer',
  from: `elsif v_run.run_state = 'failed' then`,
  to: `elsif false then`,
};

export const mutants: Mutant[] = [
  {
    name: 'a claim waits for locked rows (no skip locked)',
    breaks: 'one-task-never-blocks-another',
    mutations: [
      {
        function: '_make_claim',
        from: 'limit p_quantity for update of r, t skip locked',
        to: 'limit p_quantity for update of r, t',
      },
    ],
    async story(story) {
      await story.spawn('locked');
      await story.spawn('free');
      const [idle, claimer] = [await story.db.connect(), await story.db.connect()];
      await idle.query('begin');
      await idle.query(`select 1 from absurd.t_q where task_name = 'locked' for update`);
      await story.watchForBlock(idle, story.call(`claim_task('q', 'w')`, [], claimer));
      await idle.query('commit');
    },
  },
  {
    name: 'a claim locks nothing',
    breaks: 'one-live-lease',
    mutations: [{ function: '_make_claim', from: 'for update of r, t skip locked', to: '' }],
    async story(story) {
      await story.spawn('job');
      const [a, b] = [await story.db.connect(), await story.db.connect()];
      const pid = await b.pid();
      await a.query('begin');
      await story.call(`claim_task('q', 'a')`, [], a);
      const second = story.call(`claim_task('q', 'b')`, [], b);
      await Promise.race([second, story.blocked(pid)]);
      await a.query('commit');
      await second;
    },
  },
  {
    name: 'a failed run may write checkpoints (no fencing)',
    breaks: 'superseded-run-is-fenced',
    mutations: [fence],
    async story(given) {
      const [first, story] = await superseded(given);
      await story.claim('second');
      await story.save(first, 'one', 'of the first');
    },
  },
  {
    name: 'a checkpoint is overwritten by an earlier attempt',
    breaks: 'checkpoint-is-final',
    mutations: [
      fence,
      {
        function: '_make_save',
        from: 'where c.owner_run_id is null or c.owner_run_id = excluded.owner_run_id or coalesce(',
        to: 'where true or coalesce(',
      },
    ],
    async story(given) {
      const [first, story] = await superseded(given);
      const second = await story.claim('second');
      await story.save(second, 'one', 'of the second');
      await story.save(first, 'one', 'of the first');
    },
  },
  {
    name: 'a batch of checkpoints takes those of a failed run',
    breaks: 'superseded-run-is-fenced',
    mutations: [{ function: '_make_save_many', from: `when r.state = 'failed' then 'AB002'`, to: '' }],
    async story(given) {
      const [first, story] = await superseded(given);
      await story.claim('second');
      const write = { task_id: first.task_id, step_name: 'one', state: 1, owner_run: first.run_id };
      await story.call(`set_task_checkpoint_states('q', $1)`, [JSON.stringify([write])]);
    },
  },
  {
    name: 'a run does not see its own checkpoints after a sleep',
    breaks: 'checkpoint-is-seen',
    mutations: [
      {
        function: 'get_run_checkpoints',
        from: 'coalesce(owner.attempt, 0) <= r.attempt',
        to: 'coalesce(owner.attempt, 0) < r.attempt',
      },
    ],
    async story(story) {
      await story.spawn('job');
      const run = await story.claim('w');
      await story.execute(run, 'first', ['one']);
      await story.call(`schedule_run('q', $1, absurd.current_time())`, [run.run_id]);
      await story.execute(await story.claim('w'), 'second', ['one', 'two']);
    },
  },
  {
    name: 'a failed run can complete',
    breaks: 'terminal-is-final',
    mutations: [
      {
        function: '_make_complete',
        from: `where r.run_id = p_run_id and r.state = 'running'`,
        to: 'where r.run_id = p_run_id',
      },
    ],
    async story(given) {
      const [first, story] = await superseded(given);
      await story.claim('second');
      await story.complete(first);
    },
  },
  {
    name: 'completed tasks can be cancelled',
    breaks: 'terminal-is-final',
    mutations: [
      {
        function: '_try_cancel_task',
        from: `elsif v_state in ('completed', 'failed', 'cancelled') then`,
        to: `elsif false then`,
      },
    ],
    async story(story) {
      const task = await story.spawn('job');
      await story.complete(await story.claim('w'));
      await story.call(`cancel_task('q', $1)`, [task]);
    },
  },
  {
    name: 'completion forgets the state of the task',
    breaks: 'rows-agree',
    mutations: [
      {
        function: '_make_complete',
        from: `set state = 'completed', completed_payload = p_state,`,
        to: 'set completed_payload = p_state,',
      },
    ],
    async story(story) {
      await story.spawn('job');
      await story.complete(await story.claim('w'));
    },
  },
  {
    name: 'an attempt number is skipped',
    breaks: 'attempts-rise-by-one',
    mutations: [{ function: '_fail_locked_run', from: 'v_attempt + 1,', to: 'v_attempt + 2,' }],
    async story(story) {
      await story.spawn('job');
      await story.fail(await story.claim('w'));
    },
  },
  {
    name: 'one attempt more than the limit',
    breaks: 'attempts-rise-by-one',
    mutations: [
      {
        function: '_fail_locked_run',
        from: 'if v_attempt >= v_task.max_attempts then',
        to: 'if v_attempt > v_task.max_attempts then',
      },
    ],
    async story(story) {
      await story.spawn('job', { max_attempts: 1 });
      await story.fail(await story.claim('w'));
    },
  },
  {
    name: 'a failed run can fail again',
    breaks: 'one-unfinished-run',
    mutations: [
      {
        function: 'fail_run',
        from: `array['running', 'sleeping']`,
        to: `array['running', 'sleeping', 'failed']`,
      },
    ],
    async story(given) {
      const [first, story] = await superseded(given);
      await story.claim('second');
      await story.fail(first);
    },
  },
  {
    name: 'an await does not lock its event (a lost wake-up)',
    breaks: 'no-wakeup-lost',
    mutations: [{ function: '_lock_event', from: 'where e.event_name = $1 for share', to: 'where e.event_name = $1' }],
    async story(story) {
      await story.spawn('first');
      await story.awaitEvent(await story.claim('w'), 's', 'go');
      await story.spawn('second');
      const second = await story.claim('w');
      const [a, b] = [await story.db.connect(), await story.db.connect()];
      const pid = await b.pid();
      await a.query('begin');
      await story.awaitEvent(second, 's', 'go', a);
      const emitted = story.emit('go', 'now', b);
      await Promise.race([emitted, story.blocked(pid)]);
      await a.query('commit');
      await emitted;
      await story.finish();
    },
  },
  {
    name: 'an emission wakes nobody',
    breaks: 'no-wakeup-lost',
    mutations: [{ function: 'emit_event', from: 'if v_emitted > 0 then', to: 'if false then' }],
    async story(story) {
      await story.spawn('job');
      await story.awaitEvent(await story.claim('w'), 's', 'go');
      await story.emit('go', 'now');
      await story.finish();
    },
  },
  {
    name: 'the last emission wins',
    breaks: 'first-emit-wins',
    mutations: [{ function: 'emit_event', from: 'where e.payload is null', to: '' }],
    async story(story) {
      await story.emit('go', 'first');
      await story.emit('go', 'second');
    },
  },
  {
    name: 'a key is not reserved',
    breaks: 'one-task-a-key',
    mode: 'partitioned',
    mutations: [
      {
        function: '_make_spawn',
        from: `values (p_idempotency_key, v_task_id) on conflict (idempotency_key) do nothing; if not found then`,
        to: `values (p_idempotency_key, v_task_id) on conflict (idempotency_key) do nothing; if false then`,
      },
    ],
    async story(story) {
      await story.spawn('job', { idempotency_key: 'k' });
      await story.spawn('job', { idempotency_key: 'k' });
    },
  },
  {
    name: 'a spawn is told that it made what was there',
    breaks: 'one-task-a-key',
    mutations: [{ function: '_spawned_before', from: 't.attempts, false from', to: 't.attempts, true from' }],
    async story(story) {
      await story.spawn('job', { idempotency_key: 'k' });
      await story.spawn('job', { idempotency_key: 'k' });
    },
  },
  {
    name: 'what sleeps is claimed at once',
    breaks: 'sleep-is-not-cut-short',
    mutations: [{ function: '_make_claim', from: 'and r.available_at <= v_now', to: '' }],
    async story(story) {
      await story.spawn('job');
      const run = await story.claim('w');
      await story.call(`schedule_run('q', $1, absurd.current_time() + interval '1 hour')`, [run.run_id]);
      await story.db.claim('q');
    },
  },
  {
    name: 'a lease is broken before it ends',
    breaks: 'one-live-lease',
    mutations: [
      {
        function: '_fail_expired_runs',
        from: 'and r.claim_expires_at <= $1',
        to: `and r.claim_expires_at <= $1 + interval '20 seconds'`,
      },
    ],
    async story(story) {
      await story.spawn('short');
      await story.spawn('long');
      await story.claim('w', { timeout: 10 });
      await story.claim('w', { timeout: 25 });
      await story.db.advance('11 seconds');
      await story.db.claim('q', { qty: 5 });
    },
  },
  {
    name: 'a claim sets no lease',
    breaks: 'every-run-can-be-reclaimed',
    mutations: [
      {
        function: '_make_claim',
        from: 'claim_expires_at = v_now + make_interval(secs => p_claim_timeout),',
        to: 'claim_expires_at = null,',
      },
    ],
    async story(story) {
      await story.spawn('job');
      await story.claim('w');
    },
  },
  {
    name: 'leases that ran out are left alone',
    breaks: 'no-task-lost',
    mutations: [{ function: '_make_claim', from: 'if v_some_expired then', to: 'if false then' }],
    async story(given) {
      const [, story] = await superseded(given);
      await story.finish();
    },
  },
  {
    name: 'unreadable settings raise',
    breaks: 'one-task-never-breaks-another',
    mutations: [
      {
        function: '_read_seconds',
        from: `when jsonb_typeof(p_value) = 'number' and p_value::numeric >= 0`,
        to: 'when p_value::numeric >= 0',
      },
    ],
    async story(story) {
      await story.spawn('poisoned');
      await story.spawn('healthy');
      // As other hands would: past the checks of a spawn and the triggers.
      await story.db.query(`set session_replication_role = replica`);
      const poison = `update absurd.t_q set cancellation = '{"max_duration": "soon"}' where task_name = 'poisoned'`;
      await story.db.query(poison);
      await story.db.query(`reset session_replication_role`);
      const answer = await story.call(`claim_task('q', 'w', 30, 5)`);
      if (answer !== 'done') {
        story.facts.seen.push({ invariant: 'one-task-never-breaks-another', words: `a claim raised ${answer}` });
      }
    },
  },
  {
    name: 'cleanup takes tasks that wait for another attempt',
    breaks: 'cleanup-takes-only-what-is-finished',
    mutations: [
      {
        function: '_ended_tasks',
        from: `and t.last_attempt_run = r.run_id and t.state in ('completed', 'failed')`,
        to: '',
      },
      {
        function: '_lock_ended_tasks',
        from: `t.state in ('completed', 'failed') and exists ( select 1 from absurd.%2$I as r where r.run_id = t.last_attempt_run and`,
        to: 'exists ( select 1 from absurd.%2$I as r where r.task_id = t.task_id and',
      },
    ],
    async story(story) {
      await story.spawn('job');
      await story.fail(await story.claim('w'));
      await story.db.advance('10 seconds');
      await story.call(`cleanup_tasks('q', 1)`);
    },
  },
  {
    name: 'cleanup leaves the runs of a task behind',
    breaks: 'cleanup-takes-only-what-is-finished',
    mutations: [{ function: '_cleanup_tasks', from: `'r_' || p_queue_name,`, to: '' }],
    async story(story) {
      await story.spawn('job');
      await story.complete(await story.claim('w'));
      await story.db.advance('10 seconds');
      await story.call(`cleanup_tasks('q', 1)`);
    },
  },
  {
    name: 'a cancellation locks the task before its runs',
    breaks: 'no-deadlock',
    mutations: [
      {
        function: '_try_cancel_task',
        from: 'v_new_run boolean; begin',
        to: `v_new_run boolean;
          begin
            execute format('select 1 from absurd.%1$I as t where t.task_id = $1 for update', 't_' || p_queue_name)
            using p_task_id;`,
      },
    ],
    async story(story) {
      const task = await story.spawn('job');
      const run = await story.claim('w');
      const [a, b] = [await story.db.connect(), await story.db.connect()];
      const pid = await b.pid();
      for (const one of [a, b]) await one.query(`set deadlock_timeout = '50ms'`);
      await a.query('begin');
      await story.call(`extend_claim('q', $1, 30)`, [run.run_id], a);
      const cancelled = story.call(`cancel_task('q', $1)`, [task], b);
      await story.blocked(pid);
      const codes = [await story.complete(run, a)];
      await a.query('commit');
      codes.push(await cancelled);
      if (codes.includes('40P01')) story.facts.seen.push({ invariant: 'no-deadlock', words: codes.join(', ') });
    },
  },
  {
    name: 'rows are lost on their way to a new partition',
    breaks: 'nothing-vanishes',
    mode: 'partitioned',
    mutations: [
      {
        function: '_move_default_rows',
        from: 'select %5$s from moved_row',
        to: 'select %5$s from moved_row where false',
      },
    ],
    async story(story) {
      await story.spawn('job');
      await story.call(`ensure_partitions('q')`);
    },
  },
  {
    name: 'a worker that says it is drained and holds a run',
    breaks: 'drained-worker-leaves-nothing-leased',
    mutations: [],
    async story(story) {
      await story.spawn('job');
      await story.claim('w');
      await story.drained('w');
    },
  },
  {
    name: 'a spawn that was said to be rolled back',
    breaks: 'rollback-leaves-nothing',
    mutations: [],
    async story(story) {
      story.facts.rolledBack.push(await story.spawn('job'));
    },
  },
];
