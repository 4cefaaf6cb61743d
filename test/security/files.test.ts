/** What is written to files and read from them: links, modes, and content by somebody hostile. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readIdentity, readRunning } from '../../src/lib/embedded/pointer.js';
import { failedTask } from '../commands/failed-task.js';
import { run } from '../support/command.js';
import { runCli } from '../support/cli.js';
import { afterEach, beforeEach, expect, test, vi, type TestDatabase } from '../support/database.js';

// Large files, and a server of its own to be started: under load either takes its time.
vi.setConfig({ testTimeout: 90_000 });

let cwd = '';
beforeEach(() => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'absurd-files-')));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const mode = (name: string): number => statSync(join(cwd, name)).mode & 0o777;

test('export-task: a link is not written through, and the file is its owner’s alone whatever was there', async ({
  db,
}) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const ours = join(cwd, 'precious');
  writeFileSync(ours, 'precious');
  symlinkSync(ours, join(cwd, 'link'));
  symlinkSync(join(cwd, 'nowhere'), join(cwd, 'dangling'));
  for (const name of ['link', 'dangling']) {
    expect((await run(['export-task', id, name], { ...db, cwd })).code).toBe(4);
    expect((await run(['export-task', id, name, '--force'], { ...db, cwd })).code).toBe(0);
    expect(lstatSync(join(cwd, name)).isFile()).toBe(true);
    expect(mode(name)).toBe(0o600);
  }
  expect(readFileSync(ours, 'utf8')).toBe('precious');
  expect(existsSync(join(cwd, 'nowhere'))).toBe(false);
  writeFileSync(join(cwd, 'open'), 'old');
  chmodSync(join(cwd, 'open'), 0o666);
  expect((await run(['export-task', id, 'open', '--force'], { ...db, cwd })).code).toBe(0);
  expect(mode('open')).toBe(0o600);
  mkdirSync(join(cwd, 'folder'));
  expect((await run(['export-task', id, 'folder'], { ...db, cwd })).code).toBe(4);
  expect((await run(['export-task', id, 'folder', '--force'], { ...db, cwd })).code).toBe(1);
  expect((await run(['export-task', id, '/dev/null', '--force'], { ...db, cwd })).code).toBe(0);
  expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
  expect(readdirSync(cwd).sort()).toEqual(['dangling', 'folder', 'link', 'open', 'precious']);
});

test('install-skill: a link in a repository is not followed', async () => {
  const skill = join(cwd, '.agents', 'skills', 'absurd', 'SKILL.md');
  mkdirSync(join(cwd, '.agents', 'skills', 'absurd'), { recursive: true });
  const ours = join(cwd, 'precious');
  writeFileSync(ours, 'precious');
  for (const target of [ours, join(cwd, 'nowhere')]) {
    rmSync(skill, { force: true });
    symlinkSync(target, skill);
    expect(await run(['install-skill'], { cwd })).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('is a link') as string,
    });
    expect((await run(['install-skill', '--force'], { cwd })).code).toBe(0);
    expect(lstatSync(skill).isFile()).toBe(true);
  }
  expect(readFileSync(ours, 'utf8')).toBe('precious');
  expect(existsSync(join(cwd, 'nowhere'))).toBe(false);
  rmSync(skill);
  // Opening a pipe that nobody writes to would wait for ever.
  expect(spawnSync('mkfifo', [skill]).status).toBe(0);
  for (const force of [[], ['--force']]) expect((await run(['install-skill', ...force], { cwd })).code).toBe(4);
});

interface Export {
  task: Record<string, unknown> & { runs: Record<string, unknown>[]; checkpoints: Record<string, unknown>[] };
}

/** Imports a changed export; the exit code, and what is said. */
async function importChanged(db: TestDatabase, text: string): Promise<{ code: number; said: string }> {
  writeFileSync(join(cwd, 'f.json'), text);
  const { code, stdout, stderr } = await run(['import-task', 'f.json', '--again'], { ...db, cwd });
  expect(stderr).not.toMatch(/\n\s+at /);
  return { code, said: stdout + stderr };
}

test('import-task: what a hostile file says is data, or refused', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const { stdout } = await run(['export-task', id], db);
  const change = (work: (document: Export) => void): string => {
    const document = JSON.parse(stdout) as Export;
    work(document);
    return JSON.stringify(document);
  };
  const inject = `'); drop schema absurd cascade; --"`;
  const loaded = await importChanged(
    db,
    change(({ task }) => {
      Object.assign(task, {
        queue_name: inject,
        task_name: inject,
        idempotency_key: inject,
        headers: { [inject]: inject },
      });
      for (const one of task.runs) Object.assign(one, { claimed_by: inject, wake_event: inject });
      for (const one of task.checkpoints) one.checkpoint_name = `${String(one.checkpoint_name)}${inject}`;
    }),
  );
  expect(loaded.code, loaded.said).toBe(0);
  const { rows } = await db.query('select queue_name from absurd.queues order by 1');
  expect(rows).toEqual([{ queue_name: inject }, { queue_name: 'mail' }]);

  const refusals = [
    change(({ task }) => Object.assign(task, { queue_name: 'q'.repeat(58) })),
    change(({ task }) => Object.assign(task, { queue_name: '' })),
    change(({ task }) => Object.assign(task, { task_name: 'nul\0' })),
    change(({ task }) => Object.assign(task, { attempts: 3_000_000_000 })),
    change(({ task }) => Object.assign(task, { enqueue_at: 'now() or 1=1' })),
    change(({ task }) => Object.assign(task, { state: `completed' or 'x` })),
    change(({ task }) => Object.assign(task, { runs: [...task.runs, ...task.runs] })),
    change(({ task }) => Object.assign(task, { max_attempts: 'many' })),
    change(({ task }) => Object.assign(task, { task_id: `${id}'` })),
    stdout.replace(/"params": /, `"params": ${'['.repeat(500_000)}${']'.repeat(500_000)}, "old": `),
    stdout.replace(/"params": /, `"params": {"a":"\\u0000"}, "old": `),
    stdout.replace(/"params": /, `"params": {"a":"\\ud800"}, "old": `),
    stdout.slice(0, -9),
    '\u0000',
    '',
    '{"__proto__": {"format": "absurd-task"}}',
    `{"format": "absurd-task", "format_version": 1, "task": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  ];
  for (const text of refusals) {
    const { code, said } = await importChanged(db, text);
    expect(code, `${text.slice(0, 200)}\n${said}`).toBe(2);
    expect(said.length).toBeLessThan(1000);
  }
  for (const [name, exit] of [
    ['.', 2],
    ['/proc/self/mem', 2],
    ['no\u001b[2Jwhere', 3],
  ] as const) {
    const { code, stderr } = await run(['import-task', name], { ...db, cwd });
    expect(code, stderr).toBe(exit);
    expect(stderr).not.toContain('\u001b');
  }
  expect((await db.query('select from absurd.t_mail')).rowCount).toBe(1);
});

test('import-task and dump-task: a payload of many megabytes, and one as deep as the server takes', async ({ db }) => {
  await db.queue('mail');
  const id = await failedTask(db, 'mail');
  const { stdout } = await run(['export-task', id], db);
  const deep = `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`;
  const large = JSON.stringify({ text: '\n"\\'.repeat(1_000_000), deep: '@' }).replace('"@"', deep);
  writeFileSync(join(cwd, 'f.json'), stdout.replace(/"params": /, `"params": ${large}, "old": `));
  const loaded = await run(['import-task', 'f.json', '--json'], { ...db, cwd });
  expect(loaded.code, loaded.stderr).toBe(0);
  const { task_id } = loaded.json<{ task_id: string }>();
  for (const extra of [
    ['--redact', 'params.deep.**.b'],
    ['--redact', '**.text'],
  ]) {
    const { code, stdout: dump, stderr } = await run(['dump-task', task_id, ...extra], { ...db, width: 80 });
    expect(code, stderr).toBe(0);
    expect(dump.includes('[redacted]')).toBe(extra[1] === '**.text');
  }
});

test('a .absurd folder that came with a repository is believed nothing that could hurt', () => {
  const folder = join(cwd, '.absurd');
  mkdirSync(folder);
  const good = { id: '0123456789abcdef', password: 'p', files: 'postgres' };
  const identity = (change: object): unknown => {
    writeFileSync(join(folder, 'server.json'), JSON.stringify({ ...good, ...change }), { mode: 0o600 });
    return readIdentity(cwd);
  };
  expect(identity({})).toEqual(good);
  expect(identity({ files: `/var/lib/absurdctl/${good.id}` })).toMatchObject({ id: good.id });
  for (const files of [
    '..',
    '../..',
    '.',
    '',
    '/',
    '/home',
    `/x/../${good.id}/..`,
    `/x/../${good.id}`,
    'postgres/../..',
  ]) {
    expect(identity({ files }), files).toBeUndefined();
  }
  expect(identity({ id: 'home', files: '/home' })).toBeUndefined();
  expect(identity({ id: '', files: '/' })).toBeUndefined();

  const there = { folder: cwd, pid: 1, port: 5, url: 'postgresql://postgres:p@127.0.0.1:5/absurd' };
  const running = (change: object): unknown => {
    writeFileSync(join(folder, 'running.json'), JSON.stringify({ ...there, ...change }), { mode: 0o600 });
    return readRunning(cwd);
  };
  expect(running({})).toMatchObject(there);
  const urls = [
    'postgresql://evil.example:5/absurd',
    'postgresql://127.0.0.1:6/absurd',
    'nonsense',
    'http://127.0.0.1:5/',
  ];
  for (const url of urls) expect(running({ url }), url).toBeUndefined();
  expect(running({ folder: '/elsewhere' })).toBeUndefined();
});

test('a link in place of the server’s folders is not followed', async () => {
  const elsewhere = join(cwd, 'elsewhere');
  mkdirSync(join(elsewhere, 'data'), { recursive: true });
  writeFileSync(join(elsewhere, 'data', 'precious'), 'precious');
  chmodSync(elsewhere, 0o755);
  const before = statSync(elsewhere);
  const project = join(cwd, 'project');
  for (const link of ['.absurd', join('.absurd', 'postgres')]) {
    rmSync(project, { recursive: true, force: true });
    mkdirSync(project);
    if (link !== '.absurd') mkdirSync(join(project, '.absurd'));
    symlinkSync(elsewhere, join(project, link));
    if (link !== '.absurd') {
      const own = { id: '0123456789abcdef', password: 'p', files: 'postgres' };
      writeFileSync(join(project, '.absurd', 'server.json'), JSON.stringify(own), { mode: 0o600 });
    }
    const { code, stderr } = await runCli(['dev'], { cwd: project, timeoutMs: 40_000 });
    expect(code, stderr).toBe(5);
    expect(stderr).toContain('is a link');
  }
  expect(readdirSync(elsewhere)).toEqual(['data']);
  expect(readFileSync(join(elsewhere, 'data', 'precious'), 'utf8')).toBe('precious');
  expect(statSync(elsewhere)).toMatchObject({ mode: before.mode, uid: before.uid });
});
