/**
 * Makes a text harmless for a terminal: control characters (ESC, C1, DEL, bidirectional overrides) become visible escapes,
 * so that nothing stored can move the cursor, set a title or hide what follows. `\n` and `\t` stay only where `lines` is set.
 */
export function harmless(text: string, { lines = false } = {}): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    if (lines && (character === '\n' || character === '\t')) return character;
    const known: Record<string, string> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\b': '\\b', '\f': '\\f' };
    const code = character.codePointAt(0) ?? 0;
    return known[character] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
  });
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');

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

/** Cuts a text to so many columns, the last of which then says that something was cut. */
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
