/** Everything that somebody else may have written, written by somebody hostile. */
import type { TestDatabase } from '../support/database.js';

/** Escape sequences, C1, a direction override, an invisible character, and a line break that would begin a row. */
export const attack =
  '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202etxt\u2066\u200b\u00ad\u{e0041}\u007f\r\b\nFAKE ROW\tx';

/** The same for a queue's name, which has 57 bytes; what a shell would do comes first. */
export const hostileQueue = '$(touch owned)`x`\u001b[2J\u009b1m\u202e\nFAKE ROW\t"\'\\';

/** What must not reach a terminal: found in `text`, with what stands around it; line breaks and tabs are a layout's. */
export function dangers(text: string): string[] {
  const hazard = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}/gu;
  return [...text.matchAll(hazard)].map(({ 0: found, index }) => {
    const code = found.codePointAt(0)?.toString(16) ?? '';
    return `U+${code} in ${JSON.stringify(text.slice(Math.max(0, index - 60), index + 20))}`;
  });
}

/** Lines that pass for rows of ours and are somebody else's. */
export const fakes = (text: string): string[] => text.split(/[\n\r]/).filter((line) => line.startsWith('FAKE ROW'));

export interface HostileTasks {
  failed: string;
  waiting: string;
  expired: string;
  pending: string;
}

/** A queue with a task in every state, hostile in every member of every table. */
export async function hostileTasks(db: TestDatabase, queue = hostileQueue): Promise<HostileTasks> {
  const bad = (word: string): string => `${word}${attack}`;
  await db.queue(queue);
  const make = async (name: string): Promise<{ task_id: string; run_id: string }> => {
    const { task_id } = await db.spawn(
      queue,
      bad(name),
      { [bad('key')]: bad('value') },
      {
        headers: { [bad('header')]: bad('h') },
        max_attempts: 1,
        idempotency_key: bad(`key-${name}`),
        retry_strategy: { kind: 'fixed', base_seconds: 1, [bad('x')]: bad('y') },
      },
    );
    const [claimed] = await db.claim(queue, { worker: bad('worker') });
    return { task_id, run_id: claimed?.run_id ?? '' };
  };
  const failed = await make('failed');
  const checkpoint = 'select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)';
  const state = JSON.stringify({ [bad('s')]: bad('t') });
  await db.query(checkpoint, [queue, failed.task_id, bad('step'), state, failed.run_id]);
  const reason = { name: bad('Error'), message: bad('message'), stack: bad('stack\n    at'), [bad('more')]: bad('m') };
  await db.query('select absurd.fail_run($1, $2, $3)', [queue, failed.run_id, JSON.stringify(reason)]);
  const waiting = await make('waiting');
  const wait = 'select absurd.await_event($1, $2, $3, $4, $5)';
  await db.query(wait, [queue, waiting.task_id, waiting.run_id, bad('step'), bad('never')]);
  const done = await make('done');
  await db.query('select absurd.complete_run($1, $2, $3)', [queue, done.run_id, state]);
  await db.query('select absurd.emit_event($1, $2, $3)', [queue, bad('event'), state]);
  const expired = await make('expired');
  await db.query(
    `do $do$ begin execute format('update absurd.%I set claim_expires_at = now() - interval ''3 hours'', started_at = now() - interval ''4 hours'' where state = ''running''', 'r_' || ${literal(queue)}); end $do$`,
  );
  const { task_id: pending } = await db.spawn(queue, bad('pending'));
  return { failed: failed.task_id, waiting: waiting.task_id, expired: expired.task_id, pending };
}

const literal = (text: string): string => `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
