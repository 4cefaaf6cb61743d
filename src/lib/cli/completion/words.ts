/** Splits a command line as typed so far into words, and quotes a value so that the shell reads it back unchanged. */
import { harmless } from '../format/text.js';

type Env = Record<string, string | undefined>;
type Quote = '' | "'" | '"';

export interface Word {
  /** The word without its quotes, with environment variables expanded. */
  value: string;
  /** Where it begins in the line. */
  start: number;
  /** The quotation mark that is open at its end. */
  open: Quote;
  /** False if only the shell can evaluate it: a command substitution, a shell variable. */
  known: boolean;
}

/** Reads one word from `start` to a blank outside quotes or, with `whole`, to the end of the line. */
function readWord(line: string, start: number, env: Env, whole: boolean): { word: Word; end: number } {
  const word: Word = { value: '', start, open: '', known: true };
  let at = start;
  if (/^~(\/|$)/.test(line.slice(at)) && env.HOME) {
    word.value = env.HOME;
    at++;
  }
  for (; at < line.length; at++) {
    const char = line[at] ?? '';
    const next = line[at + 1] ?? '';
    if (word.open === "'") {
      if (char === "'") word.open = '';
      else word.value += char;
    } else if (char === '\\') {
      if (word.open === '"' && !/["\\$`]/.test(next)) word.value += char;
      else {
        word.value += next;
        at++;
      }
    } else if (char === '"') {
      word.open = word.open === '"' ? '' : '"';
    } else if (char === "'" && word.open === '') {
      word.open = "'";
    } else if (char === '$' || char === '`') {
      const name = /^\$(?:(\w+)|\{(\w+)\})/.exec(line.slice(at));
      const found = name && env[name[1] ?? name[2] ?? ''];
      word.known &&= found !== undefined && found !== null;
      word.value += found ?? '';
      if (name) at += name[0].length - 1;
    } else if (!whole && word.open === '' && /[ \t\n]/.test(char)) break;
    else word.value += char;
  }
  return { word, end: at };
}

/** All words of a line. The cursor is in the last one, which is empty after a blank. */
export function readLine(line: string, env: Env): Word[] {
  const words: Word[] = [];
  for (let at = 0; ;) {
    while (/[ \t\n]/.test(line[at] ?? '')) at++;
    const { word, end } = readWord(line, at, env, false);
    words.push(word);
    if (end >= line.length) return words;
    at = end;
  }
}

/** A word that the shell has already split off, with its quotes. */
export const unquote = (raw: string, env: Env): Word => readWord(raw, 0, env, true).word;

/** Whether a value can be typed: without characters that a terminal acts on or that no quoting preserves. */
export const typeable = (value: string): boolean => value !== '' && harmless(value) === value && value.trim() !== '';

/** A part of a word, escaped for bash inside that quotation; undefined if that is impossible. */
function bashQuoted(text: string, open: Quote): string | undefined {
  if (open === "'") return text.replaceAll("'", `'\\''`);
  if (open === '"') return text.includes('!') ? undefined : text.replace(/["\\$`]/g, '\\$&');
  return text.replace(/[^\p{L}\p{N}\p{M}_./,@%+=:-]/gu, '\\$&');
}

/**
 * What bash is to put in place of `replaced`, the last part of `line`, so that the word at its end comes to be `value`. Bash
 * replaces only what follows the last of its COMP_WORDBREAKS (a colon, an equals sign) or an opening quotation mark.
 */
export function bashReplacement(line: string, replaced: string, value: string, env: Env): string | undefined {
  if (!line.endsWith(replaced)) return undefined;
  const word = readLine(line, env).at(-1);
  const keptRaw = line.slice(word?.start, line.length - replaced.length);
  const kept = unquote(keptRaw, env);
  if (!value.startsWith(kept.value)) return undefined;
  const rest = value.slice(kept.value.length);
  const first = replaced[0];
  const own: Quote = kept.open === '' && (first === '"' || first === "'") ? first : '';
  const open = kept.open || own;
  const quoted = bashQuoted(rest, open);
  // A tilde is a home folder only at the start of a word; quote it everywhere.
  return quoted === undefined ? undefined : `${own}${quoted}${open}`;
}
