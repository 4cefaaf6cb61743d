// How long a user waits for a command to start, beside a bare `node -e 0`, interleaved so that a busy moment hits all alike.
//   node bench/startup/run.mjs [rounds]
// list-queues needs a database with the schema: ABSURD_DATABASE_URL names it; without one it is left out, and it says so.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const rounds = Number(process.argv[2] ?? 20);
const bin = fileURLToPath(new URL('../../bin/absurdctl', import.meta.url));
const cases = [
  { name: 'node -e 0', argv: ['-e', '0'] },
  { name: 'absurdctl --help', argv: [bin, '--help'], goal: 1.6 },
  { name: 'absurdctl init --help', argv: [bin, 'init', '--help'], goal: 1.6 },
  ...(process.env.ABSURD_DATABASE_URL ? [{ name: 'absurdctl list-queues', argv: [bin, 'list-queues'], goal: 2 }] : []),
];
if (!process.env.ABSURD_DATABASE_URL) console.log('list-queues is not measured: ABSURD_DATABASE_URL is not set');

const times = cases.map(() => []);
for (let round = -1; round < rounds; round++) {
  cases.forEach(({ name, argv }, i) => {
    const begun = process.hrtime.bigint();
    const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    const ms = Number(process.hrtime.bigint() - begun) / 1e6;
    if (status !== 0) throw new Error(`${name} ended with ${String(status)}: ${stderr}`);
    // The first round fills the code cache and the file cache.
    if (round >= 0) times[i].push(ms);
  });
}

const medians = times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
console.log(`Node ${process.version}, ${rounds} rounds, medians`);
let missed = false;
cases.forEach(({ name, goal }, i) => {
  const ratio = medians[i] / medians[0];
  missed ||= goal !== undefined && ratio > goal;
  const verdict = goal === undefined ? '' : `  ${ratio.toFixed(2)} x  (goal ${goal})${ratio > goal ? '  MISSED' : ''}`;
  console.log(`${name.padEnd(24)} ${medians[i].toFixed(1).padStart(7)} ms${verdict}`);
});
process.exitCode = missed ? 1 : 0;
