import { expectTypeOf } from 'vitest';
import { Absurd, type TaskContext } from '../../src/sdk/index.js';
import { toJson } from '../../src/sdk/json.js';
import { describe, expect, FakeDatabase, finish, KeptLog, runsOf, test, until, vi } from './support.js';

const cycle: Record<string, unknown> = { name: 'a' };
cycle['inner'] = { back: cycle };
const half = 'x😀'.slice(0, 2);

describe('what cannot be stored as JSON', () => {
  test.for<[unknown, string]>([
    [1n, 'a BigInt'],
    [{ lines: [{ price: 1 }, { price: 2n }] }, 'a BigInt at lines[1].price'],
    [cycle, 'a cycle at inner.back'],
    [{ text: ['fine', half] }, 'half of a surrogate pair (a character was cut in two) at text[1]'],
    ['\0', 'the character U+0000'],
    [{ [half]: 1 }, 'a key: half of a surrogate pair (a character was cut in two)'],
  ])('%#: the error says what, and where', ([value, found]) => {
    expect(() => toJson(value, 'The value of step "s"')).toThrow(
      new Error(`The value of step "s" cannot be stored as JSON: ${found}`),
    );
  });

  test('texts that look like it are stored', () => {
    for (const value of ['\\u0000', '\\\\u0000 \\ud800', '😀', { a: '\u0001' }, undefined, () => 1]) {
      expect(toJson(value, 'It')).toBe(JSON.stringify(value));
    }
  });
});

test('a step or a result that cannot be stored fails its run at once, and names it', async ({ absurd, db }) => {
  const cases: Record<string, [(ctx: TaskContext) => Promise<unknown>, string]> = {
    bigint: [
      (ctx) => ctx.step('charge', async () => ({ amount: 5n })),
      'step "charge" cannot be stored as JSON: a BigInt',
    ],
    half: [(ctx) => ctx.step('cut', async () => half), 'step "cut" cannot be stored as JSON: half of a surrogate'],
    result: [
      async () => ({ text: '\0' }),
      'The result of task "job" cannot be stored as JSON: the character U+0000 at text',
    ],
    payload: [(ctx) => ctx.emitEvent('e', { n: 1n }), 'event "e" cannot be stored as JSON: a BigInt at n'],
  };
  absurd.registerTask({ name: 'job', defaultMaxAttempts: 1 }, (kind: string, ctx) => cases[kind]?.[0](ctx) as never);
  for (const [kind, [, message]] of Object.entries(cases)) {
    const { taskID } = await absurd.spawn('job', kind);
    await finish(absurd, taskID);
    expect((await runsOf(db, taskID))[0]?.failure_reason?.message).toContain(message);
  }
});

describe('a value that JSON changes', () => {
  const warningsOf = async (task: string, value: unknown): Promise<string[]> => {
    const log = new KeptLog();
    const absurd = new Absurd({ db: new FakeDatabase(), log });
    absurd.registerTask({ name: task }, async (_, ctx) => {
      await ctx.step('s', async () => value);
      await ctx.step('s', async () => value);
    });
    await absurd.executeTask({ ...claimed, task_name: task }, 60);
    return log.lines;
  };
  const claimed = {
    run_id: 'R',
    task_id: 'T',
    attempt: 1,
    params: null,
    retry_strategy: null,
    max_attempts: null,
    headers: null,
    wake_event: null,
    event_payload: null,
  };

  test.for<[string, unknown]>([
    ['a Date at at', { at: new Date(0) }],
    ['a Map', new Map()],
    ['a Set at tags', { tags: new Set() }],
    ['a RangeError at [0]', [new RangeError('x')]],
    ['undefined at a.b', { a: { b: undefined } }],
    ['a function at call', { call: () => 1 }],
    ['NaN at n', { n: Number.NaN }],
  ])('%s is said once a name', async ([change, value]) => {
    const lines = await warningsOf(`with ${change}`, value);
    expect(lines).toEqual([expect.stringContaining(`task with ${change}, step "s": its value has ${change}, which`)]);
    expect(await warningsOf(`with ${change}`, value)).toEqual([]);
  });

  test('is nothing to say in production, or where nothing changes', async () => {
    expect(await warningsOf('plain', { a: [1, 'b', null, true, { c: {} }] })).toEqual([]);
    expect(await warningsOf('nothing', undefined)).toEqual([]);
    vi.stubEnv('NODE_ENV', 'production');
    try {
      expect(await warningsOf('in production', new Map())).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('promises of a context', () => {
  test('that nobody awaits are logged with task and step, and end no process', async ({ absurd, log }) => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): number => unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      let fail: (error: Error) => void = () => undefined;
      absurd.registerTask({ name: 'stray', defaultMaxAttempts: 1 }, async (_, ctx) => {
        const slow = ctx.step('slow', () => new Promise((_resolve, reject) => (fail = reject)));
        const fast = ctx.step('fast', () => Promise.reject(new Error('fast fails')));
        void ctx.step('derived', () => Promise.reject(new Error('derived fails'))).then(() => 1);
        await fast;
        await slow;
      });
      const { taskID } = await absurd.spawn('stray', {});
      await finish(absurd, taskID);
      fail(new Error('slow fails'));
      const line = (step: string): string =>
        `error: [absurd] task stray (${taskID}): step "${step}" failed, and nothing awaited it: Error: ${step} fails`;
      await until(() => log.lines.includes(line('slow')));
      expect(log.lines).toContain(line('derived'));
      expect(log.lines).not.toContain(line('fast'));
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', note);
    }
  });

  test('a sleep that nothing awaits is named', async ({ absurd, log }) => {
    absurd.registerTask({ name: 'hasty' }, async (_, ctx) => {
      void ctx.sleepFor('nap', 60);
      return 'done';
    });
    const { taskID } = await absurd.spawn('hasty', {});
    expect(await finish(absurd, taskID)).toEqual({ state: 'completed', result: 'done' });
    expect(log.lines).toContain(
      `warn: [absurd] task hasty (${taskID}): the handler ended without its sleep "nap", which nothing awaited`,
    );
  });

  test('a step that ends after its run is not stored', async ({ absurd, db, log }) => {
    let end: () => void = () => undefined;
    absurd.registerTask({ name: 'left' }, async (_, ctx) => {
      void ctx.step('late', () => new Promise<void>((resolve) => (end = resolve)));
      await ctx.step('first', async () => 1);
    });
    const { taskID } = await absurd.spawn('left', {});
    expect(await finish(absurd, taskID)).toMatchObject({ state: 'completed' });
    end();
    await until(() => log.lines.some((line) => line.includes('Step "late" ended when its run had completed already')));
    const { rows } = await db.query('select checkpoint_name from absurd.c_default');
    expect(rows).toEqual([{ checkpoint_name: 'first' }]);
  });
});

test('interfaces are payloads, and the payload of an event may have a type', () => {
  interface Payment {
    amount: number;
    note?: string;
  }
  const program = async (ctx: TaskContext, payment: Payment): Promise<void> => {
    await ctx.emitEvent('paid', payment);
    expectTypeOf(await ctx.awaitEvent<Payment>('paid')).toEqualTypeOf<Payment>();
    expectTypeOf(await ctx.step('pay', async () => payment)).toEqualTypeOf<Payment>();
    const answer = await ctx.awaitAny({ paid: { event: 'paid' }, late: { sleepFor: 1 } });
    expectTypeOf(answer.key).toEqualTypeOf<'paid' | 'late'>();
    if (answer.key === 'late') expectTypeOf(answer.value).toEqualTypeOf<null>();
  };
  expect(program).toBeTypeOf('function');
});
