import { RawJson } from '../../../sql/values.js';
import { toJson } from './json.js';

/** A value of a row as plain text, for pipes and CSV. */
export function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return '';
  if (cell instanceof RawJson) return cell.text;
  return typeof cell === 'object' ? toJson(cell) : `${cell as string | number | boolean}`;
}

const drawnLength = 1000;

/** The start of a cell, as much as a screen may show: the cost of drawing must not grow with the stored value. */
export const beginning = (cell: unknown): string => {
  const text = cellText(cell);
  return text.length > drawnLength ? `${text.slice(0, drawnLength)}…` : text;
};

export const cellOf = (row: object, key: string): unknown => (row as Record<string, unknown>)[key];
