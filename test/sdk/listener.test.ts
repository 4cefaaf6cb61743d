import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { WakeupListener } from '../../src/sdk/wakeup.js';
import { expect, test, until } from './support.js';

/** A way to the server that keeps connections waiting while it is shut; `waiting` counts those, `ended` the ones that were closed. */
async function turnstile(url: string) {
  const { hostname, port } = new URL(url);
  const held: (() => void)[] = [];
  const sockets = new Set<Socket>();
  let shut = false;
  let ended = 0;
  const server = createServer((near) => {
    near.pause();
    near.on('close', () => (ended += 1));
    const go = (): void => {
      const far = connect(Number(port), hostname);
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
      }
      near.pipe(far).pipe(near);
    };
    if (shut) held.push(go);
    else go();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const through = new URL(url);
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as AddressInfo).port);
  return {
    url: through.href,
    shut: () => (shut = true),
    waiting: () => held.length,
    ended: () => ended,
    open: () => held.splice(0).forEach((go) => go()),
    end: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('a listener that is closed while it connects anew keeps no connection', async ({ db }) => {
  const way = await turnstile(db.url);
  const listener = new WakeupListener(way.url);
  try {
    await listener.connect();
    way.shut();
    await db.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen absurd%' and datname = current_database()`,
    );
    await until(() => way.waiting() === 1);
    const closed = listener.close();
    let rings = 0;
    listener.subscribe('q', () => (rings += 1));
    way.open();
    await closed;
    await until(() => way.ended() === 2);
    expect(rings).toBe(0);
  } finally {
    way.end();
  }
});
