import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canReach } from '../../src/lib/embedded/folders.js';
import { withLock } from '../../src/lib/embedded/lock.js';
import * as pointer from '../../src/lib/embedded/pointer.js';
import { maskPassword, parseIdleTimeout } from '../../src/lib/embedded/settings.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'absurd-embedded-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** An id that certainly belongs to nobody: of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

describe('the start lock', () => {
  test('lets one in at a time, in one process as between several', async () => {
    const lock = join(folder, 'lock');
    let inside = 0;
    let most = 0;
    let runs = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      runs += 1;
    };
    await Promise.all(Array.from({ length: 8 }, () => withLock(lock, work)));
    expect({ most, runs }).toEqual({ most: 1, runs: 8 });
    expect(existsSync(lock)).toBe(false);
  });

  test('of a holder that died gives way, and to one only', async () => {
    const lock = join(folder, 'lock');
    writeFileSync(lock, `${deadPid()} abc\n`);
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 4 }, () => withLock(lock, work)));
    expect(most).toBe(1);
  });

  test('of a living holder is waited for, up to a limit', async () => {
    const lock = join(folder, 'lock');
    writeFileSync(lock, `${process.pid} abc\n`);
    await expect(withLock(lock, async () => 'in', 50)).rejects.toThrow(/holds .*lock for too long/);
    // So old that its process id was given out again.
    const old = new Date(Date.now() - 3_600_000);
    utimesSync(lock, old, old);
    expect(await withLock(lock, async () => 'in', 50)).toBe('in');
  });

  test('is released when the work fails', async () => {
    const lock = join(folder, 'lock');
    await expect(withLock(lock, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(lock)).toBe(false);
  });
});

describe('the pointer', () => {
  const running = (of: string): pointer.Running => ({
    folder: of,
    pid: process.pid,
    port: 1,
    url: 'postgresql://postgres:secret@127.0.0.1:1/absurd',
    startedAt: '2026-01-01T00:00:00.000Z',
    idleTimeoutSeconds: 60,
    postgresVersion: '18.0.0',
  });

  test('is found from below, readable by its owner only, and kept out of git', () => {
    pointer.makePointerFolder(folder);
    pointer.writeRunning(folder, running(folder));
    const deep = join(folder, 'a', 'b');
    mkdirSync(deep, { recursive: true });
    expect(pointer.findServerFolder(deep)).toBe(folder);
    expect(statSync(join(folder, '.absurd', 'running.json')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, '.absurd', '.gitignore'), 'utf8')).toBe('*\n');
  });

  test('of a project that was copied does not lead to the original', () => {
    pointer.makePointerFolder(folder);
    pointer.writeRunning(folder, running('/somewhere/else'));
    expect(pointer.readRunning(folder)).toBeUndefined();
    expect(pointer.findServerFolder(folder)).toBeUndefined();
  });

  test('that others could have written is not followed', () => {
    pointer.makePointerFolder(folder);
    pointer.writeRunning(folder, running(folder));
    chmodSync(join(folder, '.absurd', 'running.json'), 0o666);
    expect(pointer.readRunning(folder)).toBeUndefined();
  });

  test('that is damaged counts as none', () => {
    pointer.makePointerFolder(folder);
    writeFileSync(join(folder, '.absurd', 'running.json'), '{"pid":', { mode: 0o600 });
    expect(pointer.readRunning(folder)).toBeUndefined();
  });

  test('with a living process but a dead port is not up', async () => {
    expect(await pointer.isUp(running(folder))).toBe(false);
    expect(await pointer.isUp({ ...running(folder), pid: null })).toBe(false);
  });

  test('of several first identities one wins, and all agree on it', () => {
    pointer.makePointerFolder(folder);
    const first = pointer.createIdentity(folder, { id: 'a'.repeat(16), password: 'p', files: 'postgres' });
    const second = pointer.createIdentity(folder, { id: 'b'.repeat(16), password: 'q', files: 'postgres' });
    expect(second).toEqual(first);
  });
});

describe('small parts', () => {
  test('a private folder hides what lies in it from another account', () => {
    const inner = join(folder, 'inner');
    mkdirSync(inner, { mode: 0o755 });
    const stranger = { name: 'stranger', uid: 54_321, gid: 54_321 };
    expect(canReach(inner, stranger)).toBe(false);
    chmodSync(folder, 0o711);
    expect(canReach(inner, stranger)).toBe(true);
    expect(canReach(join(folder, 'missing'), stranger)).toBe(false);
  });

  test.each([
    ['90s', 90],
    ['30m', 1800],
    ['2h', 7200],
    ['1d', 86_400],
    ['45', 45],
    ['0', 0],
    ['1.5s', 1.5],
  ])('an idle timeout of %s is %d seconds', (text, seconds) => {
    expect(parseIdleTimeout(text)).toBe(seconds);
  });

  test.each(['', 'soon', '-1', '5 weeks', '1e3', '9999d'])('an idle timeout of "%s" is refused', (text) => {
    expect(() => parseIdleTimeout(text)).toThrow(/is not a time/);
  });

  test('a password is masked whatever is in it', () => {
    expect(maskPassword('postgresql://postgres:a%40b@127.0.0.1:5/x')).toBe('postgresql://postgres:***@127.0.0.1:5/x');
  });
});
