/** The parts of sql/absurd.sql that an upgrade runs, or looks at, by themselves. */
import type { ScriptParts } from '../../../sql/drift.js';
import type { TablePart } from '../../../sql/migrate.js';
import { readSchemaScript } from '../schema-file.js';

const blocks = /^do \$install\$\n[\s\S]*?^\$install\$;$/gm;

function must<T>(part: T | undefined | null, what: string): T {
  if (part === undefined || part === null) throw new Error(`sql/absurd.sql has no ${what}`);
  return part;
}

/** The block that makes and completes the registry; the last one, which completes the queues. */
function tableBlocks(script: string): { registry: string; queues: string } {
  const all = script.match(blocks) ?? [];
  return {
    registry: must(
      all.find((block) => block.includes('create table absurd.queues')),
      'registry',
    ),
    queues: must(
      all.find((block) => block.includes('absurd.ensure_queue_tables(')),
      'upgrade of queues',
    ),
  };
}

/** The revision that the shipped script brings, as its first chapter says. */
export function shippedRevision(): number {
  return Number(/v_script_revision constant integer := (\d+)/.exec(readSchemaScript())?.[1] ?? Number.NaN);
}

/** Everything but what touches tables, and the registry for a table of another name. */
export function partsBeside(): ScriptParts {
  const script = readSchemaScript();
  const { registry, queues } = tableBlocks(script);
  return {
    functions: script.replace(registry, () => '').replace(queues, () => ''),
    registry: (table) => registry.replaceAll('absurd.queues', () => table),
  };
}

/** The first chapter up to the registry, which can run by itself. */
export function registryChapter(): string {
  const script = readSchemaScript();
  const { registry } = tableBlocks(script);
  return script.slice(0, script.indexOf(registry) + registry.length);
}

/** The columns and triggers that ours has on top of the contract's, from the list of a queue's parts. */
export function tableParts(): TablePart[] {
  const part = /\(\d+, '(column|trigger)', '(\w)', '(\w+)', \$ddl\$([\s\S]*?)\$ddl\$\)/g;
  const parts = [...readSchemaScript().matchAll(part)].map(([, kind, letter = '', name = '', statement = '']) => ({
    kind: kind === 'column' ? ('column' as const) : ('trigger' as const),
    letter,
    name,
    statement,
  }));
  return must(parts.some(({ name }) => name === 'cancel_due') ? parts : null, 'columns and triggers of queues');
}

/** The functions that those triggers call, and the ones that these call, in the script's order. */
export function triggerFunctions(): string {
  const script = readSchemaScript();
  const all = new Map<string, string>();
  for (const [source, name = ''] of script.matchAll(
    /^create or replace function absurd\.(\w+) \([\s\S]*?\n\$\$;\n/gm,
  )) {
    all.set(name, source);
  }
  const needed = new Set<string>();
  const need = (text: string): void => {
    for (const [, name = ''] of text.matchAll(/absurd\.(_\w+)\(/g)) {
      if (needed.has(name)) continue;
      needed.add(name);
      need(must(all.get(name), `function ${name}`));
    }
  };
  for (const { statement } of tableParts()) need(statement);
  return [...all].flatMap(([name, source]) => (needed.has(name) ? [source] : [])).join('\n');
}
