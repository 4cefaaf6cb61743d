import PgBoss from 'pg-boss';
import { query } from '../../lib/server.mjs';

// Its own work() waits half a second at least between two batches. fetch and complete in a loop are its fast way.
export default {
  keeps: true,
  steps: false,
  async prepare(url, { concurrency, onTask }) {
    const boss = new PgBoss({ connectionString: url, max: 10 });
    boss.on('error', console.error);
    await boss.start();
    await boss.createQueue('bench');
    let going = true;
    let loop;
    const work = async () => {
      while (going) {
        const jobs = await boss.fetch('bench', { batchSize: concurrency });
        if (jobs.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
        else {
          await Promise.all(jobs.map(async (job) => onTask(job.data)));
          await boss.complete(
            'bench',
            jobs.map((job) => job.id),
          );
        }
      }
    };
    return {
      add: (params) => boss.send('bench', params),
      addMany: async (list) => {
        for (let i = 0; i < list.length; i += 1000) {
          await boss.insert(list.slice(i, i + 1000).map((data) => ({ name: 'bench', data })));
        }
      },
      start: async () => void (loop = work()),
      finished: async () =>
        (await query(url, `select count(*)::int as n from pgboss.job where name = 'bench' and state = 'completed'`))[0]
          .n,
      stop: async () => {
        going = false;
        await loop;
        await boss.stop({ graceful: false });
      },
    };
  },
};
