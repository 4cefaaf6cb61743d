/** A dashboard in this process, over a test's database, and requests to it as a browser or a script would make them. */
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import type { Io } from '../../src/lib/cli/io.js';
import { explainError } from '../../src/lib/cli/explain.js';
import { Database } from '../../src/lib/connection/database.js';
import { resolveSettings } from '../../src/lib/connection/resolve.js';
import { readListening } from '../../src/lib/dashboard/options.js';
import { serveDashboard, type RunningDashboard } from '../../src/lib/dashboard/serve.js';
import { ensureBuilt, onTestFinished } from './database.js';

export interface DashboardOptions {
  allowActions?: boolean;
  basePath?: string;
  allowHost?: string[];
  listen?: string;
  tokenFile?: string;
  roundMs?: number;
  port?: number;
  /** What the pages call the database. */
  name?: string;
}

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  json<T = Record<string, unknown>>(): T;
}

export interface AskOptions {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON; a string goes as it is. */
  body?: unknown;
  /** Without the token. */
  stranger?: boolean;
}

export interface TestDashboard extends RunningDashboard {
  token: string;
  /** `http://127.0.0.1:PORT` and the base path. */
  origin: string;
  /** The path goes out as it is written: nothing is normalized. */
  ask(path: string, options?: AskOptions): Promise<Reply>;
}

const quietIo = (): Io => ({
  out: () => undefined,
  err: () => undefined,
  stdin: Readable.from([]),
  env: {},
  cwd: tmpdir(),
  outTty: false,
  errTty: false,
  inTty: false,
  width: 80,
  colour: false,
  now: () => new Date(),
  onInterrupt: () => () => undefined,
});

/** It is closed after the test. */
export async function startDashboard(url: string, options: DashboardOptions = {}): Promise<TestDashboard> {
  const dashboard = await openDashboard(url, options);
  onTestFinished(() => dashboard.close());
  return dashboard;
}

/** The caller closes it. */
export async function openDashboard(url: string, options: DashboardOptions = {}): Promise<TestDashboard> {
  await ensureBuilt();
  const io = quietIo();
  const settings = await resolveSettings(
    { database: url },
    { env: {}, cwd: tmpdir(), applicationName: 'absurdctl dashboard' },
  );
  const listening = readListening({
    port: options.port ?? 0,
    ...(options.listen && { listen: options.listen }),
    ...(options.tokenFile && { 'token-file': options.tokenFile }),
    ...(options.basePath && { 'base-path': options.basePath }),
    ...(options.allowHost && { 'allow-host': options.allowHost }),
  });
  const running = await serveDashboard({
    ...listening,
    allowActions: options.allowActions ?? false,
    database: options.name ?? settings.database,
    place: {},
    open: () => Database.open(settings, io),
    explain: (error, database) =>
      explainError(error, database, { queue: undefined, need: 'reader', command: 'dashboard' }),
    now: () => new Date(),
    env: {},
    ...(options.roundMs === undefined ? {} : { roundMs: options.roundMs }),
  });
  const { token, basePath } = listening;
  return {
    ...running,
    token,
    origin: `http://127.0.0.1:${running.port}${basePath}`,
    ask: (path, asked = {}) => ask(running.port, basePath + path, token, asked),
  };
}

function ask(
  port: number,
  path: string,
  token: string,
  { method = 'GET', headers = {}, body, stranger = false }: AskOptions,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method,
        headers: {
          ...(stranger ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: <T>() => JSON.parse(text) as T,
          }),
        );
      },
    );
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

/** The events of a stream as they come. */
export interface Stream {
  /** Resolves once the list of events satisfies the condition. */
  until(done: (events: { event: string; data: string }[]) => boolean): Promise<{ event: string; data: string }[]>;
  close(): void;
}

export function follow(dashboard: TestDashboard, of: string): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const sent = request(`${dashboard.origin}/api/live?of=${encodeURIComponent(of)}`, {
      headers: { authorization: `Bearer ${dashboard.token}` },
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      if (response.statusCode !== 200) {
        reject(new Error(`status ${response.statusCode ?? 0}`));
        return;
      }
      const events: { event: string; data: string }[] = [];
      const looking = new Set<() => void>();
      let rest = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        const parts = (rest + piece).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) {
          const found = /^event: (.*)\ndata: ([^]*)$/.exec(part);
          if (found) events.push({ event: found[1] ?? '', data: found[2] ?? '' });
        }
        looking.forEach((look) => look());
      });
      sent.on('error', () => undefined);
      resolve({
        until: (done) =>
          new Promise((settle) => {
            const look = (): void => {
              if (!done(events)) return;
              looking.delete(look);
              settle(events);
            };
            looking.add(look);
            look();
          }),
        close: () => sent.destroy(),
      });
    });
    sent.end();
  });
}
