import { describe, vi } from 'vitest';
import { startPty } from '../support/pty.js';
import { expect, test, type TestDatabase } from '../support/database.js';

vi.setConfig({ testTimeout: 90_000 });

const there = async (db: TestDatabase): Promise<unknown> =>
  (await db.query(`select to_regnamespace('absurd') is not null as there`)).rows[0]?.there;

describe('uninstall at a terminal', () => {
  test('says what would be lost, and drops it once the name of the database is typed', async ({ db }) => {
    await db.queue('mail');
    await db.spawn('mail', 'job');

    const session = await startPty(['uninstall', '-d', db.url], { timeoutMs: 60_000 });
    await session.waitFor(/1 queue with 1 unfinished task,[\s\S]*Type the database's name \(.*\): $/);
    session.type(`${db.name}\r`);

    expect(await session.done).toMatchObject({ code: 0 });
    expect(await there(db)).toBe(false);
  });

  test.for([
    ['another word', 'yes\r', 4],
    ['return alone', '\r', 4],
    ['Ctrl-C', '\u0003', 130],
    ['the end of input', '\u0004', 4],
  ] as const)('%s drops nothing', async ([, keys, code], { db }) => {
    const session = await startPty(['uninstall', '-d', db.url], { timeoutMs: 60_000 });
    await session.waitFor(/Type the database's name/);
    session.type(keys);

    expect(await session.done).toMatchObject({ code });
    expect(await there(db)).toBe(true);
  });
});
