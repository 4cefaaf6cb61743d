import { describe, expect, test } from 'vitest';
import { prettyJson, toJson } from '../../src/lib/cli/format/json.js';
import { splitObject } from '../../src/lib/task/json-params.js';
import { copyEscape, csvEscape, cut, displayWidth, harmless } from '../../src/lib/cli/format/text.js';
import { ago, duration, toRfc3339 } from '../../src/lib/cli/format/time.js';
import { nearest } from '../../src/lib/cli/nearest.js';
import { RawJson } from '../../src/sql/values.js';

describe('JSON', () => {
  test('keeps the digits and the order of what the server wrote', () => {
    const raw = new RawJson('{"n": 12345678901234567890.10, "a": [1e400]}');
    expect(toJson({ raw, big: 2n ** 63n, gone: undefined, none: null })).toBe(
      '{"raw":{"n": 12345678901234567890.10, "a": [1e400]},"big":9223372036854775808,"none":null}',
    );
  });

  test('is laid out without touching a token', () => {
    expect(prettyJson('{"b":[1.00,{}],"a":"x,{\\"}"}')).toBe(
      '{\n  "b": [\n    1.00,\n    {}\n  ],\n  "a": "x,{\\"}"\n}',
    );
  });

  test('of many megabytes is laid out and taken apart like any other', () => {
    const text = `{"a":"${'\\n\\"'.repeat(8_000_000)}","b":"\\\\"}`;
    expect(splitObject(text).map(([key, value]) => [key, value.length])).toEqual([
      ['a', 32_000_002],
      ['b', 4],
    ]);
    expect(prettyJson(text)).toHaveLength(text.length + 9);
  });

  test('indents arrays and objects, empty ones on one line', () => {
    expect(toJson([{ a: [], b: {} }], 2)).toBe('[\n  {\n    "a": [],\n    "b": {}\n  }\n]');
  });
});

describe('text', () => {
  test('control characters become visible', () => {
    expect(harmless('a\u001b[31mb\u0007\u009b\u202ec\r\n')).toBe('a\\x1b[31mb\\x07\\x9b\\u202ec\\r\\n');
    expect(harmless('a\u061c\u00ad\ufeff\u{e0041}👩\u200d🌾')).toBe('a\\u061c\\xad\\ufeff\\u{e0041}👩\u200d🌾');
    expect(harmless('a\n\tb\u001b', { lines: true })).toBe('a\n\tb\\x1b');
  });

  test('a pipe gets the escapes of COPY', () => {
    expect(copyEscape('a\tb\nc\\d\r')).toBe('a\\tb\\nc\\\\d\\r');
  });

  test('CSV quotes what needs it', () => {
    expect(['plain', 'a,b', 'a"b', 'a\nb', ' a'].map(csvEscape)).toEqual([
      'plain',
      '"a,b"',
      '"a""b"',
      '"a\nb"',
      '" a"',
    ]);
  });

  test('width counts what a terminal shows', () => {
    expect(['abc', '日本', 'e\u0301', '😀'].map(displayWidth)).toEqual([3, 4, 1, 2]);
    expect(cut('日本語', 5)).toBe('日本…');
    expect(cut('abc', 3)).toBe('abc');
  });
});

describe('time', () => {
  test.each([
    ['2026-01-02 03:04:05.6+05:30', '2026-01-01T21:34:05.600000Z'],
    ['2026-01-02 03:04:05.123456+00', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-02 03:04:05-00:30:15', '2026-01-02T03:34:20.000000Z'],
    ['infinity', 'infinity'],
    ['0044-03-15 12:00:00+00 BC', '0044-03-15 12:00:00+00 BC'],
  ])('%s is %s', (text, expected) => {
    expect(toRfc3339(text)).toBe(expected);
  });

  test('spans are said in two units at most', () => {
    expect([0, 0.44, 59, 61, 3600, 93_784, 200_000].map(duration)).toEqual([
      '0s',
      '0.4s',
      '59s',
      '1m 1s',
      '1h',
      '1d 2h',
      '2d 7h',
    ]);
  });

  test('the past and the future are told apart', () => {
    const now = new Date('2026-01-01T12:00:00Z');
    const times = ['2026-01-01T10:00:00Z', '2026-01-01T12:05:00Z', '2026-01-01T12:00:00Z', 'infinity'];
    expect(times.map((time) => ago(time, now))).toEqual(['2h ago', 'in 5m', 'now', 'never']);
  });
});

describe('the nearest name', () => {
  test.each([
    ['list-quues', 'list-queues'],
    ['lsit-queues', 'list-queues'],
    ['spawn', 'spawn-task'],
    ['zzzzzz', undefined],
    ['', undefined],
  ])('%s -> %s', (typed, suggestion) => {
    expect(nearest(typed, ['spawn-task', 'list-queues', 'drop-queue'])).toBe(suggestion);
  });
});
