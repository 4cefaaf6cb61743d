import type { Invariant } from '../checker/invariants.js';

/** Codes that the server logs when all is well: see `isExplained`; ended sessions; a server that stops, or starts. */
const expected = new Set([
  ...['AB001', 'AB002', '55000', 'P0002', '40001', '55P03', '53300'],
  ...['57P01', '57P02', '57P03', '57014', '08006', '08P01', '3D000'],
]);

/** What the server's log says of a database that no fault explains. */
export function errorsOf(log: string, database: string): { invariant: Invariant; words: string }[] {
  const lines = log.split('\n');
  const found = new Map<string, { invariant: Invariant; words: string }>();
  lines.forEach((line, at) => {
    const [, code = '', where = '', level = '', message = ''] =
      /^(\w{5})\|([^|]*)\|(ERROR|PANIC): +(.*)/.exec(line) ?? [];
    if (level === '' || where !== database || expected.has(code)) return;
    const context = lines.slice(at + 1, at + 12).join('\n');
    let invariant: Invariant = 'no-unexpected-error';
    if (code === '40P01') invariant = 'no-deadlock';
    else if (context.includes('absurd.claim_task')) invariant = 'one-task-never-breaks-another';
    found.set(`${code} ${message}`, { invariant, words: `${code} ${message}\n${context}` });
  });
  return [...found.values()];
}
