import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The examples import the package by its name, as their readers will.
  resolve: { alias: { absurdctl: fileURLToPath(new URL('src/sdk/index.ts', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 90_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 3,
    reporters: process.env.ABSURD_TEST_REPORT ? ['default', 'json'] : ['default'],
    outputFile: process.env.ABSURD_TEST_REPORT ? { json: process.env.ABSURD_TEST_REPORT } : undefined,
  },
});
