/**
 * Every command, with the command lines that it declares as its samples, and what each of them needs. Tests go through this
 * list: with too few rights, on servers that cannot be reached, on schemas of any age.
 */
import { needOf } from '../../src/lib/cli/declaration.js';
import type { Need } from '../../src/lib/grants/kinds.js';
import { loadCommands } from '../../src/main.js';

/** What exists for a sample to name, as `<queue>`. Ids are of tasks in `queue`. */
export interface Given {
  queue: string;
  /** A role of the server. */
  role: string;
  failed: string;
  /** A pending task. */
  open: string;
  done: string;
  /** A finished step of `failed`. */
  step: string;
  /** An emitted event. */
  event: string;
  /** An old, empty partition; a made-up name where the queue has none. */
  candidate: string;
  /** A partition that was detached, and holds nothing; a made-up name where the queue has none. */
  detached: string;
  /** A file in the current folder that export-task wrote. */
  exported: string;
  /** A schedule of the queue. */
  schedule: string;
  /** A file of schedules in the current folder. */
  schedules: string;
  /** A module in the current folder that registers the task `open`. */
  module: string;
}

export interface Line {
  command: string;
  needs: Need;
  argv(given: Given): string[];
  stdin?: string;
  /** It does something only in a partitioned queue, or only where pg_cron is installed. */
  only?: 'partitioned' | 'cron';
}

/** The order in which they are tried: a line must not take away what a later one reads. */
const order: Need[] = ['none', 'owner', 'operator', 'worker', 'reader'];

const word = (text: string, given: Given): string =>
  text.replace(/^<(\w+)>$/, (whole, name: string) => {
    const found = { ...given, new: 'brand new' }[name];
    if (found === undefined) throw new Error(`a sample names ${whole}, which no test makes`);
    return found;
  });

export const everyLine: Line[] = (await loadCommands())
  .flatMap((about) =>
    about.declares.samples.map((sample): Line => {
      const { words, ...more } = typeof sample === 'string' ? { words: sample } : sample;
      const typed = words === '' ? [] : words.split(' ');
      const argv = (given: Given): string[] => [about.id, ...typed.map((text) => word(text, given))];
      // A command that draws a screen has its help as its sample.
      const needs = words === '--help' ? 'none' : needOf(about, typed);
      return { command: about.id, needs, argv, ...more };
    }),
  )
  .sort((a, b) => order.indexOf(a.needs) - order.indexOf(b.needs));

export const named = (line: Line, given: Given): string => line.argv(given).join(' ');
