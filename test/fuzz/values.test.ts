/** Nothing is lost: names and JSON come back as they were given, digit by digit and byte by byte. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { run } from '../support/command.js';
import { runCli } from '../support/cli.js';
import { expect, test, type TestDatabase } from '../support/database.js';
import { canonical, jsonObject, jsonText, name, queueName, sane, settings, timeout } from './support.js';

const call = async (db: TestDatabase, argv: string[], stdin?: string): Promise<string> => {
  const result = await run(argv, { url: db.url, stdin });
  expect(result.code, `${JSON.stringify(argv)}\n${result.stderr}`).toBe(0);
  sane(argv, result);
  return result.stdout;
};

/** A member of a JSON text, as it stands there. */
const member = (text: string, key: string): string => {
  const found = canonical(text);
  const parsed = JSON.parse(text) as Record<string, unknown>;
  expect(Object.keys(parsed)).toContain(key);
  return found;
};

test('canonical tells texts apart that differ in a digit, and no others', () => {
  expect(canonical(' {"b": 1.50 ,"a":[1e2, -0.0,"\\u0041"]}')).toBe('{"a":[100,0,"A"],"b":1.5}');
  expect(canonical('12345678901234567890.1')).not.toBe(canonical('12345678901234567890.2'));
  expect(canonical('1.5e-3')).toBe('0.0015');
});

test('a queue by any name: made, listed, shown, counted, diagnosed, dropped', { timeout }, async ({ db }) => {
  await fc.assert(
    fc.asyncProperty(queueName, async (queue) => {
      await call(db, ['create-queue', '--', queue]);
      const listed = JSON.parse(await call(db, ['list-queues', '--json'])) as { queue_name: string }[];
      expect(listed.map((row) => row.queue_name)).toEqual([queue]);
      for (const argv of [
        ['queue-policy', '--', queue],
        ['queue-stats', `--queue=${queue}`, '--json'],
        ['list-tasks', '-q', queue, '--json'],
        ['list-runs', '-q', queue],
        ['list-events', '-q', queue],
        ['list-waits', '-q', queue],
        ['list-workers', '-q', queue],
        ['list-checkpoints', '-q', queue, '00000000-0000-7000-8000-000000000000'],
        ['why', `--queue=${queue}`],
        ['doctor', '--fail-on', 'never', '--json'],
        ['cleanup', '--dry-run', '--', queue, '0'],
        ['ensure-partitions', `--queue=${queue}`],
        ['list-detach-candidates', `--queue=${queue}`],
      ]) {
        const result = await run(argv, { url: db.url });
        // -q and a value of its own is a flag where the value starts with a dash; --queue= takes any.
        const dashed = argv[1] === '-q' && queue.startsWith('-');
        sane(argv, result, argv[0] === 'list-checkpoints' ? [2, 3] : dashed ? [0, 2, 3] : [0]);
      }
      await call(db, ['drop-queue', '--yes', '--', queue]);
      expect(await call(db, ['list-queues', '--json'])).toBe('[]\n');
    }),
    settings(4),
  );
});

test(
  'a task by any name with any parameters: spawned, listed, dumped, exported, imported, forked',
  { timeout },
  async ({ db }) => {
    const cwd = mkdtempSync(join(tmpdir(), 'absurd-fuzz-'));
    await db.queue('default');
    try {
      await fc.assert(
        fc.asyncProperty(name, jsonText, jsonObject, name, async (task, params, headers, key) => {
          const spawned = JSON.parse(
            await call(db, [
              'spawn-task',
              '--json',
              `--params=${params}`,
              `-Hh:=${headers}`,
              `--idempotency-key=${key}`,
              '--',
              task,
            ]),
          ) as { task_id: string; created: boolean };
          if (!spawned.created) return;
          const dump = await call(db, ['dump-task', spawned.task_id, '-o', 'json']);
          expect(JSON.parse(dump)).toMatchObject({ task_name: task, idempotency_key: key });
          expect(member(dump, 'params')).toContain(`"params":${canonical(params)}`);
          expect(canonical(dump)).toContain(`"headers":{"h":${canonical(headers)}}`);
          const listed = await call(db, ['list-tasks', '--json', `--task-name=${task}`]);
          expect((JSON.parse(listed) as { task_name: string }[]).map((row) => row.task_name)).toContain(task);
          const exported = await call(db, ['export-task', spawned.task_id]);
          expect(canonical(exported)).toContain(`"params":${canonical(params)}`);
          const copy = JSON.parse(await call(db, ['import-task', '-', '--json'], exported)) as { task_id: string };
          const copied = await call(db, ['dump-task', copy.task_id, '-o', 'json']);
          expect(JSON.parse(copied)).toMatchObject({ task_name: task });
          expect(canonical(copied)).toContain(`"params":${canonical(params)}`);
          const forked = JSON.parse(await call(db, ['fork-task', copy.task_id, '--json'])) as { task_id: string };
          expect(canonical(await call(db, ['dump-task', forked.task_id, '--json']))).toContain(
            `"params":${canonical(params)}`,
          );
        }),
        settings(10),
      );
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  },
);

test('an event by any name with any payload, a step of any name with any result', { timeout }, async ({ db }) => {
  await db.queue('default');
  await fc.assert(
    fc.asyncProperty(name, jsonObject, name, jsonText, async (event, payload, step, state) => {
      const emitted = JSON.parse(await call(db, ['emit-event', '--json', `--payload=${payload}`, '--', event])) as {
        first: boolean;
      };
      if (emitted.first) {
        expect(canonical(await call(db, ['show-event', '--', event]))).toBe(canonical(payload));
        const listed = await call(db, ['list-events', '--json', `--event=${event}`]);
        expect(JSON.parse(listed)).toMatchObject([{ event_name: event }]);
      }
      const { task_id } = await db.spawn('default', 'x');
      const [claimed] = await db.claim('default');
      const values = ['default', task_id, step, state, claimed?.run_id];
      await db.query('select absurd.set_task_checkpoint_state($1, $2, $3, $4, $5)', values);
      await db.query(`select absurd.complete_run('default', $1, $2)`, [claimed?.run_id, state]);
      expect(canonical(await call(db, ['show-checkpoint', '--', task_id, step]))).toBe(canonical(state));
      const steps = JSON.parse(await call(db, ['list-checkpoints', task_id, '--json'])) as object[];
      expect(steps).toMatchObject([{ checkpoint_name: step }]);
      expect(canonical(await call(db, ['await-task', task_id, '-o', 'json']))).toContain(
        `"result":${canonical(state)}`,
      );
    }),
    settings(10),
  );
});

/** A name on the way to a value: in -P, a dot nests unless a backslash stands before it, and the first = ends the path. */
const pathName = name
  .map((text) => text.replace(/[=\\]/g, '').replace(/:$/, ''))
  .filter((text) => text !== '' && text.trim() !== '');

test('-P a.b:=json and k=text put every value where its path says, over any base', { timeout }, async ({ db }) => {
  await db.queue('default');
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(
        fc.tuple(fc.array(pathName, { minLength: 1, maxLength: 3 }), fc.oneof(jsonText, fc.constant(undefined)), name),
        {
          maxLength: 4,
          selector: ([path]) => path[0],
        },
      ),
      fc.option(jsonObject, { nil: undefined }),
      async (assignments, base) => {
        const argv = ['spawn-task', 'x', '--json', ...(base === undefined ? [] : [`--params=${base}`])];
        for (const [path, json, text] of assignments) {
          const typed = path.map((part) => part.replaceAll('.', '\\.')).join('.');
          argv.push(`--param=${typed}${json === undefined ? `=${text}` : `:=${json}`}`);
        }
        const result = await run(argv, { url: db.url });
        const known = base === undefined ? {} : (JSON.parse(base) as Record<string, unknown>);
        // A path that goes into a text or a number of the base is an error.
        const clash = assignments.some(
          ([[first = '', ...rest]]) =>
            rest.length > 0 &&
            Object.hasOwn(known, first) &&
            (typeof known[first] !== 'object' || known[first] === null || Array.isArray(known[first])),
        );
        sane(argv, result, clash ? [2] : [0, 2]);
        if (result.code === 2) return expect(clash || /goes into/.test(result.stderr), result.stderr).toBe(true);
        const { task_id } = result.json<{ task_id: string }>();
        const { rows } = await db.query<{ params: string }>(
          'select params::text from absurd.t_default where task_id = $1',
          [task_id],
        );
        for (const [path, json, text] of assignments) {
          const sql = `select ($1::jsonb #> $2::text[])::text as value`;
          const found = await db.query<{ value: string }>(sql, [rows[0]?.params, path]);
          expect(canonical(found.rows[0]?.value ?? '')).toBe(canonical(json ?? JSON.stringify(text)));
        }
      },
    ),
    settings(25),
  );
});

test('spawn-tasks: lines in, tasks out', { timeout }, async ({ db }) => {
  await db.queue('default');
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, jsonText, jsonObject), { minLength: 1, maxLength: 8 }), async (tasks) => {
      const lines = tasks.map(
        ([task, params, headers]) =>
          `{"name": ${JSON.stringify(task)}, "params": ${params.replaceAll('\n', ' ')}, "options": {"headers": ${headers.replaceAll('\n', ' ')}}}`,
      );
      await db.query('truncate absurd.t_default, absurd.r_default');
      await call(db, ['spawn-tasks', '-', '--json'], `${lines.join('\n')}\n`);
      const { rows } = await db.query<Record<'task_name' | 'params' | 'headers', string>>(
        'select task_name, params::text, headers::text from absurd.t_default order by task_id',
      );
      const sorted = (list: string[][]): string[] => list.map((one) => JSON.stringify(one)).sort();
      expect(sorted(rows.map((row) => [row.task_name, canonical(row.params), canonical(row.headers)]))).toEqual(
        sorted(tasks.map(([task, params, headers]) => [task, canonical(params), canonical(headers)])),
      );
    }),
    settings(10),
  );
});

test('the same through a real process: its arguments, its pipes and its exit code', { timeout }, async ({ db }) => {
  await db.queue('default');
  const env = { ABSURD_DATABASE_URL: db.url };
  await fc.assert(
    fc.asyncProperty(name, jsonObject, async (event, payload) => {
      const emitted = await runCli(['emit-event', '--payload', '-', '--json', '--', event], { env, stdin: payload });
      expect(emitted.code, emitted.stderr).toBe(0);
      const shown = await runCli(['show-event', '--', event], { env });
      expect(shown.code, shown.stderr).toBe(0);
      if ((JSON.parse(emitted.stdout) as { first: boolean }).first)
        expect(canonical(shown.stdout)).toBe(canonical(payload));
    }),
    settings(2),
  );
});
