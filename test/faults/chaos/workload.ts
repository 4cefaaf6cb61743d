import pg from 'pg';
import { spawnDelayed, spawnFamily } from './capabilities.js';
import { eventName, planScript } from './plan.js';
import { isExplained, pause, type Scene } from './scene.js';

/** What programs do to a queue while the faults last, until there are tasks enough. */
export async function workload(scene: Scene): Promise<void> {
  const { random } = scene;
  const deeds: (() => Promise<unknown>)[] = [
    () => spawn(scene),
    () => spawn(scene),
    () => spawnMany(scene),
    () => spawnInTransaction(scene),
    () => spawnRacing(scene),
    () => emitRacing(scene),
    () => spawnDelayed(scene),
    () => spawnFamily(scene),
  ];
  while (!scene.over && scene.facts.spawned.length < scene.plan.spawns) {
    await scene.attempt('workload', random.pick(deeds));
    await pause(random.between(5, 60));
  }
}

function options(scene: Scene): { maxAttempts: number } {
  const { random } = scene;
  // Faults cost attempts: most tasks have plenty, some are to meet their limit.
  return {
    maxAttempts: random.chance(0.15) ? random.between(1, 3) : 100,
    ...(random.chance(0.2) ? { retryStrategy: { kind: 'fixed', baseSeconds: random.pick([0, 0.2]) } } : {}),
    ...(random.chance(0.1) ? { cancellation: { maxDuration: random.between(1, 4), maxDelay: 3 } } : {}),
  };
}

async function spawn(scene: Scene): Promise<void> {
  const script = planScript(scene.random);
  const { taskID, created } = await scene.absurd.spawn(
    'scripted',
    { script },
    { queue: scene.queue, ...options(scene) },
  );
  scene.facts.spawned.push({ taskId: taskID, created });
}

async function spawnMany(scene: Scene): Promise<void> {
  const requests = Array.from({ length: scene.random.between(2, 15) }, () => ({
    name: 'scripted',
    params: { script: planScript(scene.random) },
    options: { queue: scene.queue, ...options(scene) },
  }));
  for (const { taskID, created } of await scene.absurd.spawnMany(requests)) {
    scene.facts.spawned.push({ taskId: taskID, created });
  }
}

/** In the caller's transaction: a spawn that is rolled back has never been. */
async function spawnInTransaction(scene: Scene): Promise<void> {
  const script = planScript(scene.random);
  const commits = scene.random.chance(0.6);
  await scene.connected(async (client: pg.Client) => {
    await client.query('begin');
    const bound = scene.absurd.bindToConnection(client);
    const { taskID } = await bound.spawn('scripted', { script }, { queue: scene.queue, ...options(scene) });
    await client.query(commits ? 'commit' : 'rollback');
    if (commits) scene.facts.spawned.push({ taskId: taskID, created: true });
    else scene.facts.rolledBack.push(taskID);
  });
}

async function spawnRacing(scene: Scene): Promise<void> {
  const key = `key ${scene.random.between(1, 40)}`;
  const script = planScript(scene.random);
  const race = Array.from({ length: 4 }, async () => {
    try {
      const options = { queue: scene.queue, idempotencyKey: key, maxAttempts: 100 };
      const { taskID, created } = await scene.absurd.spawn('scripted', { script }, options);
      scene.facts.spawned.push({ taskId: taskID, created, key });
    } catch (error) {
      if (!isExplained(error)) throw error;
    }
  });
  await Promise.all(race);
}

async function emitRacing(scene: Scene): Promise<void> {
  const event = eventName(scene.random);
  const payloads = [scene.random.next(), null, scene.random.next()];
  const race = payloads.map((payload) =>
    scene.absurd.emitEvent(event, payload, scene.queue).catch((error: unknown) => {
      if (!isExplained(error)) throw error;
    }),
  );
  await Promise.all(race);
}

/** How long nothing at all may happen while tasks are open: far beyond any lease, sleep and poll of a round. */
const standstillMs = 40_000;
/** What goes on for so long goes round in circles. */
const longestMs = 300_000;

/** Gives everybody time to finish: what waits gets its event. Ends when all tasks have ended, or nothing goes on any more. */
export async function settle(scene: Scene): Promise<void> {
  const begunMs = Date.now();
  let movedMs = begunMs;
  let before: unknown;
  while (Date.now() - movedMs < standstillMs && Date.now() - begunMs < longestMs) {
    for (const worker of scene.workers) if (!worker.alive) scene.replace(worker);
    const awaited = `select distinct w.event_name as event from absurd."w_${scene.queue}" w`;
    for (const { event } of await scene.ask(awaited)) {
      await scene.attempt('emit', () => scene.absurd.emitEvent(String(event), 'at last', scene.queue));
    }
    const look = `
      select exists (select 1 from ${scene.t} t where t.state in ('pending', 'running', 'sleeping')) as open,
        (select last_value from history.entry_seq_seq) as moved`;
    const [now] = await scene.ask(look);
    if (now?.['open'] === false) {
      scene.facts.settledAt = Number(now['moved']);
      return;
    }
    if (now?.['moved'] !== before) movedMs = Date.now();
    before = now?.['moved'];
    await pause(100);
  }
}
