// Both clients of an Absurd schema are driven by the same lines: what differs is the import, and how many are spawned at once.
import { install, query } from '../../lib/server.mjs';

export const absurd = (Absurd, spawnMany) => ({
  keeps: true,
  steps: true,
  async prepare(url, { concurrency, onTask, steps }) {
    await install(url);
    const app = new Absurd({ db: url, queueName: 'bench', log: quiet });
    await app.createQueue();
    app.registerTask({ name: 'job' }, async (params, ctx) => {
      for (let step = 0; step < steps; step++) await ctx.step(`step-${step}`, async () => ({ step }));
      onTask(params);
      return { ok: true };
    });
    let worker;
    return {
      add: (params) => app.spawn('job', params),
      addMany: (list) =>
        spawnMany(
          app,
          list.map((params) => ({ name: 'job', params })),
        ),
      start: async () => (worker = await app.startWorker({ concurrency, pollInterval: 0.05 })),
      finished: async () =>
        (await query(url, `select count(*)::int as n from absurd.t_bench where state = 'completed'`))[0].n,
      stop: async () => {
        await worker.close();
        await app.close();
      },
    };
  },
});

const quiet = { log() {}, info() {}, warn: console.warn, error: console.error };
