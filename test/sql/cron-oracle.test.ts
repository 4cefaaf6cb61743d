/**
 * next_times against two libraries, over random expressions, zones and moments. Where a change of the clocks is near they
 * have rules of their own (ours: the first instant after a gap, and of two equal local times the first), so a case counts only
 * where no clock of the zone changes from a day before the first to a day after the last of the compared times.
 */
import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import fc from 'fast-check';
import { expect, test } from '../support/database.js';

const zones = [
  'UTC',
  'Europe/Vienna',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'America/Santiago',
  'Pacific/Apia',
  'Asia/Tehran',
];

const rounds = Number(process.env['ABSURD_CRON_ROUNDS'] ?? '1500');
const compared = 3;

/** Items that share no value, which one of the libraries refuses. */
function field(min: number, max: number): fc.Arbitrary<string> {
  const step = fc.integer({ min: 1, max: Math.min(15, max) });
  const items = fc
    .record({
      values: fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 6 }),
      ranges: fc.boolean(),
      by: fc.option(step, { nil: undefined }),
    })
    .map(({ values, ranges, by }) => {
      const sorted = values.toSorted((a, b) => a - b).map(String);
      if (!ranges) return sorted.join(',');
      const pairs = sorted.flatMap((low, i) => (i % 2 === 0 ? [[low, sorted[i + 1]]] : []));
      return pairs
        .map(([low, high]) => (high === undefined ? low : `${low}-${high}${by === undefined ? '' : `/${by}`}`))
        .join(',');
    });
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant('*') },
    { weight: 1, arbitrary: step.map((by) => `*/${by}`) },
    { weight: 3, arbitrary: items },
  );
}

interface Case {
  cron: string;
  zone: string;
  from: Date;
}

const cases = fc.record({
  // A step on the days would count as restricted in one library and not in the other.
  cron: fc
    .tuple(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
    .map(([minute, hour, day, month, weekday]) =>
      [minute, hour, day.replace(/^\*\/\d+$/, '*'), month, weekday.replace(/^\*\/\d+$/, '*')].join(' '),
    ),
  zone: fc.constantFrom(...zones),
  from: fc
    .integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2036, 0, 1) })
    .map((ms) => new Date(Math.floor(ms / 1000) * 1000)),
});

const dayMs = 86_400_000;
const formats = new Map(
  zones.map((zone) => [zone, new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' })]),
);
const offset = (zone: string, at: number): string =>
  formats
    .get(zone)
    ?.formatToParts(at)
    .find(({ type }) => type === 'timeZoneName')?.value ?? '';

/** Whether the clocks of a zone stand still from a day before the first time to a day after the last. */
function quiet(zone: string, times: readonly Date[]): boolean {
  const first = (times[0]?.getTime() ?? 0) - dayMs;
  const last = (times.at(-1)?.getTime() ?? 0) + dayMs;
  if (last - first > 30 * dayMs) return times.every((time) => quiet(zone, [time]));
  const offsets = new Set<string>();
  for (let at = first; at <= last; at += dayMs / 4) offsets.add(offset(zone, at));
  return offsets.size === 1;
}

test('next_times agrees with croner and cron-parser', async ({ db }) => {
  const sample: Case[] = fc.sample(cases, { numRuns: rounds, seed: 20261128 });
  const { rows } = await db.query<{ times: Date[] | null }>(
    `select array(select absurd.next_times(one.cron, one.zone, one.start, $4)) as times
       from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality as one (cron, zone, start, n)
      order by one.n`,
    [
      sample.map(({ cron }) => cron),
      sample.map(({ zone }) => zone),
      sample.map(({ from }) => from.toISOString()),
      compared,
    ],
  );

  let counted = 0;
  const wrong: object[] = [];
  sample.forEach(({ cron, zone, from }, i) => {
    const ours = rows[i]?.times ?? [];
    if (!quiet(zone, [from, ...ours])) return;
    const croner = new Cron(cron, { timezone: zone }).nextRuns(compared, from);
    const parser = CronExpressionParser.parse(cron, { tz: zone, currentDate: from });
    const parsed = Array.from({ length: compared }, () => parser.next().toDate());
    counted += 1;
    const text = (times: readonly Date[]): string => times.map((time) => time.toISOString()).join(' ');
    if (text(ours) !== text(croner) || text(ours) !== text(parsed)) {
      wrong.push({ cron, zone, from, ours: text(ours), croner: text(croner), parsed: text(parsed) });
    }
  });

  expect(wrong).toEqual([]);
  expect(counted).toBeGreaterThan(rounds / 2);
});
