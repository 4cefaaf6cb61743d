import { createDatabase, expect, test } from '../support/database.js';
import { installHistory, recordQueue } from './chaos/history.js';
import { Story } from './story.js';

/** Tells a story of the whole engine, of which the checker must have nothing to say. */
async function tellHarmless(tell: (story: Story) => Promise<void>): Promise<void> {
  const { database, close } = await createDatabase('current', true);
  try {
    await database.queue('q');
    await installHistory(database);
    await recordQueue(database, 'q');
    const story = new Story(database);
    await tell(story);
    expect(await story.violations()).toEqual([]);
  } finally {
    await close();
  }
}

test('an emission that waits for a cancellation is judged when it is over', async () => {
  await tellHarmless(async (story) => {
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
  });
});
