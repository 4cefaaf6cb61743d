/** The one place that quotes identifiers. A queue's name is used raw inside them: any character, at most 57 bytes. */

export function quoteIdent(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

const table = (prefix: string, queue: string): string => `absurd.${quoteIdent(`${prefix}_${queue}`)}`;

export const tasks = (queue: string): string => table('t', queue);
export const runs = (queue: string): string => table('r', queue);
export const checkpoints = (queue: string): string => table('c', queue);
export const events = (queue: string): string => table('e', queue);
export const waits = (queue: string): string => table('w', queue);
/** Idempotency keys: partitioned queues only. */
export const keys = (queue: string): string => table('i', queue);
