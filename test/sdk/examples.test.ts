import { readFileSync } from 'node:fs';
import { registerAgent, type Message } from '../../examples/agent-loop.js';
import { spawnImports } from '../../examples/nightly-import.js';
import { registerOrder } from '../../examples/order.js';
import { Absurd } from '../../src/sdk/index.js';
import { runProgram } from './program.js';
import { checkpointsOf, describe, expect, KeptLog, stateOf, test } from './support.js';

describe('examples/agent-loop.ts', () => {
  test('asks the model only for the turns that are not done', async ({ absurd, db }) => {
    const asked: number[] = [];
    let broken = true;
    registerAgent(absurd, {
      model: async (conversation) => {
        asked.push(conversation.length);
        if (conversation.length === 1) return { content: 'let me look', tool: 'search' };
        if (broken) {
          broken = false;
          throw new Error('the model is overloaded');
        }
        return { content: `found: ${(conversation.at(-1) as Message).content}` };
      },
      tools: { search: async () => 'a needle' },
    });
    const { taskID } = await absurd.spawn('agent', { prompt: 'find it' });
    await absurd.workBatch();
    await absurd.workBatch();
    expect(await absurd.fetchTaskResult(taskID)).toEqual({
      state: 'completed',
      result: { answer: 'found: a needle', turns: 2 },
    });
    expect(asked).toEqual([1, 3, 3]);
    expect(Object.keys(await checkpointsOf(db, taskID))).toEqual(['turn', 'turn#2']);
  });
});

describe('examples/order.ts', () => {
  const shop = () => {
    const calls: string[] = [];
    return {
      calls,
      charge: async (order: { id: string }, key: string) => {
        calls.push(`charge ${order.id} with a key of the task: ${key.endsWith(':charge')}`);
        return { paymentId: 'pay-1' };
      },
      refund: async (paymentId: string) => void calls.push(`refund ${paymentId}`),
      notify: async (_: unknown, text: string) => void calls.push(text),
    };
  };

  test('ships when the parcel is packed, and refunds when a day has passed', async ({ absurd, db }) => {
    const client = new Absurd({ db: db.pool, log: new KeptLog() });
    const { calls, ...services } = shop();
    registerOrder(client, services);
    await db.freeze('2030-01-01T00:00:00Z');
    const packed = await client.spawn('order', { id: 'A1', amountCents: 900 });
    const forgotten = await client.spawn('order', { id: 'B2', amountCents: 500 });
    await client.workBatch('w', 60, 2);
    expect([await stateOf(db, packed.taskID), await stateOf(db, forgotten.taskID)]).toEqual(['sleeping', 'sleeping']);
    await absurd.emitEvent('packed:A1', { parcel: 'P-77' });
    await client.workBatch('w', 60, 2);
    await db.advance('24 hours');
    await client.workBatch('w', 60, 2);
    expect(await client.fetchTaskResult(packed.taskID)).toEqual({
      state: 'completed',
      result: { state: 'shipped', parcel: 'P-77' },
    });
    expect(await client.fetchTaskResult(forgotten.taskID)).toEqual({
      state: 'completed',
      result: { state: 'refunded' },
    });
    // Which of two tasks of one moment comes first, only the ids of PostgreSQL 18 decide.
    expect([...calls.slice(0, 2).sort(), ...calls.slice(2)]).toEqual([
      'charge A1 with a key of the task: true',
      'charge B2 with a key of the task: true',
      'On its way: P-77',
      'refund pay-1',
    ]);
  });
});

describe('examples/nightly-import.ts', () => {
  test('spawns each file of a day once, however often it runs', async ({ absurd, db }) => {
    await absurd.createQueue('imports');
    const source = readFileSync(new URL('../../examples/nightly-import.ts', import.meta.url), 'utf8');
    const first = await runProgram(source, db.url, ['2026-03-01', 'customers.csv', 'orders.csv']);
    expect(first).toBe('2 imports spawned, 0 were there already\n');
    const again = await runProgram(source, db.url, ['2026-03-01', 'customers.csv', 'orders.csv', 'late.csv']);
    expect(again).toBe('1 imports spawned, 2 were there already\n');
    expect(await spawnImports(absurd, '2026-03-02', ['customers.csv'])).toEqual({ spawned: 1, already: 0 });
    const { rows } = await db.query(`select params->>'file' as file from absurd.t_imports order by 1`);
    expect(rows.map((row) => row['file'])).toEqual(['customers.csv', 'customers.csv', 'late.csv', 'orders.csv']);
  });
});
