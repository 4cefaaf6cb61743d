import { readFileSync } from 'node:fs';
import type { Runs } from './chaos/history.js';

const script = readFileSync(new URL('../../sql/absurd.sql', import.meta.url), 'utf8');

/** A change of the engine's text: `from` must be there, exactly once, in the function of that name. */
export interface Mutation {
  function: string;
  from: string;
  to: string;
}

/** The statement of sql/absurd.sql that makes a function. */
function statementOf(name: string): string {
  const start = script.indexOf(`create or replace function absurd.${name} (`);
  const [end = ''] = /\n\$\w*\$;\n/.exec(script.slice(Math.max(start, 0))) ?? [];
  if (start < 0 || end === '') throw new Error(`sql/absurd.sql has no function ${name}`);
  return script.slice(start, script.indexOf(end, start) + end.length);
}

/** Without regard to how the text is cut into lines. */
function pattern(text: string): RegExp {
  const words = text.trim().split(/\s+/);
  return new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('\\s+'), 'g');
}

/**
 * Installs a broken variant of the engine, its functions of queues included.
 * @throws where the text to change is not what it was: then the mutation has to follow the engine
 */
export async function installMutant(db: Runs, mutations: readonly Mutation[]): Promise<void> {
  const changed = new Map<string, string>();
  for (const { function: name, from, to } of mutations) {
    const text = changed.get(name) ?? statementOf(name);
    const times = [...text.matchAll(pattern(from))].length;
    if (times !== 1)
      throw new Error(`"${from}" is ${times} times in absurd.${name}: a mutation has to follow the engine`);
    changed.set(
      name,
      text.replace(pattern(from), () => to),
    );
  }
  for (const statement of changed.values()) await db.query(statement);
  await db.query('select absurd._make_queue_functions(q.queue_name, q.storage_mode) from absurd.queues q');
}
