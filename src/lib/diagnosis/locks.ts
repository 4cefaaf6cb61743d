import { isUnfinished } from '../../sql/description.js';
import { pastedLiteral } from '../../sql/identifiers.js';
import type { LockHolder } from '../../sql/diagnosis-locks.js';
import { known, type Cause, type Evidence, type QueueSubject, type TaskSubject } from './cause.js';
import { at, quoted, shown, span } from './words.js';

/** Describes the session, without claiming more than the server shows. */
export function lockHolderName(holder: LockHolder): string {
  if (holder.prepared !== null) return `the prepared transaction ${quoted(holder.prepared)}`;
  const application = holder.application ? ` (${shown(holder.application)})` : '';
  return `session ${holder.pid ?? 'unknown'}${application}`;
}

function lockEvidence(holder: LockHolder): Evidence[] {
  return [
    known('it holds', holder.mode === 'row' ? 'a row lock' : holder.mode),
    ...(holder.transaction_started_at === null && holder.prepared === null
      ? []
      : [known('its transaction began', at(holder.transaction_started_at))]),
    ...(holder.user_name ? [known('user', shown(holder.user_name))] : []),
    ...(holder.state ? [known('state', holder.state)] : []),
    ...(holder.query ? [known('its last query', shown(holder.query))] : []),
    ...(holder.waiting > 0 ? [known('sessions that wait for it', holder.waiting)] : []),
  ];
}

export function endLockHolder(holder: LockHolder): string[] {
  if (holder.prepared !== null) return [`psql: rollback prepared ${pastedLiteral(holder.prepared)}`];
  return [`psql: select pg_terminate_backend(${holder.pid ?? 'PID'})`, 'or let that session commit or roll back'];
}

export const taskLocked: Cause<TaskSubject> = {
  code: 'locked',
  verdict: 'stuck',
  group: 'lock',
  applies: ({ locks, task, run }) => locks.length > 0 && isUnfinished(task?.state ?? run?.state),
  explain: ({ locks, task }) => explainLock(locks, task ? `the ${task.state} task` : 'the task'),
};

export const queueLocked: Cause<QueueSubject> = {
  code: 'locked',
  verdict: 'stuck',
  group: 'lock',
  applies: ({ locks }) => locks.length > 0,
  explain: ({ locks, queue }) => explainLock(locks, `work in queue ${quoted(queue)}`),
};

function explainLock(locks: LockHolder[], whose: string) {
  const [holder] = [...locks].sort((left, right) => right.held_seconds - left.held_seconds);
  if (!holder) throw new Error('explained without a lock');
  const others = locks.length > 1 ? `, and so ${locks.length === 2 ? 'does' : 'do'} ${locks.length - 1} more` : '';
  return {
    sentence: `${lockHolderName(holder)} holds a lock that ${whose} needs, in a transaction that has been open for ${
      holder.transaction_started_at === null ? 'a second or more' : span(holder.held_seconds)
    }${others}`,
    evidence: [known('pid', holder.pid ?? 'none: a prepared transaction'), ...lockEvidence(holder)],
    next: endLockHolder(holder),
  };
}
