/** The parts of sql/absurd.sql that an upgrade runs, or looks at, by themselves. */
import type { ScriptParts } from '../../sql/beside.js';
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

/** The functions behind the triggers of cancel_due, which need no others. */
export function triggerFunctions(): string {
  const script = readSchemaScript();
  return ['_read_seconds', '_cancel_due', '_set_cancel_due', '_repair_cancel_due']
    .map((name) => {
      const start = script.indexOf(`create or replace function absurd.${name} (`);
      const end = script.indexOf('\n$$;\n', start);
      return must(start < 0 || end < 0 ? null : script.slice(start, end + 5), `function ${name}`);
    })
    .join('\n');
}
