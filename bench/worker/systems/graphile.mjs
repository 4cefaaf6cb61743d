import { makeWorkerUtils, run } from 'graphile-worker';
import { query } from '../../lib/server.mjs';

// It deletes what it ran: the only one here after which nobody can ask what happened.
export const graphile = (tuning) => ({
  keeps: false,
  steps: false,
  async prepare(url, { concurrency, onTask, total }) {
    const utils = await makeWorkerUtils({ connectionString: url });
    await utils.migrate();
    let runner;
    const quiet = { logger: silentLogger() };
    return {
      add: (params) => utils.addJob('job', params),
      addMany: async (list) => {
        for (let i = 0; i < list.length; i += 1000) {
          await utils.addJobs(list.slice(i, i + 1000).map((payload) => ({ identifier: 'job', payload })));
        }
      },
      start: async () => {
        runner = await run({
          ...quiet,
          noHandleSignals: true,
          taskList: { job: async (payload) => onTask(payload) },
          preset: {
            worker: {
              connectionString: url,
              concurrentJobs: concurrency,
              maxPoolSize: 10,
              pollInterval: 50,
              ...tuning,
            },
          },
        });
      },
      finished: async () => {
        const [{ n }] = await query(url, 'select count(*)::int as n from graphile_worker._private_jobs');
        return total - n;
      },
      stop: async () => {
        await runner.stop();
        await utils.release();
      },
    };
  },
});

function silentLogger() {
  const logger = { error: console.error, warn() {}, info() {}, debug() {}, scope: () => logger };
  return logger;
}
