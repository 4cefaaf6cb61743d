/**
 * What jsonb can hold. It refuses two things that JavaScript's strings may have: the character U+0000, and half of a
 * surrogate pair, as `'😀'.slice(0, 1)` leaves it.
 */
const refusedCharacters = /[\0\p{Surrogate}]/gu;

/** The text with U+FFFD for each character that jsonb refuses. For texts of errors; values of programs are never changed. */
export function storableText(text: string): string {
  return text.replace(refusedCharacters, '\uFFFD');
}
