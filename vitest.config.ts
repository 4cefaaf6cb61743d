import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: process.env.ABSURD_TEST_REPORT ? ['default', 'json'] : ['default'],
    outputFile: process.env.ABSURD_TEST_REPORT ? { json: process.env.ABSURD_TEST_REPORT } : undefined,
  },
});
