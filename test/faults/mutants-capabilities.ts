import type { Mutant } from './mutants.js';
import type { Story } from './story.js';

/** A parent that waits for its child, which then ends. What is due now is worked on, and nothing later. */
async function parentOfOne(story: Story): Promise<void> {
  const parent = await story.spawn('parent');
  const run = await story.claim('w', { timeout: 600 });
  const child = await story.spawn('child', { parent: { queue: story.queue, task_id: parent } });
  const children = JSON.stringify([{ task_id: child }]);
  await story.call(`await_tasks('q', $1, $2, 'child', $3, 'all')`, [parent, run.run_id, children]);
  await story.complete(await story.claim('w'));
  for (const woken of await story.db.claim('q')) await story.complete(woken);
  story.facts.settled = true;
}

/** Those of pauses, delays, schedules and families. */
export const capabilityMutants: Mutant[] = [
  {
    name: 'a claim does not look for a pause',
    breaks: 'paused-queue-hands-out-nothing',
    mutations: [
      {
        function: '_pass_claim_gate',
        from: 'and (p.paused_until is null or p.paused_until > p_now)',
        to: 'and false',
      },
    ],
    async story(story) {
      await story.call(`pause_queue('q')`);
      await story.note({ note: 'paused' });
      await story.spawn('job');
      await story.db.claim('q');
      await story.note({ note: 'resuming' });
      await story.call(`resume_queue('q')`);
      await story.db.claim('q');
    },
  },
  {
    name: 'two sessions fire one time',
    breaks: 'time-fires-once',
    mutations: [
      { function: 'fire_schedules', from: 'for update of s skip locked', to: '' },
      {
        function: '_fire_schedule',
        from: 'absurd._schedule_key(p_schedule.schedule_name, v_at)',
        to: 'null',
      },
    ],
    async story(story) {
      await story.db.freeze('2026-03-04T12:00:00Z');
      await story.call(`set_schedule('s', 'q', 'job', null, '{"cron": "* * * * *"}')`);
      await story.db.advance('1 minute');
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
    name: 'the end of a child wakes nobody',
    breaks: 'no-parent-waits-for-ended-child',
    mutations: [{ function: '_wake_waiting_runs', from: 'perform absurd._end_task_wait(v_wait);', to: 'null;' }],
    story: parentOfOne,
  },
  {
    name: 'a delay loses half an hour',
    breaks: 'delay-is-not-cut-short',
    mutations: [
      {
        function: '_spawn_options',
        from: 'start_at := absurd._read_start(v_options);',
        to: `start_at := absurd._read_start(v_options) - interval '30 minutes';`,
      },
    ],
    async story(story) {
      await story.db.freeze('2026-03-04T12:00:00Z');
      await story.spawn('job', { start_at: '2026-03-04T13:00:00Z' });
      await story.db.advance('45 minutes');
      await story.db.claim('q');
      await story.db.advance('15 minutes');
      await story.db.claim('q');
    },
  },
];
