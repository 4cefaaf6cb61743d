import { Capabilities, checkTaskWaits } from './capabilities.js';
import { checkChange, type Report } from './changes.js';
import { checkEvent, checkTask } from './commits.js';
import { checkEnd } from './end.js';
import { Executions } from './executions.js';
import type { Invariant, Violation } from './invariants.js';
import { QueueState } from './state.js';
import type { Entry, Facts } from './types.js';

/** What an entry is about, beyond its own row. */
function subject(entry: Entry): string | undefined {
  const row = entry.new ?? entry.old;
  if (row === null || entry.kind === 'note') return undefined;
  return entry.kind === 'e' ? 'event' : `task ${String(row['task_id'])}`;
}

/**
 * Transactions that still write to a subject, by their last entries about it. A transaction holds its locks to its end, so two
 * that write to one subject hardly ever interleave; where they do, the subject is judged when both are over.
 */
class Transactions {
  private readonly last = new Map<string, number>();
  private readonly open = new Map<string, Set<string>>();

  constructor(entries: readonly Entry[]) {
    for (const entry of entries) {
      this.last.set(`${entry.xid} ${subject(entry)}`, entry.seq);
    }
  }

  /** Returns whether with this entry all transactions are over that wrote to its subject. */
  pass(entry: Entry, about: string): boolean {
    const open = this.open.get(about) ?? new Set();
    this.open.set(about, open);
    open.add(entry.xid);
    if (this.last.get(`${entry.xid} ${about}`) === entry.seq) open.delete(entry.xid);
    return open.size === 0;
  }
}

/**
 * Judges a history: replays it, and returns every violation of an invariant with its facts. Pure.
 * @param entries committed changes in the order of `seq`
 */
export function check(entries: readonly Entry[], facts: Facts): Violation[] {
  const found: Violation[] = facts.seen.map((one) => ({ ...one }));
  const told = new Set<string>();
  const report =
    (seq?: number): Report =>
    (invariant: Invariant, words: string) => {
      if (told.has(`${invariant} ${words}`)) return;
      told.add(`${invariant} ${words}`);
      found.push(seq === undefined ? { invariant, words } : { invariant, words, seq });
    };
  const state = new QueueState();
  const transactions = new Transactions(entries);
  const executions = new Executions(state);
  const capabilities = new Capabilities(facts);
  for (const entry of entries) {
    const here = report(entry.seq);
    const about = subject(entry);
    if (about === undefined) {
      executions.note(entry, here);
      capabilities.note(entry);
      continue;
    }
    if (entry.op === 'commit') {
      checkEvent(String(entry.new?.['event_name']), String(entry.new?.['emitted_at']), state, here);
      continue;
    }
    checkChange(entry, state, here);
    capabilities.change(entry, here);
    state.apply(entry);
    if (entry.kind !== 'e' && transactions.pass(entry, about)) checkTask(about.slice(5), state, here);
  }
  checkEnd(state, entries, facts, report());
  if (facts.settled) checkTaskWaits(facts.taskWaits, state, report());
  return found;
}
