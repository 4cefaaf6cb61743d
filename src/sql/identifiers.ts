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

/** Control and format characters, odd blanks, the backslash: what a screen, a clipboard or COPY's escapes would change. */
const odd = /(?! )[\p{C}\p{Z}\\]/u;

function pasted(text: string, quote: string): string {
  const doubled = text.replaceAll(quote, quote + quote);
  if (!odd.test(text)) return quote + doubled + quote;
  const escaped = [...doubled].map((character) => {
    if (character === '!') return '!!';
    if (!odd.test(character)) return character;
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `!+${code.padStart(6, '0')}` : `!${code.padStart(4, '0')}`;
  });
  return `U&${quote}${escaped.join('')}${quote} uescape '!'`;
}

/** An identifier in SQL that people paste into psql: like `quoteIdent`, with invisible characters escaped. */
export const pastedIdent = (name: string): string => pasted(name, '"');

/** A text in such SQL. In statements that we run, values are parameters. */
export const pastedLiteral = (text: string): string => pasted(text, "'");
