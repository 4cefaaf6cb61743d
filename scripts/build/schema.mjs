// The parts of sql/absurd.sql that an upgrade runs, or looks at, by themselves, as dist/schema.json. Comments in the file mark
// them: "-- [part NAME]" to "-- [end NAME]". Marks of one name make one part, in the order of the file.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const parts = ['registry chapter', 'registry', 'trigger functions', 'queue parts', 'queues'];
const mark = /^ *-- \[(part|end) (.+)\]\n/gm;

const fail = (message) => {
  throw new Error(`sql/absurd.sql: ${message}`);
};

/** The text of each part by its name, without marks. */
function cut(script) {
  const texts = new Map();
  const open = new Map();
  for (const { 0: line, 1: kind, 2: name, index } of script.matchAll(mark)) {
    if (!parts.includes(name)) fail(`"${name}" is not a part`);
    if (kind === 'part') {
      if (open.has(name)) fail(`part "${name}" begins twice`);
      open.set(name, index + line.length);
    } else {
      if (!open.has(name)) fail(`part "${name}" ends before it begins`);
      const text = script.slice(open.get(name), index).replace(mark, '');
      texts.set(name, [...(texts.get(name) ?? []), text]);
      open.delete(name);
    }
  }
  for (const name of open.keys()) fail(`part "${name}" does not end`);
  for (const name of parts) if (!texts.has(name)) fail(`part "${name}" is not marked`);
  return (name) => texts.get(name).join('\n');
}

/** The columns and triggers among the parts of a queue: what the tables of an older queue lack. */
function tableParts(text) {
  const part = /^ *\(\d+, '(\w+)', '(\w)', (?:'(\w+)'|null), (?:'([^']*)'|\$ddl\$([\s\S]*?)\$ddl\$)\)/gm;
  const all = [...text.matchAll(part)].map(([, kind, letter, name, short, long = short]) => ({
    kind,
    letter,
    name,
    // As in _queue_parts.
    statement: kind === 'column' ? `alter table absurd.%1$I add column ${name} ${long}` : long,
  }));
  if (all.length !== text.match(/^ *\(\d+, /gm)?.length) fail('part "queue parts" holds an entry of another form');
  return all.filter(({ kind }) => kind === 'column' || kind === 'trigger');
}

/** The triggers of `tables` need functions, which may need others: `functions` must define them all. */
function requireFunctions(tables, functions) {
  const called = tables.map(({ statement }) => statement).join() + functions;
  for (const [, name] of called.matchAll(/absurd\.(_\w+)\(/g)) {
    if (!functions.includes(`create or replace function absurd.${name} (`)) fail(`no part has function ${name}`);
  }
}

/** The one value that the script has in several places. */
function agreed(what, script, ...patterns) {
  const values = patterns.map((pattern) => pattern.exec(script)?.[1] ?? fail(`the ${what} is missing`));
  if (new Set(values).size > 1) fail(`the ${what} is ${values.join(' and ')}`);
  return values[0];
}

/** @param {string} script the text of sql/absurd.sql */
export function schemaParts(script) {
  const part = cut(script);
  const tables = tableParts(part('queue parts'));
  requireFunctions(tables, part('trigger functions'));
  return {
    revision: Number(
      agreed(
        'revision',
        script,
        /v_script_revision constant integer := (\d+);/,
        /function absurd\.get_schema_revision \(\)[^$]*\$\$[^$]*?select (\d+)\s/,
      ),
    ),
    registryChapter: part('registry chapter'),
    registry: part('registry'),
    queues: part('queues'),
    triggerFunctions: part('trigger functions'),
    tableParts: tables,
  };
}

export function buildSchema() {
  const file = 'dist/schema.json';
  const built = JSON.stringify(schemaParts(readFileSync('sql/absurd.sql', 'utf8')));
  // Several test runs may build at once: a file that is right stays as it is.
  if (existsSync(file) && readFileSync(file, 'utf8') === built) return;
  mkdirSync('dist', { recursive: true });
  writeFileSync(file, built);
}
