/** The kinds of roles, and which one each command needs. */

/** Each kind includes the one before it. */
export const kinds = ['reader', 'worker', 'operator'] as const;
export type Kind = (typeof kinds)[number];

/** `owner`: makes, alters or drops tables, which PostgreSQL lets only their owner do. `none`: connects to no schema. */
export type Need = Kind | 'owner' | 'none';

/** The least that each command needs, flags that only look aside. A test demands a line for every command. */
export const needs: Record<string, Need> = {
  demo: 'none',
  dev: 'none',
  init: 'owner',
  migrate: 'owner',
  'schema-version': 'reader',
  grants: 'owner',
  'create-queue': 'owner',
  'list-queues': 'reader',
  'drop-queue': 'owner',
  'queue-policy': 'operator',
  'ensure-partitions': 'owner',
  'list-detach-candidates': 'reader',
  'detach-candidate': 'owner',
  'list-partitions': 'reader',
  maintain: 'owner',
  uninstall: 'owner',
  cleanup: 'operator',
  cron: 'operator',
  'spawn-task': 'worker',
  'spawn-tasks': 'worker',
  'list-tasks': 'reader',
  'dump-task': 'reader',
  'retry-task': 'worker',
  'cancel-task': 'worker',
  'emit-event': 'worker',
  'await-task': 'reader',
  'fork-task': 'worker',
  'export-task': 'reader',
  'import-task': 'worker',
  why: 'reader',
  doctor: 'reader',
  'queue-stats': 'reader',
  'list-workers': 'reader',
  'list-runs': 'reader',
  'list-waits': 'reader',
  'list-events': 'reader',
  'list-checkpoints': 'reader',
  'show-event': 'reader',
  'show-checkpoint': 'reader',
  work: 'worker',
  'install-skill': 'none',
  completion: 'none',
};

/** Flags with which a command only looks; `queue-policy` does without any flag that sets something, `grants` without --apply. */
const looks = /^--dry-run$/;
/** Where -n is --dry-run; elsewhere it is --task-name. */
const shortDryRun = new Set(['cleanup', 'spawn-tasks']);
const setsPolicy = /^--(default-partition|partition-|cleanup-|detach-)/;

/** What a command line needs; undefined for a command that is not listed. */
export function needOf(command: string, argv: readonly string[]): Need | undefined {
  const need = needs[command];
  if (need === undefined || need === 'none') return need;
  const flags = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  // A trigger is its table's owner's to make.
  if (command === 'queue-policy' && flags.some((word) => word.startsWith('--wakeup'))) return 'owner';
  if (command === 'queue-policy') return flags.some((word) => setsPolicy.test(word)) ? need : 'reader';
  if (command === 'grants') return flags.includes('--apply') ? need : 'reader';
  const onlyLooks = flags.some((word) => looks.test(word) || (word === '-n' && shortDryRun.has(command)));
  return onlyLooks ? 'reader' : need;
}
