import { expect, test } from '../support/database.js';
import { compareNextTimes } from './cron-cases.js';

const rounds = Number(process.env['ABSURD_CRON_ROUNDS'] ?? '1500');

test('next_times agrees with croner and cron-parser, and has two rules of its own where clocks change', async ({
  db,
}) => {
  const found = await compareNextTimes(db, { expressions: Math.ceil(rounds / 10), moments: 10, seed: 20261128 });
  expect(found.wrong.slice(0, 10)).toEqual([]);
  expect(found.compared).toBeGreaterThanOrEqual(rounds);
  expect(found.nearChange).toBeGreaterThan(rounds / 10);
});
