import { DBOS } from '@dbos-inc/dbos-sdk';
import { inParallel } from '../../lib/figures.mjs';
import { query } from '../../lib/server.mjs';

// Its dispatcher looks once a second unless told otherwise; 20 ms is where looking more often won nothing.
export default {
  keeps: true,
  steps: true,
  async prepare(url, { concurrency, onTask, steps }) {
    DBOS.setConfig({ name: 'bench', systemDatabaseUrl: url, systemDatabasePoolSize: 10, logLevel: 'error' });
    const job = DBOS.registerWorkflow(
      async (params) => {
        for (let step = 0; step < steps; step++) await DBOS.runStep(async () => ({ step }), { name: `step-${step}` });
        onTask(params);
        return { ok: true };
      },
      { name: 'job' },
    );
    // Nothing of the queue runs before the measured moment: its concurrency opens then.
    await DBOS.launch();
    const queue = await DBOS.registerQueue('bench', { workerConcurrency: 0, minPollingIntervalMs: 20 }).catch(
      () => undefined,
    );
    if (queue === undefined) throw new Error('the queue could not be made');
    const add = (params) => DBOS.startWorkflow(job, { queueName: 'bench' })(params);
    return {
      add,
      addMany: (list) => inParallel(list, 10, add),
      start: () => queue.setWorkerConcurrency(concurrency),
      finished: async () =>
        (
          await query(
            url,
            `select count(*)::int as n from dbos.workflow_status where status = 'SUCCESS' and name = 'job'`,
          )
        )[0].n,
      stop: () => DBOS.shutdown(),
    };
  },
};
