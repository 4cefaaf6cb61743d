import { nearest } from '../../connection/nearest.js';

export { nearest };

/** A name without the numbers and ids in it: `order.paid:#`. */
const pattern = (name: string): string => name.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|\d+/gi, '#');

/**
 * Like `nearest`, for names that contain numbers, such as events: a name that differs only in its number belongs to
 * another order and is not a misspelling.
 */
export function nearestPattern(name: string, known: readonly string[]): string | undefined {
  const own = pattern(name);
  return nearest(
    name,
    known.filter((candidate) => pattern(candidate) !== own),
  );
}
