import { expect, test } from 'vitest';
import { parseDuration, parseWhen } from '../../src/lib/cli/time.js';

test.each([
  ['90', 90],
  ['90s', 90],
  ['1h30m', 5400],
  ['2 days', 172_800],
  ['1.5 hours', 5400],
  ['250ms', 0.25],
  ['10 min', 600],
  ['1w', 604_800],
])('%s is a span of %d s', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each(['', 'h', '-5m', '2 moons', '1h-5m', 'NaN'])('"%s" is no span', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test.each([
  ['2h', null, 7200],
  ['30m ago', null, 1800],
  ['now', null, 0],
  ['2026-01-02', '2026-01-02T00:00:00Z', null],
  ['2026-01-02 03:04', '2026-01-02T03:04:00Z', null],
  ['2026-01-02T03:04:05.123456+0200', '2026-01-02T03:04:05.123456+02:00', null],
  ['2026-01-02t03:04:05z', '2026-01-02T03:04:05Z', null],
])('%s is a time', (text, at, secondsAgo) => {
  expect(parseWhen(text, '--since')).toEqual({ at, secondsAgo });
});

test.each(['2026-02-30', '2026-13-01', 'yesterweek', '2026', '2026-01-02T25:00'])('"%s" is no time', (text) => {
  expect(() => parseWhen(text, '--since')).toThrow(expect.objectContaining({ exitCode: 2 }));
});
