import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, ensureBuilt, expect, test } from '../support/database.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);
const run = promisify(execFile);
const bin = (name: string): string => join(root, 'node_modules', '.bin', name);

beforeAll(ensureBuilt);

describe('the package as others see it', () => {
  test('publint finds nothing to say', async () => {
    const { stdout } = await run(bin('publint'), ['--strict', root], { cwd: root });
    expect(stdout).toContain('All good!');
  });

  test('its types resolve for every kind of module (are the types wrong?)', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'absurd-pack-'));
    try {
      const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
      const packed = JSON.parse(
        execFileSync('npm', pack, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      ) as { filename: string }[];
      const { stdout } = await run(
        bin('attw'),
        [join(folder, packed[0]?.filename ?? ''), '--format', 'ascii', '--exclude-entrypoints', './sql/absurd.sql'],
        { cwd: folder },
      );
      expect(stdout).toContain('No problems found');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('importing it loads neither oclif nor a terminal library', () => {
    const script = `
      const Module = require('node:module');
      const loaded = [];
      const load = Module._load;
      Module._load = function (name) { loaded.push(name); return load.apply(this, arguments); };
      require(${JSON.stringify(join(root, 'dist/sdk/index.cjs'))});
      console.log(loaded.filter((name) => !name.startsWith('.') && !name.startsWith('node:')).join(' '));`;
    const loaded = execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(loaded).toMatch(/\bpg\b/);
    expect(loaded).not.toMatch(/oclif|chalk|cli-table|inquirer/);
    for (const file of ['index.js', 'index.cjs']) {
      expect(readFileSync(join(root, 'dist/sdk', file), 'utf8')).not.toMatch(/oclif|chalk|cli-table|inquirer/);
    }
  });
});

describe('ESM and CommonJS', () => {
  test('export the same, and instanceof holds across them', async () => {
    const esm = (await import(join(root, 'dist/sdk/index.js'))) as typeof import('../../src/sdk/index.js');
    const cjs = require(join(root, 'dist/sdk/index.cjs')) as typeof import('../../src/sdk/index.js');
    expect(Object.keys(esm).sort()).toEqual([
      'Absurd',
      'CancelledTask',
      'ChildFailedError',
      'FailedTask',
      'SuspendTask',
      'TaskContext',
      'TimeoutError',
    ]);
    expect(Object.keys(cjs).sort()).toEqual(Object.keys(esm).sort());
    expect(esm.TimeoutError).not.toBe(cjs.TimeoutError);
    const db = { query: async () => ({ rows: [] }) };
    for (const [one, two] of [
      [esm, cjs],
      [cjs, esm],
    ] as const) {
      expect(new one.TimeoutError('x') instanceof two.TimeoutError).toBe(true);
      expect(new one.SuspendTask() instanceof two.SuspendTask).toBe(true);
      expect(new one.CancelledTask() instanceof two.CancelledTask).toBe(true);
      expect(new one.FailedTask() instanceof two.FailedTask).toBe(true);
      expect(new one.Absurd({ db }) instanceof two.Absurd).toBe(true);
      expect(new one.TimeoutError('x') instanceof Error).toBe(true);
      expect(new one.TimeoutError('x') instanceof two.FailedTask).toBe(false);
      expect(new Error('x') instanceof two.TimeoutError).toBe(false);
      class Own extends two.TimeoutError {}
      expect(new Own('x') instanceof one.TimeoutError).toBe(true);
      expect(new one.TimeoutError('x') instanceof Own).toBe(false);
    }
  });
});

describe('the types', () => {
  const strict = [
    '--noEmit',
    '--strict',
    '--target',
    'es2023',
    '--module',
    'nodenext',
    '--moduleResolution',
    'nodenext',
    '--ignoreConfig',
  ];

  /**
   * Compiles programs in a project that has this package, @types/node and what is named; returns the compiler's words. Each
   * call checks the libraries again, so programs that need the same packages go together.
   */
  async function compile(programs: Record<string, string>, packages: string[]): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'absurd-types-'));
    try {
      mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
      symlinkSync(root, join(folder, 'node_modules', 'absurdctl'));
      for (const name of ['@types/node', 'undici-types', ...packages]) {
        symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
      }
      for (const [file, text] of Object.entries(programs)) writeFileSync(join(folder, file), text);
      await run(bin('tsc'), [...strict, '--types', 'node', ...Object.keys(programs)], { cwd: folder });
      return '';
    } catch (error) {
      return (error as { stdout: string }).stdout;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  const importLine = `import { Absurd, TimeoutError, type ClaimedTask, type SpawnResult, type StepHandle, type TaskHandler } from 'absurdctl';`;
  const program = `
    ${importLine}
    const pool = { query: async (text: string, values?: unknown[]) => ({ rows: [] as unknown[], rowCount: 0 }), end: async () => {} };
    const app = new Absurd({ db: pool, hooks: { wrapTaskExecution: async (ctx, execute) => execute() } });
    interface Order { id: number }
    app.registerTask<Order, string>({ name: 'typed' }, async (params, ctx) => {
      const handle: StepHandle<number> = await ctx.beginStep<number>('n');
      const n: number = handle.done ? handle.state : await ctx.completeStep(handle, 1);
      const s: string = await ctx.step('s', async () => String(n + params.id));
      ctx.signal.throwIfAborted();
      return s;
    });
    app.registerTask({ name: 'loose' }, async (params, ctx) => params.anything.goes);
    const handler: TaskHandler<Order, void> = async () => {};
    app.registerTask({ name: 'handler' }, handler);
    const result: SpawnResult = await app.spawn<Order>('typed', { id: 1 });
    const snapshot = await app.awaitTaskResult(result.taskID, { timeout: 1 });
    if (snapshot.state === 'completed') console.log(snapshot.result);
    else if (snapshot.state === 'failed') console.log(snapshot.failure);
    const claimed: ClaimedTask[] = await app.claimTasks();
    const worker = await app.startWorker({ onError: (error) => console.error(error.message) });
    await worker.close({ timeout: 5 });
    try { await app.close(); } catch (error) { if (error instanceof TimeoutError) console.log(error.message); }
    // @ts-expect-error an option that does not exist
    await app.spawn('typed', {}, { maxAttempt: 1 });
    export {};`;

  test('stand alone: a program compiles without the types of pg, library checks included', async () => {
    const body = program.replace(importLine, '').replace('export {};', '');
    const required = `async function main() {${body}}\n${importLine}\nvoid main();`;
    expect(await compile({ 'program.mts': program, 'program.cts': required }, [])).toBe('');
  });

  test('accept the driver’s pool, client and checked-out client, a client of the other build, and programs typed for absurd-sdk', async () => {
    const driver = `
      import pg from 'pg';
      import { Absurd, type Queryable } from 'absurdctl';
      import type { Absurd as Required } from 'absurdctl' with { 'resolution-mode': 'require' };
      const pool = new pg.Pool();
      const app = new Absurd({ db: pool });
      new Absurd(pool);
      const connection = await pool.connect();
      const bound: Absurd = app.bindToConnection(connection, true);
      app.bindToConnection(new pg.Client());
      const queryables: Queryable[] = [pool, connection, new pg.Client()];
      const same: Required = app;
      export {};`;
    const changed = `
      import pg from 'pg';
      import type * as Theirs from 'absurd-sdk';
      import type * as Ours from 'absurdctl';
      declare const options: Theirs.AbsurdOptions;
      const a: Ours.AbsurdOptions = options as Omit<Theirs.AbsurdOptions, 'hooks'>;
      declare const spawn: Theirs.SpawnOptions;
      const b: Ours.SpawnOptions = spawn;
      declare const worker: Theirs.WorkerOptions;
      const c: Ours.WorkerOptions = worker;
      declare const snapshot: Ours.TaskResultSnapshot;
      const d: Theirs.TaskResultSnapshot = snapshot;
      declare const claimed: Ours.ClaimedTask;
      const e: Theirs.ClaimedTask = claimed;
      declare const ours: Ours.Absurd;
      const f: { [K in Exclude<keyof Theirs.Absurd, 'bindToConnection' | 'registerTask'>]: unknown } = ours;
      declare const context: Ours.TaskContext;
      const g: { [K in keyof Theirs.TaskContext]: unknown } = context;
      const h: Theirs.QueuePolicyOptions & Theirs.CreateQueueOptions & Theirs.RetryTaskOptions = {} as Ours.QueuePolicyOptions & Ours.CreateQueueOptions & Ours.RetryTaskOptions;
      const i: Ours.StepHandle<number> = {} as Theirs.StepHandle<number>;
      export async function balance(con: Ours.Queryable): Promise<number> {
        const { rows, rowCount } = await con.query<{ amount: number }>('select amount from accounts', []);
        const loose = await con.query('select amount from accounts');
        return (rowCount ?? 0) + rows[0].amount + loose.rows[0].amount;
      }
      export {};`;
    const packages = ['@types/pg', 'pg-types', 'pg-protocol', 'pg', 'absurd-sdk'];
    expect(await compile({ 'driver.mts': driver, 'changed.mts': changed }, packages)).toBe('');
  });
});
