import type { Mutant } from './mutants.js';

/** Those of events, keys, time, cleanup and locks. */
export const moreMutants: Mutant[] = [
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
    mutations: [{ function: '_emit_template', from: 'if not found then', to: 'if true then' }],
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
    mutations: [{ function: '_emit_template', from: 'where e.payload is null', to: '' }],
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
        function: '_spawn_template',
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
    mutations: [{ function: '_claim_template', from: 'and r.available_at <= v_now', to: '' }],
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
        function: '_claim_template',
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
    mutations: [{ function: '_claim_template', from: 'if v_some_expired then', to: 'if false then' }],
    async story(story) {
      await story.spawn('job');
      await story.claim('first', { timeout: 10 });
      await story.db.advance('11 seconds');
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
        function: '_lock_ended_tasks',
        from: `and t.last_attempt_run = r.run_id and t.state in ('completed', 'failed')`,
        to: '',
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
