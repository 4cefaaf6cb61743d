/** What must hold whatever happens, by name. `docs/guarantees.md` says the same to users. */
export const invariants = {
  'no-task-lost': 'an acknowledged spawn ends, or can be claimed within a lease and a poll',
  'one-unfinished-run': 'a task has one unfinished run, and none once it has ended',
  'one-live-lease': 'a run is leased to one worker, and nobody takes it before its lease ends',
  'superseded-run-is-fenced': 'nothing commits from a run that was superseded',
  'checkpoint-is-final': 'a committed checkpoint never changes',
  'checkpoint-is-seen': 'an execution sees what was committed before it began',
  'attempts-rise-by-one': 'attempts rise by one for each failure and never exceed the limit',
  'terminal-is-final': 'what has ended stays as it ended; only a retry reopens a failed task',
  'rows-agree': 'the rows of a task and of its last run tell the same, at every commit',
  'no-wakeup-lost': 'nobody sleeps on for an event that was emitted',
  'first-emit-wins': 'the first emission of an event is the one that everybody receives',
  'one-task-a-key': 'racing spawns with one key make one task',
  'rollback-leaves-nothing': 'a spawn that was rolled back leaves no task',
  'sleep-is-not-cut-short': 'nothing is claimed before its time by the clock of the database',
  'paused-queue-hands-out-nothing': 'no run is claimed from a queue that is paused',
  'delay-is-not-cut-short': 'a task with a start is not claimed before it',
  'time-fires-once': 'each time of a schedule makes one task',
  'no-parent-waits-for-ended-child': 'the end of the tasks that a run waits for wakes it',
  'one-task-never-breaks-another': "whatever one task's data is, claims and cleanup go on",
  'one-task-never-blocks-another': 'a claim waits for no locked row',
  'no-deadlock': 'no order of calls deadlocks',
  'every-run-can-be-reclaimed': 'every unfinished run is due at some time, leased to some time, or waits for an event',
  'cleanup-takes-only-what-is-finished': 'cleanup takes whole tasks that ended, and events that were emitted',
  'drained-worker-leaves-nothing-leased': 'a worker that closed in good order holds no lease',
  'nothing-vanishes': 'the tables hold what was committed to them',
  'no-unexpected-error': 'nobody meets an error that no fault explains',
} as const;

export type Invariant = keyof typeof invariants;

export interface Violation {
  invariant: Invariant;
  /** The facts: which task, which run, what was seen. */
  words: string;
  /** Where in the history; undefined for what shows at its end only. */
  seq?: number;
}
