import { expect } from 'vitest';
import { engine, iso, noon, refuses } from './support.js';

engine('the clock is the wall clock, unless absurd.fake_now is set and not blank', async ({ db, value }) => {
  await db.query(`set absurd.fake_now = '${noon}'`);
  expect(iso(await value('select absurd.current_time()'))).toBe(noon);
  await db.query(`set absurd.fake_now = '  '`);
  expect(await value(`select abs(extract(epoch from absurd.current_time() - clock_timestamp())) < 5`)).toBe(true);
  await db.query(`set absurd.fake_now = 'tomorrow-ish'`);
  await refuses(db.query('select absurd.current_time()'), '22007');
});

engine('ids are of version 7, differ, and carry their time', async ({ value }) => {
  const distinct = await value('select count(distinct absurd.portable_uuidv7())::int from generate_series(1, 1000)');
  expect(distinct).toBe(1000);
  expect(
    await value(
      `select substr(absurd.portable_uuidv7()::text, 15, 1) || substr(absurd.portable_uuidv7()::text, 20, 1)`,
    ),
  ).toMatch(/^7[89ab]$/);
  const age = `select abs(extract(epoch from absurd.uuidv7_timestamp(absurd.portable_uuidv7()) - clock_timestamp())) < 5`;
  expect(await value(age)).toBe(true);
});

engine('uuidv7_timestamp knows only version 7', async ({ value }) => {
  expect(iso(await value(`select absurd.uuidv7_timestamp('018cc251-f400-7abc-8def-0123456789ab')`))).toBe(
    '2024-01-01T00:00:00.000Z',
  );
  expect(await value(`select absurd.uuidv7_timestamp('018cc251-f400-4abc-8def-0123456789ab')`)).toBe(null);
  expect(await value(`select absurd.uuidv7_timestamp(null)`)).toBe(null);
});

engine('uuidv7_floor is the lowest id of a millisecond, and refuses what does not fit', async ({ db, value }) => {
  expect(await value(`select absurd.uuidv7_floor('2024-01-01 00:00:00Z')`)).toBe(
    '018cc251-f400-7000-8000-000000000000',
  );
  expect(await value(`select absurd.uuidv7_floor('1970-01-01 00:00:00Z')`)).toBe(
    '00000000-0000-7000-8000-000000000000',
  );
  expect(await value(`select absurd.uuidv7_floor('2024-01-01 00:00:00.0019Z')`)).toBe(
    '018cc251-f401-7000-8000-000000000000',
  );
  for (const outside of ['1969-12-31 23:59:59Z', '12000-01-01Z']) {
    await refuses(db.query('select absurd.uuidv7_floor($1)', [outside]), '22\\w+');
  }
});

engine('weeks begin on Monday, UTC, whatever the session says', async ({ db, value }) => {
  await db.query(`set timezone = 'Pacific/Auckland'`);
  const week = (at: string): Promise<unknown> => value('select absurd.week_bucket_utc($1)', [at]).then(iso);
  expect(await week('2024-01-07T23:59:59Z')).toBe('2024-01-01T00:00:00.000Z');
  expect(await week('2024-01-08T00:00:00Z')).toBe('2024-01-08T00:00:00.000Z');
  expect(await week('2023-01-01T12:00:00Z')).toBe('2022-12-26T00:00:00.000Z');
  await db.query('reset timezone');
});

engine('a week has the tag of its ISO year and number', async ({ value }) => {
  const tag = (at: string): Promise<unknown> => value('select absurd.partition_week_tag($1)', [at]);
  expect(await tag('2024-01-01T00:00:00Z')).toBe('401');
  expect(await tag('2021-01-01T00:00:00Z')).toBe('053');
  expect(await tag('2026-12-31T23:00:00Z')).toBe('653');
  expect(await tag('2018-12-31T00:00:00Z')).toBe('901');
});
