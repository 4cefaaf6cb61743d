import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { WorkerPlan } from './plan.js';

const program = fileURLToPath(new URL('../programs/worker.mjs', import.meta.url));

/** An error that a worker met in a claim, or in storing the end of a run. */
export interface WorkerError {
  code?: string;
  message: string;
}

/** A worker in a process of its own. */
export class WorkerProcess {
  readonly errors: WorkerError[] = [];
  private readonly said = new Set<string>();
  private stderr = '';
  private readonly child: ChildProcess;
  readonly exited: Promise<void>;
  private readonly ready: Promise<void>;
  private isReady: () => void = () => undefined;
  private killed = false;
  private name = '';

  constructor(
    readonly id: string,
    readonly plan: WorkerPlan,
    addresses: { worker: string; history: string; queue: string },
  ) {
    const env = {
      ...process.env,
      WORKER_URL: addresses.worker,
      HISTORY_URL: addresses.history,
      WORKER_QUEUE: addresses.queue,
      WORKER_OPTIONS: JSON.stringify({ ...plan.options, closeSeconds: plan.closeSeconds }),
    };
    this.child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = this.child.stdout;
    if (output) createInterface({ input: output }).on('line', (line) => this.heard(line));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ready = new Promise((resolve) => (this.isReady = resolve));
    this.exited = new Promise((resolve) => this.child.once('close', () => resolve()));
    // It must not outlive a run that is interrupted.
    const reap = (): boolean => this.child.kill('SIGKILL');
    process.once('exit', reap);
    void this.exited.then(() => process.off('exit', reap));
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Whose leases its are. The program names it nothing: so it finds claims again whose answer was lost. */
  get workerId(): string {
    return this.name;
  }

  /** Whether it closed in good order and said so. */
  get drained(): boolean {
    return this.said.has('drained');
  }

  /** Why it ended, where nobody asked it to and no overrun lease explains it. */
  get crash(): string | undefined {
    if (this.alive || this.killed || this.said.has('fatal') || this.drained) return undefined;
    return `worker ${this.id} ended with ${String(this.child.exitCode ?? this.child.signalCode)}: ${this.stderr}`;
  }

  private heard(line: string): void {
    if (line.startsWith('error ')) this.errors.push(JSON.parse(line.slice(6)) as WorkerError);
    else this.said.add(line);
    if (line.startsWith('worker ')) this.name = line.slice('worker '.length);
    if (line === 'ready') this.isReady();
  }

  async kill(): Promise<void> {
    this.killed = true;
    this.child.kill('SIGKILL');
    await this.exited;
  }

  stop(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** Asks it to close in good order; resolves when it has ended. */
  async drain(): Promise<void> {
    await Promise.race([this.ready, this.exited]);
    this.child.kill('SIGTERM');
    await this.exited;
  }
}
