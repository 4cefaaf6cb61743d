/**
 * Every command, with a command line that does something, and what it needs. Tests go through this table: with too few
 * rights, on servers that are not there, on schemas of any age. A new command gets its line here and in
 * src/lib/grants/kinds.ts, or they fail.
 */
import type { Need } from '../../src/lib/grants/kinds.js';

/** What is there for a command line to name. Ids are of tasks in `queue`. */
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
  /** A file in the current folder that export-task wrote. */
  exported: string;
  /** A module in the current folder that registers the task `open`. */
  module: string;
}

export interface Line {
  needs: Need;
  argv(given: Given): string[];
  stdin?: string;
  /** Only in partitioned queues does it do anything. */
  partitioned?: true;
  /** Only where pg_cron is does it do anything. */
  cron?: true;
}

const spawned = '{"name": "open", "params": {"n": 1}, "options": {"idempotency_key": "k"}}\n';

export const everyLine: Line[] = [
  { needs: 'none', argv: () => ['demo'] },
  { needs: 'none', argv: () => ['dev', '--help'] },
  { needs: 'none', argv: () => ['completion', 'bash'] },
  { needs: 'none', argv: () => ['install-skill', 'skills', '--force'] },
  { needs: 'none', argv: () => ['migrate', '--from', '0.4.0', '--dump-sql'] },
  { needs: 'none', argv: ({ queue }) => ['spawn-tasks', '-', '-q', queue, '-n'], stdin: spawned },
  { needs: 'owner', argv: () => ['init'] },
  { needs: 'owner', argv: () => ['migrate', '--yes'] },
  { needs: 'owner', argv: () => ['migrate', '--check'] },
  { needs: 'owner', argv: ({ role }) => ['grants', role, '--as', 'operator', '--apply'] },
  { needs: 'owner', argv: () => ['create-queue', 'brand new'] },
  { needs: 'owner', argv: ({ queue }) => ['drop-queue', queue, '--yes'] },
  { needs: 'owner', argv: ({ queue }) => ['ensure-partitions', '--queue', queue], partitioned: true },
  { needs: 'owner', argv: ({ queue }) => ['maintain', '--queue', queue], partitioned: true },
  { needs: 'owner', argv: ({ queue }) => ['queue-policy', queue, '--wakeup', 'on'] },
  { needs: 'owner', argv: () => ['uninstall', '--yes'] },
  { needs: 'owner', argv: ({ candidate, queue }) => ['detach-candidate', candidate, '-q', queue], partitioned: true },

  { needs: 'operator', argv: ({ queue }) => ['queue-policy', queue, '--cleanup-ttl', '8 days'] },
  { needs: 'operator', argv: ({ queue }) => ['cleanup', queue, '0'] },
  { needs: 'operator', argv: () => ['cleanup', '--all'] },
  { needs: 'operator', argv: ({ queue }) => ['cron', '--enable', '-q', queue], cron: true },
  { needs: 'operator', argv: ({ queue }) => ['cron', '--disable', '-q', queue], cron: true },

  { needs: 'worker', argv: ({ queue }) => ['spawn-task', 'open', '-q', queue, '-P', 'n:=1'] },
  { needs: 'worker', argv: ({ queue }) => ['spawn-tasks', '-', '-q', queue], stdin: spawned },
  { needs: 'worker', argv: ({ open }) => ['cancel-task', open] },
  { needs: 'worker', argv: ({ queue }) => ['cancel-task', '-q', queue, '--status', 'pending', '--yes'] },
  { needs: 'worker', argv: ({ failed }) => ['retry-task', failed] },
  { needs: 'worker', argv: ({ failed }) => ['retry-task', failed, '--spawn-new'] },
  { needs: 'worker', argv: ({ queue }) => ['retry-task', '-q', queue, '--all', '--yes'] },
  { needs: 'worker', argv: ({ queue }) => ['emit-event', 'go', '-q', queue] },
  { needs: 'worker', argv: ({ failed, step }) => ['fork-task', failed, '--from-step', step] },
  { needs: 'worker', argv: ({ exported, queue }) => ['import-task', exported, '-q', queue] },
  { needs: 'worker', argv: ({ module, queue }) => ['work', module, '-q', queue, '--burst'] },

  { needs: 'reader', argv: () => ['schema-version'] },
  { needs: 'reader', argv: () => ['list-queues'] },
  { needs: 'reader', argv: ({ queue }) => ['queue-policy', queue] },
  { needs: 'reader', argv: () => ['list-detach-candidates'] },
  { needs: 'reader', argv: () => ['list-detach-candidates', '--show-sql'] },
  { needs: 'reader', argv: ({ role }) => ['grants', role, '--as', 'reader'] },
  { needs: 'reader', argv: () => ['migrate', '--dry-run'] },
  { needs: 'reader', argv: ({ queue }) => ['cleanup', queue, '0', '--dry-run'] },
  { needs: 'reader', argv: () => ['list-partitions'] },
  { needs: 'reader', argv: () => ['uninstall', '--dry-run'] },
  { needs: 'reader', argv: () => ['list-tasks'] },
  { needs: 'reader', argv: ({ failed }) => ['dump-task', '--task-id', failed] },
  { needs: 'reader', argv: ({ queue }) => ['retry-task', '-q', queue, '--all', '--dry-run'] },
  { needs: 'reader', argv: ({ open }) => ['cancel-task', open, '--dry-run'] },
  { needs: 'reader', argv: ({ failed }) => ['fork-task', failed, '--dry-run'] },
  { needs: 'reader', argv: ({ done }) => ['await-task', done] },
  { needs: 'reader', argv: ({ failed }) => ['export-task', failed] },
  { needs: 'reader', argv: ({ open }) => ['why', open] },
  { needs: 'reader', argv: ({ queue }) => ['why', '--queue', queue] },
  { needs: 'reader', argv: () => ['why', '--task-name', 'open'] },
  { needs: 'reader', argv: () => ['doctor', '--fail-on', 'never'] },
  { needs: 'reader', argv: () => ['queue-stats'] },
  { needs: 'reader', argv: () => ['queue-stats', '--by', 'task-name'] },
  { needs: 'reader', argv: () => ['list-workers'] },
  { needs: 'reader', argv: () => ['list-runs'] },
  { needs: 'reader', argv: () => ['list-waits'] },
  { needs: 'reader', argv: () => ['list-events'] },
  { needs: 'reader', argv: ({ failed }) => ['list-checkpoints', failed] },
  { needs: 'reader', argv: ({ event, queue }) => ['show-event', event, '-q', queue] },
  { needs: 'reader', argv: ({ failed, step }) => ['show-checkpoint', failed, step] },
];

export const named = (line: Line, given: Given): string => line.argv(given).join(' ');
