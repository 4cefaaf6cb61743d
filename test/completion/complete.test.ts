import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandSpecs } from '../../src/main.js';
import { hostileNames } from '../commands/names.js';
import { bin, cleanEnv, runCli } from '../support/cli.js';
import { run, type RunOptions } from '../support/command.js';
import { describe, ensureBuilt, expect, onTestFinished, test } from '../support/database.js';

/** What zsh would be offered for these words; the last is the one at the cursor. */
async function offers(words: string[], options: RunOptions = {}): Promise<string[]> {
  const { code, stdout, stderr } = await run(['__complete', 'zsh', 'absurdctl', ...words], options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [kind, ...lines] = stdout.trimEnd().split('\n');
  return kind === 'values' ? lines.map((line) => line.split('\t')[0] ?? '') : [`<${kind ?? ''}>`];
}

/** What bash would put in place of the last word. */
async function bash(line: string, replaced: string, options: RunOptions = {}): Promise<string[]> {
  const { stdout } = await run(['__complete', 'bash', line, replaced], options);
  return stdout.trimEnd().split('\n').slice(1);
}

describe('what the commands say of themselves', () => {
  test('commands, flags and values', async () => {
    const specs = await commandSpecs();
    expect(await offers([''])).toEqual([...specs.map(({ id }) => id), 'help']);
    expect(await offers(['help', ''])).toEqual(specs.map(({ id }) => id));
    expect(await offers(['list-tasks', '--'])).toEqual(
      expect.arrayContaining(['--queue', '--status', '--watch', '--json', '--database', '--help']),
    );
    expect(await offers(['list-tasks', '-o', ''])).toEqual(['table', 'json', 'ndjson', 'csv', 'name']);
    expect(await offers(['queue-stats', '-o', ''])).toContain('openmetrics');
    expect(await offers(['create-queue', 'x', '--storage-mode', ''])).toEqual(['unpartitioned', 'partitioned']);
    expect(await offers(['list-tasks', '-s', 'failed,'])).toContain('failed,cancelled');
    expect(await offers(['completion', ''])).toEqual(['bash', 'zsh', 'fish']);
    expect(await offers(['doctor', '--only', ''])).toContain('expired-leases');
  });

  test('a flag that was given is not offered again, one that may repeat is', async () => {
    const flags = await offers(['spawn-task', 'x', '-q', 'default', '--params={}', '-P', 'a=1', '--']);
    expect(flags).not.toContain('--queue');
    expect(flags).not.toContain('--params');
    expect(flags).toContain('--param');
  });

  test('before the command: flags of the connection', async () => {
    expect(await offers(['-'])).toEqual(expect.arrayContaining(['--database', '--host', '--version', '--help']));
    expect(await offers(['-'])).not.toContain('--queue');
    expect(await offers(['-d', 'x', '-o', ''])).toContain('json');
    expect(await offers(['-d', 'x', 'list-ta'])).toContain('list-tasks');
  });

  test('files and folders are left to the shell', async () => {
    expect(await offers(['import-task', ''])).toEqual(['<files>']);
    expect(await offers(['work', 'one.ts', ''])).toEqual(['<files>']);
    expect(await offers(['install-skill', ''])).toEqual(['<folders>']);
  });

  test('nothing for an unknown command, and nothing after the last argument', async () => {
    expect(await offers(['lst-tasks', ''])).toEqual([]);
    expect(await offers(['drop-queue', 'q', ''])).toEqual([]);
  });

  test('every argument says what may stand there', async () => {
    const open = (await commandSpecs()).flatMap(({ id, args }) =>
      args.filter(({ lookUp, options }) => !lookUp && !options).map(({ name }) => `${id} ${name}`),
    );
    // A name that is new, a number of days, a role, which is no business of the queues: nothing to offer.
    expect(open.sort()).toEqual(['cleanup days', 'create-queue name', 'grants role']);
  });
});

describe('what the database says', () => {
  test('queues, names of tasks and events, ids by state, steps', async ({ db }) => {
    await db.queue('orders');
    await db.queue('mail');
    const failed = await db.spawn('orders', 'charge', {}, { max_attempts: 1 });
    await db.spawn('mail', 'send-mail');
    const [run] = await db.claim('orders');
    await db.query(`select absurd.set_task_checkpoint_state('orders', $1, 'first step', '1', $2, 60)`, [
      run?.task_id,
      run?.run_id,
    ]);
    await db.query(`select absurd.fail_run('orders', $1, '{"message":"no"}')`, [run?.run_id]);
    const open = await db.spawn('orders', 'ship');
    await db.query(`select absurd.emit_event('orders', 'paid', '1')`);
    const at = { url: db.url };

    expect(await offers(['list-tasks', '-q', ''], at)).toEqual(['mail', 'orders']);
    expect(await offers(['cleanup', ''], at)).toEqual(['mail', 'orders']);
    expect(await offers(['spawn-task', ''], at)).toEqual(['charge', 'send-mail', 'ship']);
    expect(await offers(['spawn-task', '-q', 'mail', ''], at)).toEqual(['send-mail']);
    expect(await offers(['emit-event', '-q', 'orders', ''], at)).toEqual(['paid']);
    expect(await offers(['dump-task', ''], at)).toHaveLength(3);
    expect(await offers(['dump-task', failed.task_id.slice(0, 13)], at)).toContain(failed.task_id);
    expect(await offers(['dump-task', 'xyz'], at)).toEqual([]);
    expect(await offers(['retry-task', ''], at)).toEqual([failed.task_id]);
    expect(await offers(['retry-task', failed.task_id, ''], at)).toEqual([]);
    expect(await offers(['cancel-task', '-q', 'orders', ''], at)).toEqual([open.task_id]);
    expect(await offers(['show-checkpoint', failed.task_id, ''], at)).toEqual(['first step']);
    expect(await offers(['fork-task', failed.task_id, '--from-step', ''], at)).toEqual(['first step']);
  });

  test('the connection is the one on the line, or in the environment', async ({ db }) => {
    await db.queue('here');
    expect(await offers(['-d', db.url, 'list-tasks', '-q', ''])).toEqual(['here']);
    expect(await offers(['list-tasks', '--database', '"$MINE"', '-q', ''], { env: { MINE: db.url } })).toEqual([
      'here',
    ]);
    // What only the shell knows is not guessed at: the environment's database would be the wrong one.
    expect(await offers(['list-tasks', '-d', '$(cat address)', '-q', ''], { url: db.url })).toEqual([]);
  });

  test('names that cannot be typed are left out; the others reach bash as one word', async ({ db }) => {
    for (const name of hostileNames) await db.queue(name);
    const url = db.url;
    const offered = await bash('absurdctl drop-queue ', '', { url });
    // bash itself reads each back.
    const read = offered.map((word) => execFileSync('bash', ['-c', `printf %s ${word}`], { encoding: 'utf8' }));
    const typeable = hostileNames.filter((name) => name.trim() !== '' && !name.includes('\t') && name !== '-dash');
    expect(read.sort()).toEqual([...typeable].sort());
    expect(await bash("absurdctl drop-queue 'it", 'it', { url })).toEqual([`it'\\''s'`]);
    expect(await bash('absurdctl drop-queue "say', 'say', { url })).toEqual([`say \\"x\\""`]);
    expect(await bash('absurdctl list-tasks --queue=it', 'it', { url })).toEqual(["it\\'s"]);
    // After --, a dash begins no flag.
    expect(await bash('absurdctl drop-queue -- -', '-', { url })).toEqual(['-dash']);
    expect(await bash('absurdctl list-tasks --queue=-', '-', { url })).toEqual(['-dash']);
  });

  test('after a colon bash gets only the rest', async ({ db }) => {
    await db.queue('a:b c');
    await db.queue('a:d');
    const url = db.url;
    expect(await bash('absurdctl drop-queue a:', '', { url })).toEqual(['b\\ c', 'd']);
    expect(await bash('absurdctl drop-queue a', 'a', { url })).toEqual(['a:b\\ c', 'a:d']);
  });
});

describe('silence', () => {
  test('no server, no schema, a wrong line: nothing is said', async ({ emptyDatabase }) => {
    expect(await offers(['list-tasks', '-q', ''], { url: 'postgresql://127.0.0.1:1/x' })).toEqual(['<>']);
    expect(await offers(['list-tasks', '-q', ''], { url: emptyDatabase.url })).toEqual(['<>']);
    expect(await offers(['list-tasks', '-q', ''], { url: 'postgresql://%zz' })).toEqual(['<>']);
    expect((await run(['__complete'])).code).toBe(0);
  });

  test('a server that does not answer is given up', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const line = `absurdctl -h 127.0.0.1 -p ${port} list-tasks -q `;
    const { code, stdout, stderr } = await runCli(['__complete', 'bash', line, '']);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('no embedded server is started for it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'absurdctl-complete-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    expect(await offers(['-d', 'embedded:', 'list-tasks', '-q', ''], { cwd: folder })).toEqual(['<>']);
    expect(existsSync(join(folder, '.absurd'))).toBe(false);
  });
});

test("bash's completion function, as bash calls it", async ({ db }) => {
  await ensureBuilt();
  await db.queue('two words');
  const script = `
    absurdctl() { "${process.execPath}" "${bin}" "$@"; }
    source <(absurdctl completion bash)
    COMP_LINE='absurdctl list-tasks -q tw and more' COMP_POINT=26 _absurdctl absurdctl tw -q
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const answer = execFileSync('bash', ['-c', script], {
    encoding: 'utf8',
    env: cleanEnv({ ABSURD_DATABASE_URL: db.url }),
  });
  expect(answer).toBe('two\\ words\n');
});

test('completion is a command: three scripts, and an error for another shell', async () => {
  for (const shell of ['bash', 'zsh', 'fish'])
    expect((await run(['completion', shell])).stdout).toContain(`__complete ${shell}`);
  const { code, stderr } = await run(['completion', 'tcsh']);
  expect(code).toBe(2);
  expect(stderr).toContain('bash, zsh, fish');
});
