/** The steps of an upgrade, in the one order in which they are always done, with what each of them locks. */
import { partitionedLetters } from '../../../sql/description.js';
import type { Difference } from '../../../sql/drift.js';
import type { MissingIndex } from '../../../sql/indexes.js';
import type { LackingTable } from '../../../sql/migrate.js';
import { counted } from '../../cli/format/text.js';

/** How long a step waits for a table, and with it whoever queues behind; then it lets go and tries again. */
export const stepLockMs = 1000;
export const stepAttempts = 20;
/** The script as a whole: see lib/install.ts. */
export const scriptLock = '2 s of waiting, ten times';

export interface Step {
  what: string;
  queue_name: string | null;
  /** What is locked. */
  table_name: string;
  lock: string;
  /** What that lock keeps others from meanwhile. */
  holds_up: 'reads and writes' | 'writes' | 'single rows' | 'nothing';
  /** How long it is held: `a moment` is a change of the catalog alone, whatever the table's size. */
  held: string;
  /** Rows that are read; 0 where the step only touches the catalog. */
  rows: number;
  bytes: number;
}

/** Rows that an index build or a fill reads in a second on modest hardware: an estimate, and said to be one. */
const rowsPerSecond = 250_000;

function roughly(rows: number, passes: number): string {
  const seconds = Math.ceil((rows * passes) / rowsPerSecond);
  return seconds < 120 ? `~${Math.max(1, seconds)} s` : `~${Math.ceil(seconds / 60)} min`;
}

interface Needs {
  indexes: MissingIndex[];
  tables: LackingTable[];
  registry: boolean;
  differences: Difference[];
  partitions: { queue_name: string; count: number }[];
}

const catalogOnly = { held: 'a moment', rows: 0, bytes: 0 };

function fillSteps(table: LackingTable): Step[] {
  const { queue_name, table_name, rows, bytes } = table;
  const steps: Step[] = [];
  if (!table.column || !table.triggers) {
    const what = table.column ? 'add triggers' : table.triggers ? 'add column' : 'add column and triggers';
    steps.push({
      what,
      queue_name,
      table_name,
      lock: 'access exclusive',
      holds_up: 'reads and writes',
      ...catalogOnly,
    });
  }
  if (!table.filled) {
    const held = `batches, ${roughly(rows, 1)} in all`;
    const lock = 'row exclusive';
    steps.push({ what: 'fill cancel_due', queue_name, table_name, lock, holds_up: 'single rows', held, rows, bytes });
  }
  return steps;
}

function indexSteps({ index_name, queue_name, table_name, broken, partitioned, rows, bytes }: MissingIndex): Step[] {
  const at = { queue_name, table_name };
  const build: Step = {
    what: `build index ${index_name}`,
    ...at,
    lock: 'share update exclusive',
    holds_up: 'nothing',
    held: `two reads, ${roughly(rows, 2)}`,
    rows,
    bytes,
  };
  const drop: Step = {
    what: `drop broken ${index_name}`,
    ...at,
    lock: 'access exclusive',
    holds_up: 'reads and writes',
    ...catalogOnly,
  };
  if (!partitioned) return broken ? [drop, build] : [build];
  return [
    ...(broken
      ? []
      : [
          {
            what: `begin index ${index_name}`,
            ...at,
            lock: 'share',
            holds_up: 'writes' as const,
            ...catalogOnly,
          },
        ]),
    { ...build, what: `build ${index_name} by partition` },
    {
      what: `attach the parts of ${index_name}`,
      ...at,
      lock: 'access exclusive, part',
      holds_up: 'reads and writes' as const,
      ...catalogOnly,
    },
  ];
}

export function planSteps({ indexes, tables, registry, differences, partitions }: Needs): Step[] {
  const steps: Step[] = [];
  if (registry) {
    const lock = { lock: 'access exclusive', holds_up: 'reads and writes' as const, ...catalogOnly };
    steps.push({ what: 'add columns', queue_name: null, table_name: 'queues', ...lock });
  }
  for (const queue of queuesOf(tables, indexes)) {
    steps.push(...tables.filter(({ queue_name: name }) => name === queue).flatMap(fillSteps));
    steps.push(...indexes.filter(({ queue_name: name }) => name === queue).flatMap(indexSteps));
  }
  for (const { queue_name, count } of partitions) {
    steps.push({
      what: `make ${counted(count, 'partition')}`,
      queue_name,
      table_name: partitionedLetters.map((letter) => `${letter}_${queue_name}`).join(' '),
      lock: 'access exclusive',
      holds_up: 'reads and writes',
      held: "the script's end",
      rows: 0,
      bytes: 0,
    });
  }
  if (steps.length > 0 || differences.some(({ mended }) => mended)) {
    const held = 'a few seconds';
    steps.push({
      what: 'run the script',
      queue_name: null,
      table_name: '-',
      lock: 'none',
      holds_up: 'nothing',
      held,
      rows: 0,
      bytes: 0,
    });
  }
  return steps;
}

/** All queues with something to do, in the order of their names: the order in which tables are ever locked. */
export function queuesOf(tables: LackingTable[], indexes: MissingIndex[]): string[] {
  return [...new Set([...tables, ...indexes].map((one) => one.queue_name))].sort();
}
