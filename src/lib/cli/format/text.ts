/**
 * Characters that a terminal interprets or a reader cannot see: control characters (ESC, C1, DEL), line and paragraph
 * separators, bidirectional marks, and invisible characters and tags that make two names look the same. The two
 * joiners (U+200C, U+200D) are not included: scripts and emoji need them.
 */
const hazard =
  /[\p{Cc}\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/**
 * Makes a text safe for a terminal: escapes what it would interpret or hide, so that stored text cannot move the
 * cursor, set a title or hide what follows. `\n` and `\t` stay only if `lines` is set.
 */
export function harmless(text: string, { lines = false } = {}): string {
  return text.replace(hazard, (character) => {
    if (lines && (character === '\n' || character === '\t')) return character;
    const known: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\b': '\\b', '\f': '\\f' };
    const code = character.codePointAt(0) ?? 0;
    if (code > 0xffff) return `\\u{${hex(code, 4)}}`;
    return known[character] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
  });
}

/** The same for a JSON text, with JSON's own escapes, so that its value is unchanged. */
export function harmlessJson(text: string): string {
  const escape = (unit: string): string => `\\u${hex(unit.charCodeAt(0), 4)}`;
  return text.replace(hazard, (character) => (character === '\n' ? '\n' : character.replace(/[^]/g, escape)));
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');

/** `1 task`, `2 tasks`: for nouns whose plural is in s. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** One value of a tab-separated line, escaped as COPY's text format does; absent values are empty. */
export function copyEscape(text: string): string {
  return text.replace(/[\\\t\n\r\b\f\v]/g, (character) => {
    const names: Record<string, string> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r', '\b': '\\b' };
    return names[character] ?? (character === '\f' ? '\\f' : '\\v');
  });
}

/** One value of a CSV line (RFC 4180). */
export function csvEscape(text: string): string {
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

const wide = /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;
const invisible = /^[\p{Mn}\p{Me}\u200b-\u200d\ufe0f]/u;

/** Columns that a text takes on a terminal. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (invisible.test(character)) continue;
    width += wide.test(character) || /\p{Emoji_Presentation}/u.test(character) ? 2 : 1;
  }
  return width;
}

/** Cuts a text to a number of columns; the last one marks the cut. */
export function cut(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let result = '';
  let width = 0;
  for (const character of text) {
    const next = displayWidth(character);
    if (width + next > columns - 1) break;
    result += character;
    width += next;
  }
  return `${result}…`;
}

/** A line with a leading word or mark, wrapped at blanks to the width; continuation lines are indented. */
export function hanging(mark: string, text: string, width: number): string[] {
  const room = width - displayWidth(mark);
  // In a very narrow window the terminal wraps the lines.
  if (room < 20) return [mark + text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && displayWidth(line) + 1 + displayWidth(word) > room) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  const indent = ' '.repeat(displayWidth(mark));
  return lines.map((part, i) => (i === 0 ? mark : indent) + part);
}
