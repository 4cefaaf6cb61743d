/** Groups findings: one for each cause, with its consequences beneath it. Pure. */
import { severities, type DoctorFinding, type Finding } from './check.js';

/** Checks that depend on the clock: while it is stopped, they report nothing. */
const byTheClock = new Set([
  'paused-queues',
  'unclaimed-work',
  'expired-leases',
  'backlog-growing',
  'retry-storm',
  'top-errors',
  'unusable-strategies',
  'lost-waits',
  'hanging-runs',
  'unknown-names',
  'polling-sleepers',
  'far-future',
  'partitions-missing',
  'cleanup-behind',
  'unregistered-names',
  'mixed-versions',
  'hanging-workers',
  'vanished-workers',
]);

const session = new Set(['blocked', 'old-transactions', 'idle-in-transaction', 'prepared-transactions']);
const vacuumed = new Set(['dead-rows', 'autovacuum-behind']);
const flow = new Set(['unclaimed-work', 'expired-leases', 'backlog', 'backlog-growing']);

interface Rule {
  cause: (finding: Finding & { check: string }) => boolean;
  effect: (effect: Finding & { check: string }, cause: Finding & { check: string }) => boolean;
  /** If two findings could cause each other, the one whose check comes first is the cause. */
  mutual?: true;
}

const sameQueue = (left: Finding, right: Finding): boolean => left.queue !== null && left.queue === right.queue;

/** The first matching rule counts: root causes come first. */
const rules: Rule[] = [
  // All findings about one session are one finding.
  {
    mutual: true,
    cause: ({ check }) => session.has(check),
    effect: (effect, cause) =>
      session.has(effect.check) && effect.session !== undefined && effect.session === cause.session,
  },
  // Workers cannot claim rows that a session has locked.
  {
    cause: ({ check }) => check === 'blocked',
    effect: (effect, cause) =>
      (flow.has(effect.check) || effect.check === 'hanging-runs') &&
      effect.queue !== null &&
      (cause.queues ?? []).includes(effect.queue),
  },
  {
    cause: ({ check }) => check === 'blocked',
    effect: (effect, cause) =>
      effect.check === 'unread' && effect.session !== undefined && effect.session === cause.session,
  },
  // Workers cannot claim from a paused queue.
  {
    cause: ({ check }) => check === 'paused-queues',
    effect: (effect, cause) =>
      (effect.check === 'backlog' || effect.check === 'backlog-growing') && sameQueue(effect, cause),
  },
  // Vacuum keeps the rows that a snapshot may still see.
  {
    cause: ({ snapshot }) => snapshot === true,
    effect: ({ check }) => vacuumed.has(check),
  },
  // A worker that cannot connect claims nothing.
  {
    cause: ({ check, severity }) => check === 'connections' && severity === 'critical',
    effect: ({ check }) => flow.has(check),
  },
  // The worker that should have processed it.
  {
    cause: ({ check }) => check === 'hanging-workers' || check === 'vanished-workers',
    effect: (effect, cause) =>
      (effect.check === 'expired-leases' || effect.check === 'unclaimed-work') && sameQueue(effect, cause),
  },
  {
    cause: ({ check }) => check === 'unregistered-names',
    effect: (effect, cause) =>
      (effect.check === 'unknown-names' || effect.check === 'unclaimed-work') && sameQueue(effect, cause),
  },
  // Without claims, expired leases are not swept and the backlog grows.
  {
    cause: ({ check }) => check === 'unclaimed-work' || check === 'expired-leases',
    effect: (effect, cause) => flow.has(effect.check) && effect.check !== 'unclaimed-work' && sameQueue(effect, cause),
  },
  {
    cause: ({ check }) => check === 'unlimited-retries' || check === 'retry-storm',
    effect: (effect, cause) =>
      (effect.check === 'retry-storm' || effect.check === 'top-errors') && sameQueue(effect, cause),
  },
  {
    cause: ({ check }) => check === 'partitions-missing',
    effect: (effect, cause) =>
      (effect.check === 'default-partition-rows' || effect.check === 'partitions-detached') && sameQueue(effect, cause),
  },
];

/** Moves each consequence beneath its cause; a cause is as severe as its worst consequence. */
export function byCause(found: readonly (Finding & { check: string; why: string })[]): DoctorFinding[] {
  const stopped = found.some(({ check }) => check === 'clock-stopped');
  const all = found
    .filter(({ check }) => !stopped || !byTheClock.has(check))
    .map((finding): DoctorFinding => ({ ...finding, leads_to: [] }));
  const roots: DoctorFinding[] = [];
  const parents = new Map<DoctorFinding, DoctorFinding>();
  const isAbove = (one: DoctorFinding, other: DoctorFinding): boolean => {
    for (let at: DoctorFinding | undefined = other; at; at = parents.get(at)) if (at === one) return true;
    return false;
  };
  for (const rule of rules)
    for (const [place, effect] of all.entries()) {
      if (parents.has(effect)) continue;
      const cause = (rule.mutual ? all.slice(0, place) : all).find(
        (one) => one !== effect && rule.cause(one) && rule.effect(effect, one) && !isAbove(effect, one),
      );
      // All consequences of a session go beneath its first finding.
      const first = cause && parents.get(cause);
      if (cause) parents.set(effect, first && rules[0]?.effect(cause, first) === true ? first : cause);
    }
  for (const finding of all) {
    const parent = parents.get(finding);
    if (parent) parent.leads_to.push(finding);
    else roots.push(finding);
  }
  roots.forEach(raise);
  return roots;
}

function raise(finding: DoctorFinding): void {
  finding.leads_to.forEach(raise);
  const worst = Math.max(...[finding, ...finding.leads_to].map(({ severity }) => severities.indexOf(severity)));
  finding.severity = severities[worst] ?? finding.severity;
}

/** Findings with all their consequences, in one list. */
export const flat = (findings: readonly DoctorFinding[]): DoctorFinding[] =>
  findings.flatMap((finding) => [finding, ...flat(finding.leads_to)]);

/** The checks that a stopped clock prevents. */
export const unreliable = (made: readonly string[], findings: readonly DoctorFinding[]): string[] =>
  flat(findings).some(({ check }) => check === 'clock-stopped') ? made.filter((check) => byTheClock.has(check)) : [];
