import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Io } from '../../src/lib/cli/io.js';
import { readJsonFlags } from '../../src/lib/task/json-params.js';

const read = (
  base: string | undefined,
  assignments: string[] = [],
  stdin = '',
  mustBeObject = false,
): Promise<string> => {
  const io = { stdin: Readable.from([stdin]), inTty: false } as unknown as Io;
  return readJsonFlags(io, { base, assignments, baseFlag: '--params', assignmentFlag: '-P', mustBeObject });
};

describe('JSON from the command line', () => {
  test.each([
    [[], '{}'],
    [['a=1', 'e='], '{"a":"1","e":""}'],
    [['u=http://x?a=b'], '{"u":"http://x?a=b"}'],
    [['n:=12345678901234567890.10'], '{"n":12345678901234567890.10}'],
    [['c.d=x', 'c.e:=[1,{"x":"}"}]'], '{"c":{"d":"x","e":[1,{"x":"}"}]}}'],
    [['a\\.b=1'], '{"a.b":"1"}'],
    [['a=1', 'a=2'], '{"a":"2"}'],
    [['__proto__.x=1'], '{"__proto__":{"x":"1"}}'],
  ])('%j', async (assignments, json) => {
    expect(await read(undefined, assignments)).toBe(json);
  });

  test('a base keeps its digits where assignments change other parts of it', async () => {
    const base = '{"a": {"b": 1.00, "s": "x,\\"}{"}, "list": [{"a": 1}], "big": 1e400}';
    expect(await read(base, ['a.c:=true', 'list=z'])).toBe(
      '{"a":{"b":1.00,"s":"x,\\"}{","c":true},"list":"z","big":1e400}',
    );
  });

  test('a base from standard input and from a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'absurd-params-'));
    try {
      writeFileSync(join(folder, 'params.json'), '\ufeff{"from": "file"}\n');
      expect(await read('-', ['x=1'], '{"big": 1e400}')).toBe('{"big":1e400,"x":"1"}');
      expect(await read(`@${join(folder, 'params.json')}`)).toBe('{"from": "file"}');
      await expect(read(`@${join(folder, 'none.json')}`)).rejects.toMatchObject({ exitCode: 2 });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('any JSON may be a base, unless it must be an object', async () => {
    expect(await read('[1]')).toBe('[1]');
    await expect(read('[1]', ['a=1'])).rejects.toMatchObject({ exitCode: 2 });
    await expect(read('"x"', [], '', true)).rejects.toMatchObject({ exitCode: 2 });
  });

  test.each([
    ['{', []],
    ['', []],
    [undefined, ['a']],
    [undefined, ['=1']],
    [undefined, ['a:={']],
    [undefined, ['a..b=1']],
  ])('%j with %j is a usage error', async (base, assignments: string[]) => {
    await expect(read(base, assignments)).rejects.toMatchObject({ exitCode: 2, code: 'usage' });
  });

  test('JSON that is none is quoted in full', async () => {
    await expect(read(undefined, ['a:=foo'])).rejects.toThrow(
      /^The value of -P a is not valid JSON: Unexpected token '?o'?(, "foo" is not valid JSON)?$/,
    );
  });

  test('a path through something that is not an object is an error that names it', async () => {
    await expect(read(undefined, ['a=1', 'a.b=2'])).rejects.toThrow(/"a", which is "1" already/);
  });
});
