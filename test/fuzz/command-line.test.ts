/** Any flags in any order with any values: an answer or an error that says so, never a trace, never an undocumented code. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { topicSummaries } from '../../src/main.js';
import { run } from '../support/command.js';
import { runCli } from '../support/cli.js';
import { test, type TestDatabase } from '../support/database.js';
import { jsonText, queueName, sane, settings, timeout, word } from './support.js';

interface Flag {
  type: 'boolean' | 'option';
  char?: string;
  options?: readonly string[];
}
interface About {
  flags?: Record<string, Flag>;
  baseFlags?: Record<string, Flag>;
  args?: Record<string, unknown>;
}

/** Flags that would wait, go elsewhere or start a server: what they are given is bounded, or they are left out. */
const bounded: Record<string, string[]> = {
  timeout: ['0', '0.01', '-1', 'x'],
  rate: ['1000', '0', 'x'],
  wait: ['0', 'x'],
};
const left = new Set(['watch', 'follow', 'host', 'port', 'detach', 'reset', 'listen-url']);
/** These start servers or workers where their arguments are good; with what is made here, they never are. */
const starters = new Set(['demo', 'dev', 'dashboard']);

async function abouts(): Promise<[string, About][]> {
  const names = (await topicSummaries()).flatMap(({ commands }) => commands.map(({ id }) => id));
  const load = async (id: string): Promise<[string, About]> => {
    const module = (await import(`../../src/commands/${id}.ts`)) as { default: About };
    return [id, module.default];
  };
  return Promise.all(names.filter((id) => !starters.has(id)).map(load));
}

/** What a value may be: what is there, what is near, numbers at the edges of types, and anything. */
const value = (ids: readonly string[], wild: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constantFrom(...ids, 'default', 'q', 'x', '-', '--', '', '2h', '2026-01-02', 'all', 'k=v', 'a.b:=1', '/x(/'),
    fc.constantFrom(
      '0',
      '1',
      '-1',
      '2147483647',
      '2147483648',
      '1e9',
      '1e400',
      '0.5',
      'NaN',
      'Infinity',
      '99999999999999999999',
    ),
    wild,
    jsonText,
  );

function argvOf(id: string, about: About, ids: readonly string[]): fc.Arbitrary<string[]> {
  // What is written must stay in the folder of the test.
  const wild = ['install-skill', 'export-task'].includes(id)
    ? word().map((text) => text.replace(/[./~]/g, '_'))
    : word();
  const any = value(ids, wild);
  const flags = Object.entries({ ...about.baseFlags, ...about.flags }).filter(([name]) => !left.has(name));
  const given = flags.map(([name, flag]) => {
    const values = bounded[name]
      ? fc.constantFrom(...bounded[name])
      : flag.options
        ? fc.oneof(fc.constantFrom(...flag.options), any)
        : any;
    const forms = fc.constantFrom('long', 'equals', 'short', 'joined');
    return fc.tuple(forms, values).map(([form, text]): string[] => {
      const short = flag.char === undefined ? `--${name}` : `-${flag.char}`;
      if (flag.type === 'boolean') return [form === 'short' ? short : `--${name}`];
      if (form === 'long') return [`--${name}`, text];
      if (form === 'equals' || flag.char === undefined) return [`--${name}=${text}`];
      return form === 'short' ? [short, text] : [`${short}${text}`];
    });
  });
  const args = fc.array(any, { maxLength: Object.keys(about.args ?? {}).length + 1 });
  const few: fc.Arbitrary<string[][]> = fc
    .subarray(given, { maxLength: Math.min(5, given.length) })
    .chain((some) => fc.tuple(...some));
  const unknown: fc.Arbitrary<string[]> = fc.oneof(
    { weight: 9, arbitrary: fc.constant<string[]>([]) },
    { weight: 1, arbitrary: any.map((text) => [`--${text}`]) },
  );
  return (
    fc
      .tuple(
        args.map((list) => list.map((text) => [text])),
        few,
        unknown,
      )
      .chain(([words, options, more]) => {
        const parts = [...words, ...options, more];
        return fc.shuffledSubarray(parts, { minLength: parts.length });
      })
      .map((parts) => parts.flat())
      // Waiting without an end is right, and nothing to do here.
      .map((argv) => (id === 'await-task' ? [...argv, '--timeout', '0'] : argv))
      .filter((argv) => id !== 'await-task' || !argv.includes('--'))
      .filter((argv) => id !== 'spawn-task' || !argv.includes('--wait'))
  );
}

async function someTasks(db: TestDatabase): Promise<string[]> {
  const ids: string[] = [];
  for (const queue of ['default', 'q']) {
    await db.queue(queue, queue === 'q' ? 'partitioned' : 'unpartitioned');
    for (const max_attempts of [1, 5]) ids.push((await db.spawn(queue, 'x', { a: 1 }, { max_attempts })).task_id);
    const [claimed] = await db.claim(queue);
    ids.push(claimed?.run_id ?? '');
    await db.query('select absurd.fail_run($1, $2, $3)', [queue, claimed?.run_id, '{"message": "no"}']);
  }
  return ids;
}

test('every command, any flags', { timeout }, async ({ db }) => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-fuzz-'));
  const ids = await someTasks(db);
  try {
    for (const [id, about] of await abouts()) {
      await fc.assert(
        fc.asyncProperty(argvOf(id, about, ids), async (argv) => {
          // -d leads to a port where nothing listens.
          const env = { PGHOST: '127.0.0.1', PGPORT: '1' };
          const result = await run([id, ...argv], { url: db.url, cwd, env });
          sane([id, ...argv], result);
        }),
        settings(6),
      );
    }
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
});

test('dev and demo, wrongly used, start nothing', { timeout }, async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'absurd-fuzz-'));
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('dev', 'demo'),
        word(),
        fc.constantFrom('--status', '--stop', '--nonsense'),
        async (id, text, flag) => {
          // A positional argument is one too many for either.
          const argv = id === 'dev' && flag !== '--nonsense' ? [id, flag] : [id, flag, '--', `x${text}`];
          sane(argv, await run(argv, { cwd }), id === 'dev' && argv.length === 2 ? [0, 3] : [2]);
        },
      ),
      settings(10),
    );
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
});

test('no command, or none that is there', { timeout }, async () => {
  const known = new Set((await topicSummaries()).flatMap(({ commands }) => commands.map(({ id }) => id)));
  await fc.assert(
    fc.asyncProperty(fc.array(word(), { maxLength: 4 }), async (argv) => {
      fc.pre(!argv.some((text) => known.has(text)));
      sane(argv, await run(argv), [0, 2]);
    }),
    settings(150),
  );
});

test('values that only the server can judge are usage errors', { timeout }, async ({ db }) => {
  await db.queue('default');
  await fc.assert(
    fc.asyncProperty(word(80), queueName, async (text, queue) => {
      const bytes = Buffer.byteLength(text);
      const made = await run(['create-queue', '--', text], { url: db.url });
      sane(['create-queue', text], made, bytes === 0 || bytes > 57 ? [2] : [0]);
      if (made.code === 0 && text !== 'default') await db.query('select absurd.drop_queue($1)', [text]);
      const nowhere = await run(['emit-event', 'x', `--queue=${queue}`], { url: db.url });
      sane(['emit-event', queue], nowhere, queue === 'default' ? [0] : [3]);
      const policy = await run(['queue-policy', 'default', `--cleanup-ttl=${text}`, '--dry-run'], { url: db.url });
      sane(['queue-policy', text], policy, [0, 2]);
      const regex = await run(['retry-task', '--error', `/${text}(/`, '--dry-run'], { url: db.url });
      sane(['retry-task', text], regex, [0, 2]);
    }),
    settings(6),
  );
});

test('the real program: the same codes', { timeout }, async ({ db }) => {
  const ids = await someTasks(db);
  const list = (await abouts()).filter(([id]) => !['install-skill', 'export-task', 'work'].includes(id));
  const any = fc.constantFrom(...list).chain(([id, about]) => argvOf(id, about, ids).map((argv) => [id, ...argv]));
  await fc.assert(
    fc.asyncProperty(any, async (argv) => {
      const { code, stdout, stderr } = await runCli(argv, {
        env: { ABSURD_DATABASE_URL: db.url, PGHOST: '127.0.0.1', PGPORT: '1' },
      });
      sane(argv, { code: code ?? -1, stdout, stderr, json: () => JSON.parse(stdout) as never });
    }),
    settings(4),
  );
});
