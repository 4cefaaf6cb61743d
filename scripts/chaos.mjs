// npm run chaos -- --minutes 10 --seed 7: faults upon workers and their server for so long, and a verdict on what must hold.
// --round N plays one round of the seed, --postgres 15 the older server.
import { createJiti } from 'jiti';

const { main } = await createJiti(import.meta.url).import('../test/faults/chaos/main.ts');
process.exitCode = await main(process.argv.slice(2));
