import { expect, runsOf, test } from './support.js';

test('what only the server can refuse fails its step and its run, and the error names it', async ({ db, make }) => {
  await db.query(`alter database "${db.name}" set max_stack_depth = '100kB'`);
  const absurd = make();
  await absurd.createQueue();
  // Deeper than the server reads with so little stack.
  const deep = JSON.parse('['.repeat(3000) + ']'.repeat(3000)) as unknown;
  absurd.registerTask({ name: 'step', defaultMaxAttempts: 1 }, async (_, ctx) => {
    await ctx.step('gather', async () => deep);
  });
  absurd.registerTask({ name: 'result', defaultMaxAttempts: 1 }, async () => deep);
  const [step, result] = await absurd.spawnMany([{ name: 'step' }, { name: 'result' }]);
  const worker = await absurd.startWorker({ concurrency: 2, pollInterval: 0.02 });
  await absurd.awaitTaskResult(step?.taskID ?? '', { timeout: 20 });
  await absurd.awaitTaskResult(result?.taskID ?? '', { timeout: 20 });
  await worker.close();
  const reasonOf = async (id = ''): Promise<unknown> => (await runsOf(db, id))[0]?.failure_reason?.message;
  expect(await reasonOf(step?.taskID)).toMatch(/^The value of step "gather" cannot be stored: stack depth/);
  expect(await reasonOf(result?.taskID)).toMatch(/^The result of run \S+ cannot be stored: stack depth/);
});
