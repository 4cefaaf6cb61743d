/**
 * The server's routes: the guard first, then the API from its tables of views and actions, then the pages. `globalThis.Response`
 * because the bundle hides the bare name from the driver (scripts/build/cli.mjs).
 */
import type { Place } from '../cli/hint.js';
import { adviceText } from '../cli/hint.js';
import { CliError, exit, notFound, toCliError } from '../cli/errors.js';
import { toJson } from '../cli/format/json.js';
import type { Database } from '../connection/database.js';
import { maskPasswordsWithin } from '../../connection/uri.js';
import { examine } from '../doctor/index.js';
import { openMetrics } from '../doctor/openmetrics.js';
import { inspectSchema } from '../../sql/schema.js';
import { actions, perform, type Action } from './actions.js';
import { Guard, headers, isApi, type App, type GuardOptions, type Refusal } from './guard.js';
import { Hono, type Context } from './hono.js';
import { LiveHub, roundMs, streamOf } from './live.js';
import { openApi } from './openapi.js';
import { forwardPage, plainPage, type Pages } from './pages.js';
import { Body, Query } from './request.js';
import type { SharedReader } from './shared-reader.js';
import { views, type View } from './views.js';

export interface DashboardOptions extends GuardOptions {
  allowActions: boolean;
  version: string;
  database: string;
  place: Place;
  pages: Pages;
  env: NodeJS.ProcessEnv;
  /** Pages and lists. */
  reader: SharedReader;
  /** Doctor, which may take long. */
  slow: SharedReader;
  /** Runs `work` in a transaction that writes, over a connection of its own. */
  write<T>(work: (database: Database) => Promise<T>): Promise<T>;
  now(): Date;
  /** Milliseconds between two looks at a view that a page follows. */
  roundMs?: number;
}

/** Bytes of a body; the payload of an event is the largest there is. */
const largestBody = 1_000_000;

/** Passwords are masked wherever they stand, and no answer ends in a line of its own. */
const jsonText = (value: unknown): string => maskPasswordsWithin(toJson(value));

const statusOf: Record<number, number> = {
  [exit.usage]: 400,
  [exit.notFound]: 404,
  [exit.refused]: 409,
  [exit.unreachable]: 503,
};

export class DashboardApp {
  readonly hub: LiveHub;
  private readonly guard: Guard;
  private readonly hono = new Hono<App>();

  constructor(private readonly options: DashboardOptions) {
    this.guard = new Guard(options);
    this.hub = new LiveHub(
      (path) => this.viewText(path),
      (error) => this.failureText(error).text,
      options.roundMs ?? roundMs,
    );
    this.routes();
  }

  get fetch(): Hono<App>['fetch'] {
    return this.hono.fetch;
  }

  private routes(): void {
    const { hono, options } = this;
    const base = options.basePath;
    hono.use(async (context, next) => {
      const open = context.req.path === `${base}/healthz`;
      const refusal = this.guard.refusal(context, { open });
      if (refusal === undefined) await next();
      else context.res = this.enter(context, refusal) ?? this.refuse(context, refusal);
      for (const [name, value] of Object.entries(headers)) context.res.headers.set(name, value);
      if (!context.res.headers.has('Cache-Control')) context.res.headers.set('Cache-Control', 'no-store');
    });
    hono.onError((error) => this.failure(error));
    for (const view of views) {
      hono.get(base + toHono(view.path), async (context) => {
        const { pathname, search } = new URL(context.req.url);
        return this.json((await this.viewText(pathname.slice(base.length) + search)).text);
      });
    }
    for (const action of actions) hono.post(base + toHono(action.path), (context) => this.act(context, action));
    hono.get(`${base}/api/session`, () => this.json(jsonText(this.session())));
    hono.get(`${base}/api/openapi.json`, () => this.json(jsonText(openApi(options.version))));
    hono.get(`${base}/api/live`, (context) => this.live(context));
    hono.get(`${base}/metrics`, () => this.metrics());
    hono.get(`${base}/healthz`, () => this.health());
    hono.get(`${base}/assets/:name`, (context) => this.asset(context));
    hono.all(`${base}/api/*`, () => this.failure(notFound('The API has no such path', undefined, 'no_such_path')));
    hono.get(`${base}/*`, (context) => {
      const known = /^\/(|tasks(\/[^/]+\/[^/]+)?|events|schedules|workers|operations|doctor)\/?$/;
      const path = new URL(context.req.url).pathname.slice(base.length);
      return context.html(options.pages.index, known.test(path) ? 200 : 404);
    });
    if (base !== '') hono.get(base, (context) => context.redirect(`${base}/`));
    hono.all('*', (context) => context.html(plainPage('Not found', 'There is no such page.'), 404));
  }

  /** The printed address: its token becomes a cookie. Undefined for every other request. */
  private enter(context: Context<App>, refusal: Refusal): Response | undefined {
    const url = new URL(context.req.url);
    const token = url.searchParams.get('token');
    if (refusal.code !== 'token_missing' || context.req.method !== 'GET' || token === null) return undefined;
    if (isApi(url.pathname, this.options.basePath) || !this.guard.isToken(token)) return undefined;
    url.searchParams.delete('token');
    context.header('Set-Cookie', this.guard.cookie(context));
    return context.html(forwardPage(url.pathname + url.search));
  }

  private refuse(context: Context<App>, { status, code, message }: Refusal): Response {
    if (isApi(context.req.path, this.options.basePath) || context.req.method !== 'GET')
      return this.json(jsonText({ code, message, hint: null }), status);
    return context.html(plainPage('Not permitted', message), status);
  }

  private session() {
    const { version, database, allowActions, basePath } = this.options;
    return {
      version,
      database,
      allow_actions: allowActions,
      base_path: basePath,
      following_seconds: (this.options.roundMs ?? roundMs) / 1000,
    };
  }

  private json(text: string, status = 200): Response {
    return new globalThis.Response(text, { status, headers: { 'Content-Type': 'application/json; charset=utf-8' } });
  }

  private failure(error: unknown): Response {
    const { text, status } = this.failureText(error);
    return this.json(text, status);
  }

  private failureText(error: unknown): { text: string; status: number } {
    const { message, code, hint, exitCode } = toCliError(error);
    const status = code === 'not_permitted' ? 403 : (statusOf[exitCode] ?? 500);
    const said = hint === undefined ? null : adviceText(hint, this.options.place);
    return { text: jsonText({ code, message, hint: said }), status };
  }

  /** The answer of a view, by its path below the base path. Raises CliError. */
  private async viewText(path: string): Promise<{ text: string; tookMs: number }> {
    const url = new URL(path, 'http://dashboard');
    for (const view of views) {
      const parts = match(view, url.pathname);
      if (parts === undefined) continue;
      const query = new Query(url.searchParams, view.parameters);
      const reader = view.slow ? this.options.slow : this.options.reader;
      const { now, place } = this.options;
      const { value, tookMs } = await reader.ask(url.pathname + url.search, view.maxAgeMs, async (database) =>
        jsonText(await view.read(database, query, parts, { now, place })),
      );
      return { text: value, tookMs };
    }
    throw notFound('There is no such view', undefined, 'no_such_view');
  }

  private live(context: Context<App>): Response {
    const of = context.req.query('of') ?? '';
    const url = of.startsWith('/api/') ? new URL(of, 'http://dashboard') : undefined;
    if (url === undefined || !views.some((view) => match(view, url.pathname) !== undefined))
      return this.failure(notFound(`There is no view "${of}"`, undefined, 'no_such_view'));
    url.searchParams.sort();
    const path = url.pathname + url.search;
    const stream = streamOf(
      (follower) => this.hub.follow(path, follower),
      (follower) => this.hub.leave(path, follower),
    );
    if (stream === undefined)
      return this.failure(new CliError('Too many pages follow already', { code: 'busy', exitCode: exit.unreachable }));
    // A proxy that collects the stream would hold back every event.
    return new globalThis.Response(stream, {
      headers: { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' },
    });
  }

  private async act(context: Context<App>, action: Action): Promise<Response> {
    const { options } = this;
    if (!/^application\/json\b/i.test(context.req.header('content-type') ?? ''))
      throw new CliError('The body must be application/json', { exitCode: exit.usage, code: 'usage' });
    if (Number(context.req.header('content-length') ?? 0) > largestBody) throw tooLarge();
    const text = await context.req.text();
    if (text.length > largestBody) throw tooLarge();
    const body = await Body.read(text, [...Object.keys(action.members), 'dry_run', 'reason']);
    const pathname = new URL(context.req.url).pathname.slice(options.basePath.length);
    const parts = match(action, pathname) ?? [];
    const shown = (plan: { allowed: boolean; effects: string[]; command: Parameters<typeof adviceText>[0] }) => ({
      allowed: plan.allowed,
      effects: plan.effects,
      command: adviceText(plan.command, options.place),
    });
    const answer = await options.write(async (database) => {
      const plan = await database.read((db) => action.plan(db, body, parts));
      if (body.flag('dry_run')) return { dry_run: true, ...shown(plan) };
      if (!options.allowActions)
        throw new CliError('This dashboard is read-only', {
          exitCode: exit.refused,
          code: 'actions_not_allowed',
          hint: 'start it with --allow-actions',
        });
      const reason = body.text('reason');
      const done = await perform(database, action, plan, { reason, env: options.env });
      return { dry_run: false, ...shown(plan), ...done };
    });
    if (!body.flag('dry_run')) {
      options.reader.forget();
      this.hub.hurry();
    }
    return this.json(jsonText(answer));
  }

  private async metrics(): Promise<Response> {
    const { value } = await this.options.slow.ask('/metrics', 10_000, async (database) =>
      openMetrics(await examine(database, { timeoutMs: 5000 })),
    );
    const type = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
    return new globalThis.Response(value, { headers: { 'Content-Type': type } });
  }

  private async health(): Promise<Response> {
    const plain = (text: string, status: number): Response =>
      new globalThis.Response(`${text}\n`, { status, headers: { 'Content-Type': 'text/plain; charset=utf-8' } });
    try {
      const { value } = await this.options.reader.ask('/healthz', 1000, (database) => database.read(inspectSchema));
      return value.installed ? plain('ok', 200) : plain('the schema is missing', 503);
    } catch {
      return plain('the database does not answer', 503);
    }
  }

  private asset(context: Context<App>): Response {
    const found = this.options.pages.assets.get(context.req.param('name') ?? '');
    if (found === undefined) return context.html(plainPage('Not found', 'There is no such file.'), 404);
    const packed = /\bgzip\b/.test(context.req.header('accept-encoding') ?? '');
    return new globalThis.Response(packed ? found.packed : found.plain, {
      headers: {
        'Content-Type': found.type,
        // The name holds a hash of what is in it.
        'Cache-Control': 'private, max-age=31536000, immutable',
        Vary: 'Accept-Encoding',
        ...(packed && { 'Content-Encoding': 'gzip' }),
      },
    });
  }
}

const tooLarge = (): CliError =>
  new CliError(`The body is larger than ${largestBody} bytes`, { exitCode: exit.usage, code: 'too_large' });

/** `/api/tasks/{queue}/{id}` as the router writes it. */
const toHono = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

/** The parts of a path, decoded; undefined where it is another path. */
function match({ path }: Pick<View, 'path'>, pathname: string): string[] | undefined {
  const expression = new RegExp(`^${path.replaceAll(/\{\w+\}/g, '([^/]+)')}$`);
  const found = expression.exec(pathname);
  if (found === null) return undefined;
  try {
    return found.slice(1).map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
