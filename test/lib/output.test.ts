import { describe } from 'vitest';
import { Readable } from 'node:stream';
import { losslessTypes } from '../../src/lib/connection/types.js';
import type { Io } from '../../src/lib/cli/io.js';
import { type Mode, type Rendering, show } from '../../src/lib/cli/output.js';
import { RawJson } from '../../src/sql/values.js';
import pg from 'pg';
import { expect, test } from '../support/database.js';

async function draw(mode: Mode, rendering: Rendering, result: unknown, width?: number) {
  const written = { out: '', err: '' };
  const tty = width !== undefined;
  const io: Io = {
    out: (text) => void (written.out += text),
    err: (text) => void (written.err += text),
    stdin: Readable.from([]),
    env: {},
    cwd: '/',
    outTty: tty,
    errTty: tty,
    inTty: tty,
    width: width ?? 80,
    colour: false,
    now: () => new Date('2026-01-01T12:00:00Z'),
    onInterrupt: () => () => undefined,
  };
  await show(io, mode, rendering, result);
  return written;
}

const rows = [
  {
    id: '019a32d3-8425-7ae2-a5af-2f17a6707666',
    name: 'a\tb',
    state: 'failed',
    at: '2026-01-01T10:00:00.000000Z',
    n: 5,
    params: new RawJson('{"big": 12345678901234567890}'),
  },
  { id: '019a32d3-8425-7ae2-a5af-2f17a6707667', name: 'c,"d"', state: 'odd', at: null, n: 10, params: null },
];
const list: Rendering = {
  table: {
    columns: [
      { key: 'id', type: 'id' },
      { key: 'name' },
      { key: 'state', type: 'state', drop: 2 },
      { key: 'at', type: 'time', drop: 3 },
      { key: 'n', type: 'number', drop: 1 },
      { key: 'params', type: 'json' },
    ],
    rows,
    truncated: 'Showing 2 tasks; --limit 4 shows more',
  },
  note: 'Two rows',
};

describe('a list', () => {
  test('in a pipe: tab-separated, escaped, no header, times in full', async () => {
    expect(await draw('table', list, rows)).toEqual({
      out:
        '019a32d3-8425-7ae2-a5af-2f17a6707666\ta\\tb\tfailed\t2026-01-01T10:00:00.000000Z\t5\t{"big": 12345678901234567890}\n' +
        '019a32d3-8425-7ae2-a5af-2f17a6707667\tc,"d"\todd\t\t10\t\n',
      err: 'Two rows\nShowing 2 tasks; --limit 4 shows more\n',
    });
  });

  test('on a terminal: aligned, harmless, times as spans', async () => {
    expect((await draw('table', list, rows, 130)).out).toBe(
      [
        'ID                                    NAME   STATE   AT       N  PARAMS',
        '019a32d3-8425-7ae2-a5af-2f17a6707666  a\\tb   failed  2h ago   5  {"big": 12345678901234567890}',
        '019a32d3-8425-7ae2-a5af-2f17a6707667  c,"d"  odd     -       10  -',
        '',
      ].join('\n'),
    );
  });

  test('on a narrow one columns are dropped and texts cut, ids never', async () => {
    expect((await draw('table', list, rows, 60)).out).toBe(
      [
        'ID                                    NAME   PARAMS',
        '019a32d3-8425-7ae2-a5af-2f17a6707666  a\\tb   {"big": 123456…',
        '019a32d3-8425-7ae2-a5af-2f17a6707667  c,"d"  -',
        '',
      ].join('\n'),
    );
  });

  test('JSON keeps every digit; the note about what was cut stays on standard error', async () => {
    const written = await draw('json', list, rows);

    expect(JSON.parse(written.out)).toMatchObject([{ name: 'a\tb', n: 5 }, { at: null }]);
    expect(written.out).toContain('"params": {"big": 12345678901234567890}');
    expect(written.err).toBe('Showing 2 tasks; --limit 4 shows more\n');
  });

  test('ndjson, csv and name', async () => {
    const ndjson = (await draw('ndjson', list, rows)).out.trimEnd().split('\n');
    expect(ndjson.map((line) => (JSON.parse(line) as { n: number }).n)).toEqual([5, 10]);
    expect((await draw('csv', list, rows)).out).toBe(
      'id,name,state,at,n,params\n' +
        '019a32d3-8425-7ae2-a5af-2f17a6707666,a\tb,failed,2026-01-01T10:00:00.000000Z,5,"{""big"": 12345678901234567890}"\n' +
        '019a32d3-8425-7ae2-a5af-2f17a6707667,"c,""d""",odd,,10,\n',
    );
    expect((await draw('name', list, rows)).out).toBe(rows.map((row) => `${row.id}\n`).join(''));
  });

  test('an empty one is [], with a note', async () => {
    const none: Rendering = { table: { columns: [{ key: 'id' }], rows: [], empty: 'Nothing here' } };
    expect(await draw('json', none, [])).toEqual({ out: '[]\n', err: 'Nothing here\n' });
    expect(await draw('ndjson', none, [])).toEqual({ out: '', err: 'Nothing here\n' });
    expect(await draw('table', none, [], 80)).toEqual({ out: '', err: 'Nothing here\n' });
  });
});

describe('one result', () => {
  const record: Rendering = { record: { 'Task ID': 'x', Attempt: 2, Left: undefined, None: null } };

  test('is labelled lines in a pipe and on a terminal', async () => {
    expect((await draw('table', record, {})).out).toBe('Task ID: x\nAttempt: 2\nNone:\n');
    expect((await draw('table', record, {}, 80)).out).toBe('Task ID: x\nAttempt: 2\nNone:\n');
    expect((await draw('name', record, {})).out).toBe('x\n');
  });

  test('may have sections, one empty line between two', async () => {
    const long: Rendering = {
      ...record,
      sections: [{ title: 'Params', json: new RawJson('{"a":1.0}') }, { text: 'plain\u001b[2J\ntext' }],
    };
    expect((await draw('table', long, {})).out).toContain('None:\n\nParams\n{"a":1.0}\n\nplain');
    expect((await draw('table', long, {}, 80)).out).toContain('Params\n{\n  "a": 1.0\n}\n\nplain\\x1b[2J\ntext\n');
  });
});

test('the server’s values arrive without losing a digit', async ({ fileDb }) => {
  const client = new pg.Client({ connectionString: fileDb.url, types: losslessTypes });
  await client.connect();
  try {
    const { rows: found } = await client.query(
      `select 9007199254740993::bigint as beyond, 7::bigint as small, 1.10::numeric as exact, 'NaN'::numeric as nan,
              '{"n": 1e400}'::json as json, '{"n": 12345678901234567890.10}'::jsonb as jsonb,
              timestamptz '2026-01-02 03:04:05.123456+02' as at, timestamptz 'infinity' as never`,
    );
    expect(found).toEqual([
      {
        beyond: 9007199254740993n,
        small: 7,
        exact: new RawJson('1.10'),
        nan: 'NaN',
        json: new RawJson('{"n": 1e400}'),
        jsonb: new RawJson('{"n": 12345678901234567890.10}'),
        at: '2026-01-02T01:04:05.123456Z',
        never: 'infinity',
      },
    ]);
  } finally {
    await client.end();
  }
});
