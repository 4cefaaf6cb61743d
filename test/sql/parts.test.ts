import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { script } from './older.js';

interface Parts {
  revision: number;
  registryChapter: string;
  registry: string;
  queues: string;
  triggerFunctions: string;
  tableParts: { kind: string; letter: string; name: string; statement: string }[];
}

const { schemaParts } = (await import(
  pathToFileURL(new URL('../../scripts/build/schema.mjs', import.meta.url).pathname).href
)) as { schemaParts(text: string): Parts };

test('the build cuts the script at its marks', () => {
  const parts = schemaParts(script);

  expect(parts.registry).toMatch(/^do \$install\$\n[\s\S]*create table absurd\.queues[\s\S]*\$install\$;\n$/);
  expect(parts.registryChapter.endsWith(parts.registry)).toBe(true);
  expect(parts.queues).toContain('absurd.ensure_queue_tables(');
  expect(parts.tableParts.map(({ letter, name }) => `${letter}.${name}`)).toEqual([
    't.cancel_due',
    't.set_cancel_due',
    't.repair_cancel_due',
    't.parent_task_id',
    't.parent_queue',
    't.awaited',
    't.note_task_end',
    'c.started_at',
  ]);
  expect(script).toContain(parts.queues);
});

test.for([
  ['a part without a mark', '-- [part registry]\n', '', /ends before it begins/],
  ['a part without an end', '-- [end queues]\n', '', /"queues" does not end/],
  ['a missing part', /-- \[(part|end) queues\]\n/g, '', /"queues" is not marked/],
  ['a mark of no part', '-- [part queues]\n', '-- [part quues]\n', /"quues" is not a part/],
  [
    'a trigger without its function',
    'execute function absurd._note_task_end()',
    'execute function absurd._other()',
    /function _other/,
  ],
  [
    'two revisions',
    'v_script_revision constant integer := ',
    'v_script_revision constant integer := 9',
    /the revision is/,
  ],
  [
    'an entry of another form',
    "(16, 'column', 't', 'parent_task_id', ",
    "(16, 'column', upper('t'), 'x', ",
    /another form/,
  ],
] as const)('the build fails for %s', ([, from, to, message]) => {
  const changed = script.replace(from, () => to);

  expect(changed).not.toBe(script);
  expect(() => schemaParts(changed)).toThrow(message);
});
