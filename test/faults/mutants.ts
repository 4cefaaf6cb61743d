import type { Invariant } from './checker/invariants.js';
import type { Mutation } from './mutate.js';
import type { Story } from './story.js';

import { capabilityMutants } from './mutants-capabilities.js';
import { moreMutants } from './mutants-events.js';

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
  function: '_save_template',
  from: `'{pending,running,sleeping,completed}'`,
  to: `'{pending,running,sleeping,completed,failed}'`,
};

export const mutants: Mutant[] = [
  {
    name: 'a claim waits for locked rows (no skip locked)',
    breaks: 'one-task-never-blocks-another',
    mutations: [
      {
        function: '_claim_template',
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
    mutations: [{ function: '_claim_template', from: 'for update of r, t skip locked', to: '' }],
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
        function: '_save_template',
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
    mutations: [{ function: '_save_many_template', from: `when r.state = 'failed' then 'AB002'`, to: '' }],
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
        function: '_load_template',
        from: ') <= r.attempt',
        to: ') < r.attempt',
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
        function: '_complete_template',
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
        function: '_complete_template',
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
        from: 'if v_attempt >= v_task.max_attempts or v_retry_at is null then',
        to: 'if v_attempt > v_task.max_attempts or v_retry_at is null then',
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
        from: `'{running,sleeping}'`,
        to: `'{running,sleeping,failed}'`,
      },
    ],
    async story(given) {
      const [first, story] = await superseded(given);
      await story.claim('second');
      await story.fail(first);
    },
  },
  ...moreMutants,
  ...capabilityMutants,
];
