/** Maps tables to queues. */
import type { Facts } from './check.js';

/** The name of a partition ends in the week, or in `_d` for the default partition. */
const week = /_(\d{3}|d)$/;

/** The queue that a table, or a partition of one (`_048`, `_d`), belongs to, for a finding. */
export function queueOf({ known }: Pick<Facts, 'known'>, table: string): string | null {
  const of = (name: string): string | undefined => known.find(({ queue_name: queue }) => queue === name)?.queue_name;
  const name = table.slice(2);
  return of(name) ?? of(name.replace(week, '')) ?? null;
}

/** A former partition: it has the name of one, and the tables of a queue of that name are incomplete. */
export interface FormerPartition {
  table: string;
  queue: string;
  tag: string;
}

/**
 * Detached tables. They are not a queue: only the four partitioned tables have partitions, and a queue has events too.
 */
export function formerPartitions({ known, survey }: Pick<Facts, 'known' | 'survey'>): FormerPartition[] {
  const tables = new Map(survey.map((table) => [table.table_name, table]));
  const registered = new Set(known.map(({ queue_name: queue }) => queue));
  const former = survey.flatMap(({ table_name: table, partitioned }): FormerPartition[] => {
    const name = table.slice(2);
    const tag = week.exec(name)?.[1];
    if (!/^[trcw]_/.test(table) || tag === undefined || partitioned || registered.has(name)) return [];
    if (tables.has(`e_${name}`)) return [];
    const queue = name.replace(week, '');
    return tables.get(`${table.charAt(0)}_${queue}`)?.partitioned === true ? [{ table, queue, tag }] : [];
  });
  // A week is identified by its table of tasks.
  const place = ({ table }: FormerPartition): number => 'trcw'.indexOf(table.charAt(0));
  return former.sort((left, right) => place(left) - place(right));
}

/** Names of queues whose tables exist and that are not registered. */
export function unregistered({ known, survey }: Pick<Facts, 'known' | 'survey'>): string[] {
  const tables = new Set(survey.map(({ table_name: table }) => table));
  const registered = new Set(known.map(({ queue_name: queue }) => queue));
  return (
    survey
      .map(({ table_name: table }) => table)
      .filter((table) => table.startsWith('t_'))
      .map((table) => table.slice(2))
      .filter((name) => !registered.has(name) && tables.has(`r_${name}`))
      // Partitions of a queue whose own tables are gone look like this, too.
      .filter((name) => tables.has(`e_${name}`) || !week.test(name))
  );
}

/** Groups by key, in the order of the first of each. */
export function grouped<T, K>(list: readonly T[], key: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of list) {
    const same = groups.get(key(one));
    if (same) same.push(one);
    else groups.set(key(one), [one]);
  }
  return groups;
}
