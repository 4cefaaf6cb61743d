import { runCli } from '../support/cli.js';
import { expect, test } from '../support/database.js';
import { start } from './support.js';

test('why answers in sentence, evidence and commands; as JSON with a stable code', async ({ db }) => {
  await db.freeze(start);
  const queue = await db.queue('my queue');
  const task = await db.spawn(queue, 'evil\u001b[2Jname');
  await db.advance('10 minutes');

  const text = await runCli(['why', task.task_id, '-d', db.url]);
  const json = await runCli(['why', '-n', 'evil\u001b[2Jname', '--json', '-d', db.url]);
  const code = await runCli(['why', '-q', queue, '-o', 'name', '-d', db.url]);

  expect(text).toMatchObject({ code: 0, stderr: '' });
  expect(text.stdout).toMatch(
    /^It waits for a worker, .*"my queue", as far as its rows show\.\n {2}task \S+, "evil\\x1b\[2Jname" in queue "my queue"\n {2}the clock is stopped at .*\n\n {2}known .*→ start a worker on queue "my queue"\n/s,
  );
  expect(text.stdout).toMatch(/→ absurdctl list-workers --database 'postgresql:\/\/\S+' --queue 'my queue'\n/);
  expect(text.stdout).not.toContain(new URL(db.url).password);
  expect(JSON.parse(json.stdout)).toMatchObject({
    code: 'never_claimed',
    verdict: 'stuck',
    queue,
    task_id: task.task_id,
  });
  expect(json.stdout + text.stdout).not.toContain('\u001b');
  expect(code.stdout).toBe('never_claimed\n');
});

test('why refuses what it cannot be asked, and knows when there is nothing', async ({ db, emptyDatabase }) => {
  await db.queue();
  const id = '019a32d3-8425-7ae2-a5af-2f17a6707666';

  expect((await runCli(['why', '-d', db.url])).code).toBe(2);
  expect((await runCli(['why', 'x', '-d', db.url])).code).toBe(2);
  expect((await runCli(['why', id, '-n', 'a', '-d', db.url])).code).toBe(2);
  expect((await runCli(['why', id, '-d', db.url])).code).toBe(3);
  const bare = await runCli(['why', id, '-d', emptyDatabase.url]);
  expect(bare).toMatchObject({ code: 5, stderr: expect.stringContaining('has no Absurd schema') });
});

test('doctor: exit code by severity, JSON, metrics, and checks by name', async ({ db }) => {
  const queue = await db.queue();
  await db.spawn(queue, 'a');
  await db.claim(queue, { timeout: 0 });
  const doctor = (...args: string[]) => runCli(['doctor', '-d', db.url, ...args]);

  const warned = await doctor();
  const strict = await doctor('--fail-on', 'warning', '--json');
  const metrics = await doctor('-o', 'openmetrics');
  const other = await doctor('--only', 'backlog,expired-leases', '--skip', 'backlog', '--fail-on', 'info');

  expect(warned.code).toBe(0);
  expect(warned.stdout).toMatch(/^WARNING {2}runs-without-lease {2}q\n/);
  expect(warned.stderr).toMatch(/^0 critical, 1 warning, 0 info in \d+ checks/);
  expect(strict.code).toBe(1);
  expect(JSON.parse(strict.stdout)).toMatchObject({
    counts: { warning: 1 },
    findings: [{ check: 'runs-without-lease', queue }],
  });
  expect(metrics.stdout).toContain('absurd_queue_without_lease{queue="q"} 1\n');
  expect(metrics).toMatchObject({ code: 0, stderr: '' });
  expect(other.stdout).toMatch(/^Nothing found: 1 check of/);
  // A check that makes no check would pass for ever.
  expect(await doctor('--only', 'backlog', '--skip', 'backlog')).toMatchObject({ code: 2, stdout: '' });
  expect(await doctor('--window', '0')).toMatchObject({ code: 2, stdout: '' });
  expect(await doctor('--only', 'backlogs')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('did you mean backlog?') as string,
  });
});

test('doctor fails on a database without the schema', async ({ emptyDatabase }) => {
  const result = await runCli(['doctor', '-d', emptyDatabase.url]);

  expect(result.code).toBe(1);
  expect(result.stdout).toMatch(/^CRITICAL {2}schema-missing\n.*→ absurdctl init/s);
});

test('a role that may only read gets answers; one that may not is told what to grant', async ({ db }) => {
  const queue = await db.queue();
  await db.spawn(queue, 'a');
  const role = `reader_${db.name}`;
  await db.query(`create role "${role}" login password 'reading'`);
  const url = new URL(db.url);
  [url.username, url.password] = [role, 'reading'];
  try {
    const refused = await runCli(['why', '-q', queue, '-d', url.href]);
    await db.query(
      `grant usage on schema absurd to "${role}"; grant select on all tables in schema absurd to "${role}"`,
    );
    const why = await runCli(['why', '-q', queue, '-d', url.href, '-o', 'name']);
    const doctor = await runCli(['doctor', '-d', url.href, '--fail-on', 'info']);

    expect(refused).toMatchObject({ code: 1, stdout: '' });
    const masked = url.href.replace(':reading@', ':***@');
    expect(refused.stderr).toContain(`absurdctl grants --database '${masked}' ${role} --as reader --apply -U postgres`);
    expect(why.stdout).toBe('never_claimed\n');
    expect(doctor).toMatchObject({ code: 0, stderr: '' });
  } finally {
    await db.query(`drop owned by "${role}"; drop role "${role}"`);
  }
});
