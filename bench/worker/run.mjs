// Drains of a queue by one Node process, beside the peers: node bench/worker/run.mjs [--tasks N] [--rounds N]
//   [--steps 0,3] [--only a,b]
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median, table } from '../lib/figures.mjs';
import { withServer } from '../lib/server.mjs';

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '32' },
    steps: { type: 'string', default: '0,3' },
    only: { type: 'string' },
  },
});
const systems = ['absurdctl', 'absurd-sdk', 'pg-boss', 'graphile-worker', 'graphile-worker-batched', 'dbos'].filter(
  (name) => values.only === undefined || values.only.split(',').includes(name),
);
const withSteps = new Set(['absurdctl', 'absurd-sdk', 'dbos']);
const folder = fileURLToPath(new URL('.', import.meta.url));
const version = (name) =>
  JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;

function measure(url, system, steps) {
  const args = ['one.mjs', system, values.tasks, String(steps), values.concurrency];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, BENCH_URL: url },
    timeout: 900_000,
  });
  if (status !== 0) throw new Error(`${system} ended with ${String(status)}: ${stderr}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

await withServer(async (database) => {
  console.log(
    ['absurd-sdk', 'pg-boss', 'graphile-worker', '@dbos-inc/dbos-sdk']
      .map((name) => `${name} ${version(name)}`)
      .join(', '),
  );
  for (const steps of values.steps.split(',').map(Number)) {
    const rounds = new Map();
    const taking = systems.filter((name) => steps === 0 || withSteps.has(name));
    // Interleaved, so that a busy moment of the machine hits all alike.
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const system of taking) {
        const url = await database(`bench_${system.replaceAll('-', '_')}`);
        rounds.set(system, [...(rounds.get(system) ?? []), measure(url, system, steps)]);
      }
    }
    console.log(
      `\n${values.tasks} tasks, ${steps} steps, concurrency ${values.concurrency}, median of ${values.rounds} rounds; a second (and beside absurdctl)`,
    );
    const figure = (system, what) => median(rounds.get(system).map((round) => round[what]));
    const own = (what) => (rounds.has('absurdctl') ? figure('absurdctl', what) : NaN);
    const cell = (system, what) => {
      const value = figure(system, what);
      return `${Math.round(value)} (${(value / own(what)).toFixed(2)})`;
    };
    table([
      ['', 'added one by one', 'added in bulk', 'worked off'],
      ...taking.map((system) => [system, cell(system, 'one'), cell(system, 'bulk'), cell(system, 'drain')]),
    ]);
  }
});
