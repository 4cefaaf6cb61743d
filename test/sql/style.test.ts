import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { script } from './older.js';

const lines = script.split('\n');

test('no line is longer than 100 columns, none has a tab or ends in a blank', () => {
  expect(lines.filter((line) => line.length > 100 || /\t|\s$/.test(line))).toEqual([]);
});

test('it holds nothing that a multi-statement query cannot do', () => {
  const code = lines.filter((line) => !line.trim().startsWith('--'));
  expect(
    code.filter((line) =>
      /^\\|^\s*(begin|commit|rollback|vacuum)\s*;|^\s*(re)?set\s+\w+\s*(=|to)\s.*;|concurrently\s*;/i.test(line),
    ),
  ).toEqual([]);
});

const functions = script
  // Not those of the templates.
  .split(/^create or replace function (?=absurd\.\w)/m)
  .slice(1)
  .map((text) => {
    const [head = '', body = ''] = text.split(/\bas \$\w*\$\n/);
    return { name: head.split(' ')[0] ?? '', head, body };
  });

test('the body of every function begins with a comment that says what it does', () => {
  expect(functions.length).toBeGreaterThan(150);
  expect(functions.flatMap(({ name, body }) => (/^-- [A-Z]/.test(body) ? [] : [name]))).toEqual([]);
});

test('every function says how volatile it is', () => {
  const attributes = /\blanguage (sql|plpgsql) (volatile|stable|immutable)\b/;
  expect(functions.flatMap(({ name, head }) => (attributes.test(head) ? [] : [name]))).toEqual([]);
});

test('every error has an SQLSTATE that the head of the script explains', () => {
  const explained = lines.flatMap((line) => {
    const found = /^-- {3}([A-Z0-9]{5}) {2}(\w+)/.exec(line);
    return found ? [found[1], found[2]] : [];
  });
  const raises = lines.flatMap((line, n) => (/^\s*raise exception/.test(line) ? [n] : []));
  expect(raises.length).toBeGreaterThan(20);
  const wrong = raises.filter((n) => {
    const statement =
      lines
        .slice(n, n + 14)
        .join('\n')
        .split(/;$/m)[0] ?? '';
    const code = /errcode = (?:'(\w+)'|v_sqlstate|v_code)/.exec(statement);
    return code === null || (code[1] !== undefined && !explained.includes(code[1]));
  });
  expect(wrong.map((n) => `${n + 1}: ${lines[n]}`)).toEqual([]);
});

test('the table of contents names the chapters as they come', () => {
  const contents = lines
    .flatMap((line) => /^--\s+(\d{1,2})\s{2}(\S.*?)\s{2,}\S/.exec(line) ?? [])
    .filter((_, i) => i % 3 !== 0);
  const banners = lines.flatMap((line) => {
    const found = /^-- (\d+)\. ([A-Z -]+)$/.exec(line);
    return found ? [`${found[1]} ${found[2]?.toLowerCase()}`] : [];
  });
  const listed = contents.flatMap((part, i) => (i % 2 === 0 ? [`${part} ${contents[i + 1]?.toLowerCase()}`] : []));
  expect(banners.length).toBe(20);
  expect(listed).toEqual(banners);
});

test('it is ASCII, so that a database of any encoding takes it', () => {
  expect(lines.filter((line) => /[^\x00-\x7f]/.test(line))).toEqual([]);
});

// A plain literal with a backslash says one thing or another by the setting standard_conforming_strings.
test('a literal with a backslash says that it has escapes', () => {
  const plain = lines.filter((line) => /'[^']*\\[^']*'/.test(line.replace(/\bE'[^']*'/g, '').replace(/--.*$/, '')));
  expect(plain).toEqual([]);
  const folder = fileURLToPath(new URL('../../src/sql/', import.meta.url));
  const ours = readdirSync(folder).filter((file) =>
    /'[^'\n]*\\\\[^'\n]*'/.test(readFileSync(`${folder}${file}`, 'utf8')),
  );
  expect(ours).toEqual([]);
});
