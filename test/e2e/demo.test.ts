import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli, startCli } from '../support/cli.js';

test('the demo runs from nothing to the dump of its task, and a second time on what is there', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-demo-'));
  try {
    const first = await runCli(['demo'], { cwd, timeoutMs: 60_000 });
    expect(first.stderr).toContain('$ absurdctl emit-event packed:');
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(
      /^Task ID: [0-9a-f-]{36}\nName: order\nQueue: demo\nState: completed\nAttempts: 2 of 3\n/,
    );
    expect(first.stdout).toContain(
      'Error: the card terminal did not answer\n\nCheckpoints of attempt 1\nreserve-stock\t',
    );

    const second = await runCli(['demo', '--json'], { cwd, timeoutMs: 60_000 });
    expect(second.code).toBe(0);
    expect(JSON.parse(second.stdout)).toMatchObject({ state: 'completed', queue_name: 'demo' });
    expect((await runCli(['list-queues'], { cwd })).stdout).toBe('default\ndemo\n');
  } finally {
    await runCli(['dev', '--stop'], { cwd });
  }
}, 120_000);

test('Ctrl-C ends a wait with 130, leaves the task alone and says how to go on', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-wait-'));
  try {
    await runCli(['dev', '--detach'], { cwd, timeoutMs: 60_000 });
    const waiting = await startCli(['spawn-task', 'job', '--wait'], { cwd });
    await waiting.waitFor(/waits for a worker/);
    waiting.kill('SIGINT');
    const { code, stderr } = await waiting.done;
    const id = /Spawned task (\S+)/.exec(stderr)?.[1] ?? 'none';
    expect(code).toBe(130);
    expect(stderr).toContain(`absurdctl await-task ${id} continues waiting`);
    expect((await runCli(['list-tasks', '-o', 'name'], { cwd })).stdout).toBe(`${id}\n`);
  } finally {
    await runCli(['dev', '--stop'], { cwd });
  }
}, 120_000);
