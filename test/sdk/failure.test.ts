import { describeFailure } from '../../src/sdk/failure.js';
import { describe, expect, finish, runsOf, test } from './support.js';

const described = (error: unknown): Record<string, unknown> =>
  JSON.parse(describeFailure(error)) as Record<string, unknown>;

describe('the reason of a failed run', () => {
  test('keeps the chain of causes and the errors of an AggregateError', () => {
    const root = Object.assign(new RangeError('no room'), { stack: '' });
    const middle = new Error('not written', { cause: root });
    const top = new AggregateError([new TypeError('first'), 'second'], 'all failed', { cause: middle });
    expect(described(top)).toMatchObject({
      name: 'AggregateError',
      message: 'all failed',
      cause: { name: 'Error', message: 'not written', cause: { name: 'RangeError', message: 'no room', stack: null } },
      errors: [{ name: 'TypeError', message: 'first' }, { message: 'second' }],
    });
  });

  test('keeps the form of a thrown object', () => {
    const loop: Record<string, unknown> = { status: 503, at: new Date(0), big: 10n, call: function pay() {} };
    loop['self'] = loop;
    const { message, value } = described(loop);
    expect(value).toEqual({
      status: 503,
      at: '1970-01-01T00:00:00.000Z',
      big: '10',
      call: '[function pay]',
      self: '[circular]',
    });
    expect(message).toBe(JSON.stringify(value));
    expect(described({ message: 'said', code: 7 })).toEqual({ message: 'said', value: { message: 'said', code: 7 } });
    expect([undefined, null, 5, Symbol('s')].map((thrown) => described(thrown)['message'])).toEqual([
      'undefined',
      'null',
      '5',
      'Symbol(s)',
    ]);
  });

  test('has an end, however long or deep what was thrown is', () => {
    const deep: unknown[] = [];
    let inner = deep;
    for (let level = 0; level < 10_000; level += 1) inner.push((inner = []));
    let chain = new Error('x'.repeat(100_000));
    for (let level = 0; level < 100; level += 1) chain = new Error(`level ${level}`, { cause: chain });
    const wide = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`key ${n}`, 'y'.repeat(1000)]));
    const circle = new Error('circle');
    circle.cause = circle;
    for (const thrown of [{ deep }, chain, new Error('z'.repeat(10 ** 6)), wide, new AggregateError([wide, wide])]) {
      expect(describeFailure(thrown).length).toBeLessThan(200_000);
    }
    expect(described(circle)['cause']).toEqual({ message: '[circular]' });
  });

  test('is there also where reading what was thrown throws', () => {
    const hostile = Object.create(null) as Record<string, unknown>;
    Object.defineProperty(hostile, 'message', {
      enumerable: true,
      get: () => {
        throw new Error('no');
      },
    });
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    for (const thrown of [hostile, revoked.proxy, { toJSON: () => JSON.parse('{') as unknown }]) {
      expect(described(thrown)).toHaveProperty('message');
    }
    const unnamed = Object.assign(new Error('x'), { name: 7, message: { odd: true } });
    expect(described(unnamed)).toMatchObject({ name: '7', message: '[object Object]' });
  });
});

/** Values whose every reading may throw, and values that only look like what they are taken for. */
function hostileValues(): Record<string, unknown> {
  const refuse = (): never => {
    throw new Error('no');
  };
  const revoked = Proxy.revocable({}, {});
  const revokedFunction = Proxy.revocable(() => 1, {});
  revoked.revoke();
  revokedFunction.revoke();
  class UnreadableSet extends Set {
    override values = refuse;
  }
  return {
    revoked: revoked.proxy,
    revokedFunction: revokedFunction.proxy,
    everyTrap: new Proxy({}, { get: refuse, has: refuse, ownKeys: refuse, getPrototypeOf: refuse }),
    errorWithoutHas: new Proxy(new Error('p'), { has: refuse }),
    functionWithoutText: Object.assign(() => 1, { toString: refuse }),
    objectWithFunction: { call: Object.defineProperty(() => 1, 'name', { get: refuse }) },
    notReallyAMap: Object.create(Map.prototype) as unknown,
    arrayWithValues: Object.assign([1, 2], { values: 1 }),
    unreadableSet: new UnreadableSet([1]),
    revokedErrors: Object.assign(new AggregateError([], 'many'), { errors: Proxy.revocable([], {}).proxy }),
  };
}

test('a map, a collection that lies about its methods and a key "__proto__" keep what they hold', () => {
  expect(described(new Map([['key', 1]]))['value']).toEqual([['key', 1]]);
  expect(described(hostileValues()['arrayWithValues'])['value']).toEqual([1, 2]);
  expect(described(hostileValues()['unreadableSet'])['value']).toEqual([1]);
  expect(describeFailure(JSON.parse('{"__proto__": {"a": 1}}'))).toContain(String.raw`"value":{"__proto__":{"a":1}}`);
  expect(described({ status: 503, toJSON: () => JSON.parse('{') as unknown })['value']).toMatchObject({ status: 503 });
});

test('an attempt that throws what cannot be looked at fails at once, in a step, beside one and without', async ({
  make,
}) => {
  const errors: Error[] = [];
  const absurd = make();
  await absurd.createQueue();
  const thrown = hostileValues();
  absurd.registerTask({ name: 'job', defaultMaxAttempts: 1 }, async ([kind, where]: [string, string], ctx) => {
    const fail = async (): Promise<never> => {
      throw thrown[kind];
    };
    if (where === 'stray') await Promise.all([ctx.step('stray', fail), ctx.step('other', fail)]);
    return where === 'step' ? ctx.step('step', fail) : fail();
  });
  const tasks = Object.keys(thrown).flatMap((kind) => ['step', 'stray', 'none'].map((where) => [kind, where]));
  const worker = await absurd.startWorker({
    concurrency: 8,
    pollInterval: 0.02,
    onError: (error) => errors.push(error),
  });
  for (const params of tasks) {
    const { taskID } = await absurd.spawn('job', params);
    const result = await finish(absurd, taskID);
    expect(result, params.join()).toMatchObject({ state: 'failed' });
    expect(result, params.join()).not.toMatchObject({ failure: { name: '$ClaimTimeout' } });
  }
  await worker.close();
  expect(errors).toEqual([]);
});

test('characters that jsonb refuses are replaced, and the attempt fails at once', async ({ absurd, db }) => {
  const half = 'x😀'.slice(0, 2);
  const thrown: Record<string, unknown> = {
    message: new Error(`${half} and \0`),
    name: Object.assign(new Error('named'), { name: half }),
    stack: Object.assign(new Error('stacked'), { stack: `at ${half}` }),
    cause: new Error('caused', { cause: new Error(half) }),
    errors: new AggregateError([new Error('\0')], 'many'),
    object: { [half]: { deep: [half, '\0'] } },
    text: half,
  };
  absurd.registerTask({ name: 'job', defaultMaxAttempts: 1 }, async (kind: string) => {
    throw thrown[kind];
  });
  for (const kind of Object.keys(thrown)) {
    const { taskID } = await absurd.spawn('job', kind);
    expect(await finish(absurd, taskID)).toMatchObject({ state: 'failed' });
    const [run] = await runsOf(db, taskID);
    expect(JSON.stringify(run?.failure_reason)).toContain('\uFFFD');
    expect(JSON.stringify(run?.failure_reason)).not.toContain('$ClaimTimeout');
  }
});
