import { connect, createServer, type Socket } from 'node:net';

/** A way to the server on which answers get lost: the server has done what it was asked, and the one who asked never hears. */
export interface Proxy {
  url: string;
  /** Cuts connections with that probability where an answer should come, until it is called again. */
  lose(probability: number): void;
  stop(): void;
}

/** @param random from 0 to 1 */
export async function startProxy(databaseUrl: string, random: () => number): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const open = new Set<Socket>();
  let probability = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    const cut = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', cut);
      socket.once('close', () => {
        open.delete(socket);
        cut();
      });
    }
    client.on('data', (question) => upstream.write(question));
    upstream.on('data', (answer) => {
      if (random() < probability) cut();
      else client.write(answer);
    });
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
  const url = new URL(databaseUrl);
  url.port = String(port);
  return {
    url: url.href,
    lose(share) {
      probability = share;
    },
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
