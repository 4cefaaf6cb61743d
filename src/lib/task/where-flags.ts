/** The flags of a search in what tasks hold, and what is said of how far it looked. */
import * as Flags from '@oclif/core/flags';
import type { WhereCut } from '../../sql/list-where.js';
import { wholeNumberFlag } from '../cli/flags.js';
import { momentText } from '../view/words.js';

/** Tasks of each queue that are looked at. */
const lookedAt = 100_000;

export const whereFlag = (helpGroup?: string) =>
  Flags.string({
    ...{ multiple: true, multipleNonGreedy: true, helpGroup, helpValue: 'CONDITION' },
    description:
      'only those that hold this, such as params.order=42; roots params, headers, result, failure; = != > >= < <= ~ exists; may be repeated',
  });

export const lookBackFlag = () =>
  wholeNumberFlag({
    ...{ min: 1, max: 1_000_000_000, default: lookedAt, helpValue: 'N' },
    description: 'with --where: newest tasks of each queue to look at',
  });

const queuesNamed = 5;

/** How far back a search looked, and what makes it look further in the same time. */
export function cutNotes(cut: readonly WhereCut[], lookBack: number): string[] {
  if (cut.length === 0) return [];
  const grouped = lookBack.toLocaleString('en-US');
  const back = (one: WhereCut): string => `"${one.queue_name}" back to ${momentText(one.back_to)}`;
  const more = cut.length > queuesNamed ? ` and ${cut.length - queuesNamed} more` : '';
  const where = cut.slice(0, queuesNamed).map(back).join(', ');
  const further = Math.min(1_000_000_000, lookBack * 10);
  const indexes = [...new Set(cut.slice(0, queuesNamed).flatMap((one) => one.indexes))];
  return [
    `Looked at the newest ${grouped} tasks of queue ${where}${more}; --look-back ${further} looks further`,
    ...indexes.map((statement) => `With this index that takes moments: ${statement};`),
  ];
}
