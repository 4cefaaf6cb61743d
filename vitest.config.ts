import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// `--mode soak` (npm run test:soak) runs the long tests: files named *.soak.ts, and the fuzz tests with all their rounds.
const fuzzRounds = { test: '0.25', soak: '1' };

export default defineConfig(({ mode }) => {
  const soak = mode === 'soak';
  const report = process.env.ABSURD_TEST_REPORT;
  return {
    // The examples import the package by its name, as their readers will.
    resolve: { alias: { absurdctl: fileURLToPath(new URL('src/sdk/index.ts', import.meta.url)) } },
    test: {
      include: soak ? ['test/**/*.soak.ts', 'test/fuzz/*.test.ts'] : ['test/**/*.test.ts'],
      env: { ABSURD_FUZZ_RUNS: process.env.ABSURD_FUZZ_RUNS ?? fuzzRounds[soak ? 'soak' : 'test'] },
      globalSetup: ['test/support/global-setup.ts'],
      testTimeout: 180_000,
      hookTimeout: 180_000,
      pool: 'forks',
      maxWorkers: 3,
      reporters: ['default', './test/support/reporter.ts', ...(report ? ['json'] : [])],
      outputFile: report ? { json: report } : undefined,
    },
  };
});
