import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { type ServerKind, startTestServer, type TestServer } from './server.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where test files ask this process for what a whole run shares. */
    absurdControl: string;
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Answers of the control address: what a test file needs to make databases. */
export interface ServerAnswer {
  url: string;
  /** A database with sql/absurd.sql installed, to clone; null while the project has no such file. */
  template: string | null;
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function makeTemplate(url: string, name: string): Promise<string | null> {
  const script = join(root, 'sql', 'absurd.sql');
  if (!existsSync(script)) return null;
  await withClient(url, (client) => client.query(`create database "${name}"`));
  const inTemplate = new URL(url);
  inTemplate.pathname = `/${name}`;
  await withClient(inTemplate.href, (client) => client.query(readFileSync(script, 'utf8')));
  return name;
}

interface Shared {
  server: TestServer;
  answer: ServerAnswer;
}

function newest(path: string): number {
  if (!existsSync(path)) return 0;
  const found = statSync(path);
  if (!found.isDirectory()) return found.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** The end-to-end tests run dist/: a stale one would test yesterday's program. */
async function buildIfStale(): Promise<void> {
  const sources = Math.max(
    ...['src', 'bin', 'sql', 'scripts/build.mjs', 'scripts/build'].map((path) => newest(join(root, path))),
  );
  // Not all of dist/: the program adds a cache of its own there when it runs.
  const built = ['dist/cli/absurdctl.cjs', 'dist/sdk/index.js'].map((path) => newest(join(root, path)));
  if (Math.min(...built) > sources) return;
  const build = spawn(process.execPath, ['scripts/build.mjs'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const status = await new Promise((resolve) => build.once('exit', resolve));
  if (status !== 0) throw new Error(`scripts/build.mjs ended with ${String(status)}`);
}

/** The parts of the schema: commands that run from the sources read them, too. */
async function buildSchema(): Promise<void> {
  const script = pathToFileURL(join(root, 'scripts', 'build', 'schema.mjs')).href;
  ((await import(script)) as { buildSchema(): void }).buildSchema();
}

/**
 * One set of servers a run, each started when the first test file asks for it, so that a run of pure unit tests starts
 * none. Test files live in processes of their own and ask over HTTP on the loopback interface.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await buildSchema();
  const servers = new Map<ServerKind, Promise<Shared>>();
  const running: TestServer[] = [];
  let build: Promise<void> | undefined;

  const start = async (kind: ServerKind): Promise<Shared> => {
    const server = await startTestServer(kind);
    running.push(server);
    return {
      server,
      answer: { url: server.url, template: await makeTemplate(server.url, `absurd_test_template_${process.pid}`) },
    };
  };
  const shared = (kind: ServerKind): Promise<Shared> => {
    const known = servers.get(kind) ?? start(kind);
    servers.set(kind, known);
    return known;
  };
  const answer = async (path: string): Promise<unknown> => {
    if (path === '/server/current') return (await shared('current')).answer;
    if (path === '/server/older') return (await shared('older')).answer;
    if (path === '/build') return (build ??= buildIfStale()).then(() => ({}));
    throw new Error(`unknown request ${path}`);
  };

  const control = createServer((request, response) => {
    answer(request.url ?? '').then(
      (body) => response.end(JSON.stringify(body)),
      (error: unknown) => {
        response.statusCode = 500;
        response.end(error instanceof Error ? error.message : String(error));
      },
    );
  });
  await new Promise<void>((resolve) => control.listen(0, '127.0.0.1', resolve));
  const address = control.address();
  project.provide('absurdControl', `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);

  const killAll = (): void => {
    for (const server of running.splice(0)) server.kill();
  };
  process.on('exit', killAll);

  return async () => {
    control.close();
    control.closeAllConnections();
    for (const pending of servers.values()) {
      const known = await pending.catch(() => undefined);
      if (known?.answer.template) {
        const drop = `drop database if exists "${known.answer.template}" with (force)`;
        await withClient(known.server.url, (client) => client.query(drop)).catch(() => undefined);
      }
    }
    for (const server of running.splice(0)) await server.stop();
    process.off('exit', killAll);
  };
}
