/**
 * Command lines that people are told to type. They are pasted into shells, and names in them come from others: whatever a
 * name is, it stays one word, runs nothing, and is taken for a name and not for a flag.
 */
import { harmless } from './text.js';

/** A word of a command line, quoted for a POSIX shell where it must be. */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_./:@%+][A-Za-z0-9_./:@%+,=-]*$/.test(text)) return text;
  if (harmless(text) !== text) {
    // Bytes are spelled out, so that nothing invisible is pasted. A shell that does not know $'…' takes it as it stands.
    const escaped = [...Buffer.from(text)].map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`,
    );
    return `$'${escaped.join('')}'`;
  }
  // A backslash goes into double quotes: in fish, one in single quotes would escape the quote that ends them.
  return `'${text.replaceAll(/['\\]/g, (character) => (character === "'" ? "'\\''" : `'"\\\\"'`))}'`;
}

/** A flag with its value; a value that starts with a dash is joined to it. */
export const option = (flag: string, value: string): string =>
  `--${flag}${value.startsWith('-') ? '=' : ' '}${shellWord(value)}`;
