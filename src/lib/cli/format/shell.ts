/**
 * Suggested command lines. People paste them into shells, and names in them come from others: each name stays one
 * word, runs nothing, and is read as a name and not as a flag.
 */
import { harmless } from './text.js';

/** A word of a command line, quoted for a POSIX shell if necessary. */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_./:@%+][A-Za-z0-9_./:@%+,=-]*$/.test(text)) return text;
  if (harmless(text) !== text) {
    // Escape bytes, so that nothing invisible is pasted. A shell without $'…' takes the text literally.
    const escaped = [...Buffer.from(text)].map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`,
    );
    return `$'${escaped.join('')}'`;
  }
  // Use double quotes for a backslash: in fish, a backslash in single quotes would escape the closing quote.
  return `'${text.replaceAll(/['\\]/g, (character) => (character === "'" ? "'\\''" : `'"\\\\"'`))}'`;
}

/** A flag with its value; a value that starts with a dash is joined to it. */
export const option = (flag: string, value: string): string =>
  `--${flag}${value.startsWith('-') ? '=' : ' '}${shellWord(value)}`;
