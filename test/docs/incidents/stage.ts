import type { ClaimedRun, Connection, TestDatabase } from '../../support/database.js';

export interface Incident {
  /** What an operator sees first: a heading of docs/incidents.md. */
  title: string;
  /** What is typed, without `absurdctl`; `$name` is one of the names that `stage` returns. */
  command: string;
  /** Must be in the answer. */
  says: RegExp;
  /** Advice of the answer that is typed afterwards and must work. */
  types?: string[];
  /** Makes the situation in the past of `clock`. Returns names for `command` and `types`. */
  stage(db: TestDatabase, second: Connection): Promise<Record<string, string>>;
  /** Leaves the clock as it was staged. */
  stopped?: boolean;
  /** Ends what `stage` left open. */
  after?(second: Connection, names: Record<string, string>): Promise<unknown>;
}

/** The moment of the look, a whole second; set for each incident. */
export const clock = { at: 0 };

export function startClock(): void {
  clock.at = Math.floor(Date.now() / 1000) * 1000;
}

/** Sets the clock of the database so many seconds before the look. */
export const before = (db: TestDatabase, seconds: number): Promise<void> =>
  db.freeze(new Date(clock.at - seconds * 1000));

export const minute = 60;
export const hour = 3600;

/** Claims one run and returns it; raises where there is none. */
export async function claimOne(db: TestDatabase, queue: string, worker: string, timeout = 120): Promise<ClaimedRun> {
  const [run] = await db.claim(queue, { worker, timeout });
  if (!run) throw new Error(`nothing to claim from ${queue}`);
  return run;
}

export const save = (db: TestDatabase, queue: string, run: ClaimedRun, step: string, value: unknown = 1) =>
  db.query(`select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)`, [
    queue,
    run.task_id,
    step,
    JSON.stringify(value),
    run.run_id,
  ]);

export const fail = (db: TestDatabase, queue: string, run: ClaimedRun, name: string, message: string) =>
  db.query(`select absurd.fail_run($1, $2, $3)`, [queue, run.run_id, JSON.stringify({ name, message })]);

export const complete = (db: TestDatabase, queue: string, run: ClaimedRun) =>
  db.query(`select absurd.complete_run($1, $2, '{}')`, [queue, run.run_id]);

export const awaitEvent = (db: TestDatabase, queue: string, run: ClaimedRun, step: string, event: string) =>
  db.query(`select absurd.await_event($1, $2, $3, $4, $5)`, [queue, run.task_id, run.run_id, step, event]);
