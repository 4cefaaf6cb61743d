/**
 * What is shown of each command. A new command of src/main.ts needs a line here: command lines that read (`reads`), or that
 * change something (`writes`: run one after another in a database of their own), or the reason why neither can be.
 * `$name` is an id of the scene.
 */
export interface Golden {
  reads?: string[];
  writes?: string[];
  /** Why nothing is shown here, and where it is tested. */
  elsewhere?: string;
}

export const table: Record<string, Golden> = {
  demo: { elsewhere: 'runs a server and a worker: test/e2e/demo.test.ts' },
  dev: { elsewhere: 'runs a server: test/e2e/dev.test.ts' },
  dashboard: { elsewhere: 'serves until it is told to stop: test/dashboard', reads: ['dashboard --listen 0.0.0.0'] },
  work: { elsewhere: 'runs until it is told to stop: test/e2e/work.test.ts', reads: ['work missing.ts'] },
  init: { writes: ['init', 'init --ref 0.3.0'] },
  migrate: { writes: ['migrate', 'migrate --check', 'migrate --dry-run', 'migrate --from 0.1.0'] },
  'schema-version': { reads: ['schema-version'] },
  grants: {
    reads: ['grants postgres --as reader -q orders', 'grants nobody --as worker', 'grants postgres --as king'],
  },
  uninstall: { writes: ['uninstall --dry-run', 'uninstall', 'uninstall --yes', 'uninstall --yes'] },
  'create-queue': {
    writes: ['create-queue invoices', 'create-queue orders', 'create-queue ledger --storage-mode unpartitioned'],
  },
  'list-queues': { reads: ['list-queues'] },
  'drop-queue': {
    writes: ['drop-queue mail', 'drop-queue mail --yes', 'drop-queue mial --yes', 'drop-queue ordres --yes'],
  },
  'queue-policy': {
    writes: ['queue-policy ledger', "queue-policy orders --cleanup-ttl '14 days' --cleanup-limit 500"],
  },
  'ensure-partitions': { writes: ['ensure-partitions', 'ensure-partitions', 'ensure-partitions -q mail'] },
  'list-partitions': { reads: ['list-partitions', 'list-partitions -q orders'] },
  maintain: { writes: ['maintain', 'maintain -q orders'] },
  'list-detach-candidates': { reads: ['list-detach-candidates', 'list-detach-candidates -q ledgr'] },
  'attach-partition': { reads: ['attach-partition t_ledger_401'] },
  'detach-candidate': { reads: ['detach-candidate t_ledger_401'] },
  cleanup: {
    writes: [
      'cleanup orders 0 --dry-run',
      'cleanup --all --dry-run',
      'cleanup orders 0',
      'cleanup orders 0',
      'cleanup --all',
      'cleanup order 1',
      'cleanup orders',
    ],
  },
  'list-operations': { elsewhere: 'shows who runs the tests, and where: test/commands/operations.test.ts' },
  'show-tree': { elsewhere: 'shows moments of the real clock: test/commands/families.test.ts' },
  'pause-queue': { elsewhere: 'shows moments of the real clock: test/commands/pauses.test.ts' },
  'resume-queue': { elsewhere: 'as pause-queue' },
  'create-schedule': { elsewhere: 'shows moments of the real clock: test/commands/schedules.test.ts' },
  'list-schedules': { elsewhere: 'as create-schedule' },
  'show-schedule': { elsewhere: 'as create-schedule' },
  'pause-schedule': { elsewhere: 'as create-schedule' },
  'resume-schedule': { elsewhere: 'as create-schedule' },
  'trigger-schedule': { elsewhere: 'as create-schedule' },
  'backfill-schedule': { elsewhere: 'as create-schedule' },
  'drop-schedule': { elsewhere: 'as create-schedule' },
  'sync-schedules': { elsewhere: 'as create-schedule' },
  cron: { reads: ['cron --enable', 'cron'] },
  'spawn-task': {
    writes: [
      'spawn-task charge -q orders -P order:=43 --max-attempts 3',
      'spawn-task charge -q orders --idempotency-key k1',
      'spawn-task charge -q orders --idempotency-key k1',
      'spawn-task charge -q order',
      'spawn-task charge -q orders -P amount:=1O0',
    ],
  },
  'spawn-tasks': { writes: ['spawn-tasks missing.ndjson', 'spawn-tasks - -q orders'] },
  'list-tasks': {
    reads: ['list-tasks', 'list-tasks -s failed', 'list-tasks -n chrage', 'list-tasks -l 2', 'list-tasks -q mial'],
  },
  'dump-task': { reads: ['dump-task $completed', 'dump-task $failed', 'dump-task $waiting', 'dump-task --run-id 1'] },
  'show-timeline': {
    reads: ['show-timeline $failed', 'show-timeline $waiting --limit 1', 'show-timeline $failed ticket.svg'],
  },
  'retry-task': {
    writes: [
      'retry-task $pending',
      'retry-task -n charge -q orders --dry-run',
      'retry-task -n charge -q orders',
      'retry-task $failed',
      'retry-task $failed $completed --yes',
      'retry-task 019ca000-0000-7000-8000-000000000000',
      'retry-task',
    ],
  },
  'cancel-task': {
    writes: [
      'cancel-task $waiting',
      'cancel-task $waiting',
      'cancel-task $completed',
      'cancel-task -n send-mail --dry-run',
      'cancel-task -n send-mail --yes',
    ],
  },
  'wake-task': {
    writes: [
      'wake-task $asleep',
      'wake-task $asleep',
      'wake-task $waiting',
      'wake-task $waiting --as-timeout',
      'wake-task $completed',
      'wake-task --all --dry-run',
      'wake-task --all --yes',
    ],
  },
  'emit-event': {
    writes: [
      'emit-event order.payd:42 -q orders',
      'emit-event order.paid:42 -q orders -P amount:=1999',
      'emit-event order.paid:42 -q orders',
    ],
  },
  'await-task': {
    reads: ['await-task $completed', 'await-task $failed', 'await-task $cancelled', 'await-task $pending --timeout 0'],
  },
  'fork-task': { writes: ['fork-task $failed --from-step reserve', 'fork-task $failed --from-step reserv'] },
  'export-task': { reads: ['export-task $pending'] },
  'import-task': { reads: ['import-task missing.json'] },
  why: {
    reads: [
      'why $completed',
      'why $failed',
      'why $waiting',
      'why $asleep',
      'why $running',
      'why $expired',
      'why $pending',
      'why $cancelled',
      'why -q mail',
      'why -n send-mail',
    ],
  },
  doctor: { reads: ['doctor'] },
  top: { elsewhere: 'draws a live screen: test/e2e/top.test.ts', reads: ['top'] },
  'queue-stats': { reads: ['queue-stats --since 2026-03-04', 'queue-stats --by task-name --since 2026-03-04'] },
  'list-workers': { reads: ['list-workers'] },
  'list-runs': { reads: ['list-runs', 'list-runs -s running'] },
  'list-waits': { reads: ['list-waits', 'list-waits -e order.paid:43', 'list-waits -e order.payd:42'] },
  'list-events': { reads: ['list-events'] },
  'list-checkpoints': { reads: ['list-checkpoints $completed', 'list-checkpoints $pending'] },
  'show-event': { reads: ['show-event order.paid:41', 'show-event order.paid:42', 'show-event order.payd:42'] },
  'show-checkpoint': { reads: ['show-checkpoint $completed capture', 'show-checkpoint $completed captur'] },
  'install-skill': { writes: ['install-skill', 'install-skill'] },
  completion: { reads: ['completion tcsh'] },
};
