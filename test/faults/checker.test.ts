import { createDatabase, expect, test } from '../support/database.js';
import { installHistory, recordQueue } from './chaos/history.js';
import { Story } from './story.js';

/** Tells a story of the whole engine, on a database of its own. */
async function tell(story: (story: Story) => Promise<void>): Promise<void> {
  const { database, close } = await createDatabase('current', true);
  try {
    await database.queue('q');
    await installHistory(database);
    await recordQueue(database, 'q');
    await story(new Story(database));
  } finally {
    await close();
  }
}

test('an emission that waits for a cancellation is judged when it is over', async () => {
  await tell(async (story) => {
    const task = await story.spawn('job');
    await story.awaitEvent(await story.claim('w'), 's', 'go');
    const [canceller, emitter] = [await story.db.connect(), await story.db.connect()];
    const pid = await emitter.pid();
    await canceller.query('begin');
    await canceller.query(`select 1 from absurd.r_q for update`);
    const emitted = story.emit('go', 'now', emitter);
    await story.blocked(pid);
    await story.call(`cancel_task('q', $1)`, [task], canceller);
    await canceller.query('commit');
    expect(await emitted).toBe('done');
    await story.finish();
    expect(await story.violations()).toEqual([]);
  });
});

test('what is spawned after all had ended is not lost, what was there before is', async () => {
  await tell(async (story) => {
    await story.spawn('job');
    story.facts.settled = true;
    expect((await story.violations()).map(({ invariant }) => invariant)).toEqual(['no-task-lost']);
    story.facts.settledAt = 0;
    expect(await story.violations()).toEqual([]);
  });
});
