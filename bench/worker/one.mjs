// One system in a process of its own: node one.mjs SYSTEM TASKS STEPS CONCURRENCY, the database in BENCH_URL.
// The last line on standard output is JSON: how many a second were added singly, added in bulk, and worked off.
import { timed } from '../lib/figures.mjs';

const [system, ...numbers] = process.argv.slice(2);
const [total, steps, concurrency] = numbers.map(Number);
const { default: peer } = await import(`./systems/${system}.mjs`);

let ran = 0;
const bench = await peer.prepare(process.env.BENCH_URL, { total, steps, concurrency, onTask: () => ran++ });
const singly = Math.ceil(total / 10);
const params = (i) => ({ i, text: 'a small payload, as most are' });
const one = await timed(async () => {
  for (let i = 0; i < singly; i++) await bench.add(params(i));
});
const list = Array.from({ length: total - singly }, (_, i) => params(singly + i));
const bulk = await timed(() => bench.addMany(list));
const drain = await timed(async () => {
  await bench.start();
  // The handler's count costs nothing to look at; the database is asked once it is full.
  while (ran < total) await new Promise((resolve) => setTimeout(resolve, 5));
  while ((await bench.finished()) < total) await new Promise((resolve) => setTimeout(resolve, 5));
});
await bench.stop();
console.log(JSON.stringify({ one: singly / one, bulk: list.length / bulk, drain: total / drain }));
process.exit(0);
