/** What a check measures by. Every one is a flag of `doctor`: the key is the flag's name. */
export const thresholds = {
  window: { value: 300, unit: 'SECONDS', about: 'time over which claims, failures and new runs are counted' },
  'ready-age': { value: 300, unit: 'SECONDS', about: 'work that is ready for so long without any claim is unclaimed' },
  'lease-grace': { value: 60, unit: 'SECONDS', about: 'a lease that ended so long ago should have been swept' },
  'hang-after': { value: 3600, unit: 'SECONDS', about: 'a running task without a sign of life for so long hangs' },
  'version-overlap': { value: 3600, unit: 'SECONDS', about: 'two versions on one queue for so long are a mistake' },
  'max-ready': { value: 5000, unit: 'RUNS', about: 'more ready runs than this are a backlog' },
  'failure-percent': { value: 50, unit: 'PERCENT', about: 'such a share of failed runs is a storm' },
  'min-failures': { value: 20, unit: 'RUNS', about: 'fewer failures in the window are no storm' },
  'max-attempts': { value: 20, unit: 'ATTEMPTS', about: 'so many attempts without a limit are too many' },
  'nap-rate': { value: 30, unit: 'SLEEPS', about: 'more sleeps of one task in a minute are polling' },
  'checkpoint-megabytes': { value: 16, unit: 'MB', about: 'more checkpoints than this are too large for one task' },
  'far-future': { value: 157_680_000, unit: 'SECONDS', about: 'a start or wake-up so far ahead is a mistake' },
  'wait-age': { value: 86_400, unit: 'SECONDS', about: 'a wait without a timeout that is so old counts as lost' },
  'pause-age': { value: 86_400, unit: 'SECONDS', about: 'a pause without an end that is so old was forgotten' },
  'cleanup-grace': { value: 172_800, unit: 'SECONDS', about: 'how far cleanup may lie behind its policy' },
  'dead-percent': { value: 30, unit: 'PERCENT', about: 'such a share of dead rows is bloat' },
  'min-dead': { value: 10_000, unit: 'ROWS', about: 'fewer dead rows in a table do not matter' },
  'transaction-age': { value: 600, unit: 'SECONDS', about: 'a transaction open for so long hurts' },
  'idle-age': { value: 60, unit: 'SECONDS', about: 'a session idle in a transaction for so long hurts' },
  'connection-percent': { value: 85, unit: 'PERCENT', about: 'such a share of the connections is near the limit' },
} as const satisfies Record<string, { value: number; unit: string; about: string }>;

export type ThresholdName = keyof typeof thresholds;
export type Thresholds = Record<ThresholdName, number>;

export const thresholdNames = Object.keys(thresholds) as ThresholdName[];

export const defaultThresholds = Object.fromEntries(
  thresholdNames.map((name) => [name, thresholds[name].value]),
) as Thresholds;
