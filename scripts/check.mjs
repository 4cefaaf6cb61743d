// The checks before the tests, as many at a time as there are processors: what one of them says is shown when it fails.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';

// The slowest first.
const checks = {
  lint: 'eslint .',
  types: 'tsc --noEmit && tsc --noEmit -p src/dashboard',
  format: 'prettier --check --cache --cache-strategy content .',
  'dead exports, circles': 'knip --files --dependencies --exports --cycles',
  build: 'node scripts/build.mjs',
};

function run(command) {
  return new Promise((resolve) => {
    // npm run puts node_modules/.bin on the path.
    const child = spawn(command, { shell: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
    child.once('close', (code) => resolve({ code, said }));
  });
}

const waiting = Object.entries(checks);
async function work() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const [name, command] = next;
    const begun = performance.now();
    const { code, said } = await run(command);
    console.log(`${code === 0 ? 'ok' : 'FAILED'}  ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
    if (code === 0) continue;
    process.exitCode = 1;
    console.log(`$ ${command}\n${said}`);
  }
}
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
