import { expect } from 'vitest';
import type { ClaimedRun, Connection, Row, TestDatabase } from '../support/database.js';
import { addNote, readHistory, readTables, readTaskWaits } from './chaos/history.js';
import { check } from './checker/check.js';
import type { Violation } from './checker/invariants.js';
import { noFacts, type Facts } from './checker/types.js';

/** A short story on a queue `q`, told by hand: what a broken engine makes of it, the checker must name. */
export class Story {
  readonly facts: Facts = { ...noFacts(), settled: false };

  constructor(
    readonly db: TestDatabase,
    readonly queue = 'q',
  ) {}

  async spawn(name: string, options: Row = {}): Promise<string> {
    const { task_id: taskId, created } = await this.db.spawn(this.queue, name, {}, options);
    const key = options['idempotency_key'];
    const start = options['start_at'];
    this.facts.spawned.push({
      taskId,
      created,
      key: typeof key === 'string' ? key : undefined,
      startAt: typeof start === 'string' ? start : undefined,
    });
    return taskId;
  }

  async claim(worker: string, options: { qty?: number; timeout?: number } = {}): Promise<ClaimedRun> {
    const [run] = await this.db.claim(this.queue, { worker, ...options });
    if (run === undefined) throw new Error(`${worker} got nothing`);
    return run;
  }

  /** Calls a function of the engine; returns the SQLSTATE where it refuses. */
  async call(sql: string, values: unknown[] = [], on: Connection = this.db): Promise<string> {
    return on.query(`select absurd.${sql}`, values).then(
      () => 'done',
      (error: unknown) => String((error as { code?: string }).code),
    );
  }

  save(run: ClaimedRun, step: string, value: string, on?: Connection): Promise<string> {
    const values = [this.queue, run.task_id, step, JSON.stringify(value), run.run_id, 30];
    return this.call('set_task_checkpoint_state($1, $2, $3, $4, $5, $6)', values, on);
  }

  complete(run: ClaimedRun, on?: Connection): Promise<string> {
    return this.call(`complete_run($1, $2, '"done"')`, [this.queue, run.run_id], on);
  }

  fail(run: ClaimedRun, on?: Connection): Promise<string> {
    return this.call(`fail_run($1, $2, '{"message": "no"}')`, [this.queue, run.run_id], on);
  }

  awaitEvent(run: ClaimedRun, step: string, event: string, on?: Connection): Promise<string> {
    return this.call('await_event($1, $2, $3, $4, $5)', [this.queue, run.task_id, run.run_id, step, event], on);
  }

  emit(event: string, payload: string, on?: Connection): Promise<string> {
    return this.call('emit_event($1, $2, $3)', [this.queue, event, JSON.stringify(payload)], on);
  }

  /** Executes a claimed run as the SDK would: steps that are done are not run again. */
  async execute(run: ClaimedRun, exec: string, steps: string[]): Promise<void> {
    const { task_id: task, run_id: runId, attempt } = run;
    await addNote(this.db, { note: 'begin', exec, task, run: runId, attempt });
    const load = 'select checkpoint_name as name from absurd.get_task_checkpoint_states($1, $2, $3)';
    const done = (await this.db.query(load, [this.queue, task, runId])).rows.map((row) => row['name']);
    for (const step of steps.filter((name) => !done.includes(name))) {
      await addNote(this.db, { note: 'ran', exec, task, run: runId, step });
      await this.save(run, step, `${exec} ${step}`);
    }
  }

  /** Resolves once that backend waits for a lock. */
  async blocked(pid: number): Promise<void> {
    const asked = 'select wait_event_type as type from pg_stat_activity where pid = $1';
    await expect
      .poll(async () => (await this.db.query(asked, [pid])).rows[0]?.['type'], { timeout: 60_000, interval: 5 })
      .toBe('Lock');
  }

  /** Looks whether a call waits for a lock that an idle transaction holds; it must not. */
  async watchForBlock(holder: Connection, call: Promise<string>): Promise<void> {
    const asked = `select 1 from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid))`;
    let over = false;
    void call.then(() => (over = true));
    while (!over) {
      if ((await holder.query(asked)).rows.length === 0) continue;
      this.facts.seen.push({
        invariant: 'one-task-never-blocks-another',
        words: 'a claim waits for an idle transaction',
      });
      await holder.query('commit');
      await call;
    }
  }

  note(note: object): Promise<void> {
    return addNote(this.db, note);
  }

  async drained(worker: string): Promise<void> {
    await this.note({ note: 'drained', worker });
  }

  /** Claims and completes until nothing is left to do: whatever has not ended then never will. */
  async finish(): Promise<void> {
    for (let round = 0; round < 3; round += 1) {
      for (const run of await this.db.claim(this.queue, { worker: 'last', qty: 100 })) await this.complete(run);
      await this.db.advance('1 hour');
    }
    this.facts.settled = true;
  }

  async violations(): Promise<Violation[]> {
    this.facts.tables = await readTables(this.db, this.queue);
    this.facts.taskWaits = await readTaskWaits(this.db, this.queue);
    return check(await readHistory(this.db), this.facts);
  }
}
