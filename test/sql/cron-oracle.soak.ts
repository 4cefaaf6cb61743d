import { expect, test } from '../support/database.js';
import { compareNextTimes } from './cron-cases.js';

/** Another one plays other cases. */
const seed = Number(process.env['ABSURD_CRON_SEED'] ?? '20261128');

test('100,000 random cases of next_times against croner and cron-parser', { timeout: 600_000 }, async ({ db }) => {
  const { wrong, compared, nearChange, otherRule } = await compareNextTimes(db, {
    expressions: 5_100,
    moments: 20,
    seed,
  });
  console.log(`${compared} cases, ${nearChange} near a change of the clocks; other rules there: `, otherRule);
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(compared).toBeGreaterThanOrEqual(100_000);
  // Otherwise the cases would not show the two rules.
  expect(nearChange).toBeGreaterThan(20_000);
  expect(otherRule.croner).toBeGreaterThan(100);
  expect(otherRule.parser).toBeGreaterThan(100);
});
