import { runHooks, type EventFields, type EventName } from '../../src/lib/work/events.js';
import { Absurd } from '../../src/sdk/index.js';
import { expect, test } from '../support/database.js';

test('a run that is suspended is reported with what it waits for', async ({ db }) => {
  await db.queue('q');
  const told: [EventName, string, EventFields | undefined][] = [];
  const hooks = runHooks(
    (event, text, fields) => void told.push([event, text, fields]),
    () => new Date(),
  );
  const absurd = new Absurd({ db: db.pool, queueName: 'q', hooks });
  absurd.registerTask({ name: 'waits' }, async (_params, ctx) => {
    await ctx.step('one', async () => 1);
    await ctx.awaitEvent('paid:42', { timeout: 60 });
  });
  absurd.registerTask({ name: 'sleeps' }, async (_params, ctx) => {
    await ctx.sleepFor('cool-down', 90);
  });
  await absurd.spawn('waits', {});
  await absurd.spawn('sleeps', {});
  await absurd.workBatch('w', 60, 2);
  const suspended = told
    .filter(([event]) => event === 'run_suspended')
    .map(([, text]) => text.replace(/ [0-9a-f-]{36}/, ''));
  expect(suspended.sort()).toEqual([
    'sleeps step "cool-down" sleeps for 90 s',
    'waits waits for event "paid:42" for at most 60 s',
  ]);
  expect(told.find(([event]) => event === 'run_suspended')?.[2]?.['waits_for']).toBeDefined();
});

test('a run is reported as failed whatever was thrown, and a date that is none is refused by the SDK', async ({
  db,
}) => {
  await db.queue('q');
  const told: [EventName, string][] = [];
  const hooks = runHooks(
    (event, text) => void told.push([event, text]),
    () => new Date(),
  );
  const absurd = new Absurd({ db: db.pool, queueName: 'q', hooks, defaultMaxAttempts: 1 });
  absurd.registerTask({ name: 'revoked' }, async () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    throw proxy;
  });
  absurd.registerTask({ name: 'undated' }, async (_params, ctx) => ctx.sleepUntil('nap', new Date(Number.NaN)));
  await absurd.spawnMany([{ name: 'revoked' }, { name: 'undated' }]);
  await absurd.workBatch('w', 60, 2);
  const failed = told.filter(([event]) => event === 'run_failed').map(([, text]) => text.replace(/ [0-9a-f-]{36}/, ''));
  expect(failed.sort()).toEqual([
    'revoked what was thrown cannot be shown',
    'undated Error: sleepUntil("nap") needs a valid date',
  ]);
});
