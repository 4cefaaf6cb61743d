/** `--watch`: repeats a command's read. */
import * as Flags from '@oclif/core/flags';
import { displayWidth } from './format/text.js';
import type { Io } from './io.js';

export const watchFlag = Flags.boolean({ description: 'repeat every two seconds until Ctrl-C' });

export const watchPauseMs = 2000;

/** Colours take no columns. */

const colours = /\u001b\[[0-9;]*m/g;

/** Number of window rows that a line takes. */
const rowsOf = (line: string, width: number): number =>
  Math.max(1, Math.ceil(displayWidth(line.replace(colours, '')) / width));

/** The captured output of one refresh. */
export interface Look {
  out: string;
  err: string;
}

/** Captures output for a terminal, so that it can be cut to the window first. */
export function catching(io: Io): { io: Io; look: Look } {
  const look: Look = { out: '', err: '' };
  const caught = Object.create(io, {
    out: { value: (text: string) => void (look.out += text) },
    err: { value: (text: string) => void (look.err += text) },
  }) as Io;
  return { io: caught, look };
}

/**
 * One refresh of the window: the time, then as much of the answer as fits, then the notes. The screen is cleared
 * before, and never scrolls.
 */
export function fitted(
  { out, err }: Look,
  { now, width, height = 24 }: { now: Date; width: number; height?: number },
): string {
  const lines = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));
  const notes = lines(err).slice(0, Math.max(1, Math.floor(height / 3)));
  let room = height - 2 - notes.reduce((sum, line) => sum + rowsOf(line, width), 0);
  const body = lines(out);
  const shown: string[] = [];
  for (const [i, line] of body.entries()) {
    const needed = rowsOf(line, width);
    const more = i < body.length - 1 ? 1 : 0;
    if (needed + more > room) break;
    room -= needed;
    shown.push(line);
  }
  const hidden = body.length - shown.length;
  const rest = hidden === 0 ? [] : [`… ${hidden} more ${hidden === 1 ? 'line' : 'lines'}; a taller window shows more`];
  const time = `${now.toISOString().replace(/\.\d+Z$/, 'Z')}  every ${watchPauseMs / 1000} s, until Ctrl-C`;
  return `\u001b[H\u001b[2J${[time, ...shown, ...rest, ...notes].join('\n')}\n`;
}
