/** Faults that take something away: a process, a connection, the server, the time. Each mends what it broke before it returns. */
import pg from 'pg';
import type { loudFaults } from './plan.js';
import { pause, type Scene } from './scene.js';

type Loud = Record<(typeof loudFaults)[number], (scene: Scene) => Promise<void>>;

/** Ends connections to the scene's database, some or all. */
async function terminate(scene: Scene, share: number): Promise<void> {
  await scene.attempt('terminate', () =>
    scene.pool.query(
      `select pg_terminate_backend(a.pid) from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid() and random() < $1`,
      [share],
    ),
  );
}

/** Moves the clock of new sessions, and stops it there; null lets it run again. */
async function setClock(scene: Scene, at: string | null): Promise<void> {
  const change = at === null ? 'reset absurd.fake_now' : `set absurd.fake_now = '${at}'`;
  await scene.ask(`alter database "${scene.name}" ${change}`);
}

/** Lets the clock run in every session: those of a stopped clock end, also one that was just being made. */
export async function resetClock(scene: Scene): Promise<void> {
  await setClock(scene, null);
  for (let round = 0; round < 2; round += 1) {
    await terminate(scene, 1);
    await pause(200);
  }
}

export const loud: Loud = {
  async 'kill -9'(scene) {
    const worker = scene.random.pick(scene.workers);
    await worker.kill();
    scene.replace(worker);
  },

  async 'stop past the lease'(scene) {
    const worker = scene.random.pick(scene.workers);
    worker.stop();
    await pause(Number(worker.plan.options['claimTimeout']) * 1000 * (1 + scene.random.next()) + 200);
    worker.resume();
  },

  async 'terminate backends'(scene) {
    for (let n = scene.random.between(2, 5); n > 0; n -= 1) {
      await terminate(scene, scene.random.pick([0.2, 0.5, 1]));
      await pause(scene.random.between(20, 400));
    }
  },

  /** The server takes that for a crash: it ends all sessions and recovers. */
  async 'kill a backend'(scene) {
    const [victim] = await scene.ask(
      `select a.pid from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()
        order by random() limit 1`,
    );
    if (victim !== undefined) process.kill(Number(victim['pid']), 'SIGKILL');
    await scene.ask('select 1');
  },

  async 'crash the server'(scene) {
    await scene.server.restart();
  },

  async 'jump the clock'(scene) {
    const seconds = scene.random.pick([-4, -1, 1, 3, 5]);
    const [now] = await scene.ask('select (clock_timestamp() + make_interval(secs => $1))::text as at', [seconds]);
    await setClock(scene, String(now?.['at']));
    // Some go on by the old clock.
    await terminate(scene, 0.5);
    await pause(scene.random.between(300, 1200));
    await resetClock(scene);
  },

  async 'exhaust connections'(scene) {
    const held: pg.Client[] = [];
    const open = async (): Promise<boolean> => {
      const client = new pg.Client({ connectionString: scene.url });
      client.on('error', () => undefined);
      held.push(client);
      return client.connect().then(
        () => true,
        () => false,
      );
    };
    while (await open());
    // Those who work give some back; take them, too.
    await pause(scene.random.between(200, 1200));
    await Promise.all([open(), open(), open()]);
    await pause(scene.random.between(100, 600));
    await Promise.all(held.map((client) => client.end().catch(() => undefined)));
  },

  async 'restart the pooler'(scene) {
    await scene.pooler?.restart();
  },

  async 'lose answers'(scene) {
    scene.proxy.lose(scene.random.pick([0.05, 0.2, 0.5]));
    await pause(scene.random.between(500, 2500));
    scene.proxy.lose(0);
  },

  async 'drain a worker'(scene) {
    const worker = scene.random.pick(scene.workers);
    await scene.drain(worker);
    scene.replace(worker);
  },
};
