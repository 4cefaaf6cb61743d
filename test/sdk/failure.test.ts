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
