/** Thresholds of the checks. Each is a flag of `doctor`: the key is the flag's name. */
export const thresholds = {
  window: { value: 300, unit: 'SECONDS', about: 'time span in which claims, failures and new runs are counted' },
  'ready-age': { value: 300, unit: 'SECONDS', about: 'age at which ready work without a claim is unclaimed' },
  'lease-grace': { value: 60, unit: 'SECONDS', about: 'age at which an expired lease should have been swept' },
  'hang-after': { value: 3600, unit: 'SECONDS', about: 'time without a sign of life after which a running task hangs' },
  'version-overlap': { value: 3600, unit: 'SECONDS', about: 'two versions on one queue for so long are a mistake' },
  'max-ready': { value: 5000, unit: 'RUNS', about: 'number of ready runs that is a backlog' },
  'failure-percent': { value: 50, unit: 'PERCENT', about: 'share of failed runs that is a storm' },
  'min-failures': { value: 20, unit: 'RUNS', about: 'number of failures in the window below which there is no storm' },
  'max-attempts': { value: 20, unit: 'ATTEMPTS', about: 'number of attempts without a limit that is too many' },
  'nap-rate': { value: 30, unit: 'SLEEPS', about: 'sleeps of a task per minute that are polling' },
  'checkpoint-megabytes': {
    value: 16,
    unit: 'MB',
    about: 'stored size of the checkpoints of a task that is too large',
  },
  'far-future': { value: 157_680_000, unit: 'SECONDS', about: 'distance of a start or wake-up that is a mistake' },
  'wait-age': { value: 86_400, unit: 'SECONDS', about: 'age at which a wait without a timeout is lost' },
  'pause-age': { value: 86_400, unit: 'SECONDS', about: 'a pause without an end that is so old was forgotten' },
  'cleanup-grace': { value: 172_800, unit: 'SECONDS', about: 'how far cleanup may be behind its policy' },
  'dead-percent': { value: 30, unit: 'PERCENT', about: 'share of dead rows that is bloat' },
  'min-dead': { value: 10_000, unit: 'ROWS', about: 'number of dead rows in a table below which they do not matter' },
  'transaction-age': { value: 600, unit: 'SECONDS', about: 'age at which an open transaction is a problem' },
  'idle-age': { value: 60, unit: 'SECONDS', about: 'age at which a session idle in a transaction is a problem' },
  'connection-percent': { value: 85, unit: 'PERCENT', about: 'share of the connections that is near the limit' },
} as const satisfies Record<string, { value: number; unit: string; about: string }>;

export type ThresholdName = keyof typeof thresholds;
export type Thresholds = Record<ThresholdName, number>;

export const thresholdNames = Object.keys(thresholds) as ThresholdName[];

export const defaultThresholds = Object.fromEntries(
  thresholdNames.map((name) => [name, thresholds[name].value]),
) as Thresholds;
