import { LiveHub, type Follower } from '../../src/lib/dashboard/live.js';
import { follow, startDashboard } from '../support/dashboard.js';
import { describe, expect, test } from '../support/database.js';

describe('following a view', () => {
  test('fifty browsers cost the database what one costs, and all see the change', async ({ db }) => {
    await db.queue('q');
    const dashboard = await startDashboard(db.url, { roundMs: 20 });
    const streams = await Promise.all(Array.from({ length: 50 }, () => follow(dashboard, '/api/tasks?queue=q')));
    await Promise.all(streams.map((stream) => stream.until((events) => events.length > 0)));
    const { rows } = await db.query(
      `select count(*)::int as sessions from pg_stat_activity
        where datname = current_database() and application_name = 'absurdctl dashboard'`,
    );
    expect(rows).toEqual([{ sessions: 1 }]);
    const before = dashboard.asked();
    const { task_id } = await db.spawn('q', 'job');
    const seen = await Promise.all(
      streams.map((stream) => stream.until((events) => events.some(({ data }) => data.includes(task_id)))),
    );
    // A round asks once for all fifty, and an unchanged answer is not sent again: each saw the list without the task and with it.
    for (const events of seen) expect(events.map(({ event }) => event)).toEqual(['answer', 'answer']);
    expect(dashboard.asked()).toBeGreaterThan(before);
    for (const stream of streams) stream.close();
  });

  test('a view that does not exist, or is written wrong, is refused', async ({ db }) => {
    const dashboard = await startDashboard(db.url);
    for (const of of ['', '/', '/api/live', '/api/session', '//evil.example/api/tasks', '/etc/passwd', 'api/tasks'])
      expect((await dashboard.ask(`/api/live?of=${encodeURIComponent(of)}`)).status, of).toBe(404);
  });

  test('a failure is told, and the view goes on once the database answers', async ({ db }) => {
    await db.queue('q');
    const dashboard = await startDashboard(db.url, { roundMs: 20 });
    const stream = await follow(dashboard, '/api/tasks');
    await stream.until((events) => events.length > 0);
    await db.query('alter table absurd.queues rename to queues_away');
    const failed = await stream.until((events) => events.some(({ event }) => event === 'failure'));
    expect(JSON.parse(failed.find(({ event }) => event === 'failure')?.data ?? '')).toHaveProperty('code');
    await db.query('alter table absurd.queues_away rename to queues');
    await stream.until((events) => events.at(-1)?.event === 'answer' && events.length >= 3);
    stream.close();
  });
});

describe('the hub', () => {
  const follower = (send: (piece: string) => boolean): Follower & { ended: boolean } => {
    const one = { ended: false, send, end: () => void (one.ended = true) };
    return one;
  };

  test('one reader for each view, which stops when the last browser leaves', async () => {
    const reads = new Map<string, number>();
    const hub = new LiveHub(
      async (path) => {
        reads.set(path, (reads.get(path) ?? 0) + 1);
        return { text: String(reads.get(path)), tookMs: 0 };
      },
      String,
      5,
    );
    const seen: string[] = [];
    const all = Array.from({ length: 50 }, (_, i) =>
      follower((piece) => {
        if (i === 0 && piece.startsWith('event')) seen.push(piece);
        return true;
      }),
    );
    for (const one of all) expect(hub.follow('/a', one)).toBe(true);
    await expect.poll(() => seen.length, { timeout: 60_000 }).toBeGreaterThan(3);
    expect(seen).toEqual(seen.map((_, i) => `event: answer\ndata: ${i + 1}\n\n`));
    for (const one of all) hub.leave('/a', one);
    const after = reads.get('/a');
    // A second view takes several rounds meanwhile: the first one takes none.
    const other = follower(() => true);
    hub.follow('/b', other);
    await expect.poll(() => reads.get('/b') ?? 0, { timeout: 60_000 }).toBeGreaterThan(3);
    expect((reads.get('/a') ?? 0) - (after ?? 0)).toBeLessThanOrEqual(1);
    hub.close();
    expect(other.ended).toBe(true);
  });

  test('a browser that no longer reads is let go; too many are refused', async () => {
    const hub = new LiveHub(async () => ({ text: 'x', tookMs: 0 }), String, 5);
    const slow = follower(() => false);
    hub.follow('/a', slow);
    await expect.poll(() => slow.ended, { timeout: 60_000 }).toBe(true);
    const taken = Array.from({ length: 600 }, () =>
      hub.follow(
        '/a',
        follower(() => true),
      ),
    );
    expect(taken.filter(Boolean)).toHaveLength(500);
    hub.close();
    expect(hub.follow('/a', slow)).toBe(false);
  });
});
