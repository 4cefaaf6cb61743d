import pg from 'pg';
import { readServerKind } from '../sql/server-facts.js';
import { ConnectionError, errorCode, isServerError } from './errors.js';
import { readPassfile } from './files.js';
import { reachedLimit } from './limits.js';
import type { Host, Settings, Environment } from './settings.js';
import { tlsAttempts, tlsOptions } from './ssl.js';

/** What connecting may use of its caller. */
export interface Caller {
  env: Environment['env'];
  /** Says something in passing. */
  note(text: string): void;
  /** Asks a person for a password; absent where there is nobody to ask. */
  askPassword?: ((user: string) => Promise<string>) | undefined;
  /** Calls back with the error to end with when the caller no longer waits; returns the end of that watch. */
  onAbort?: (abort: (error: Error) => void) => () => void;
  /** For pg's `types`; default: the driver's own. */
  types?: pg.CustomTypesConfig | undefined;
}

export interface Connected {
  client: pg.Client;
  at: Host;
}

/** The last attempt at a host failed, with the error as it came from the driver or the server. */
export class DialError extends Error {
  constructor(
    readonly at: Host,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'DialError';
  }
}

export const describeHost = ({ host, port, address }: Host): string =>
  host.startsWith('/') ? `socket ${host}, port ${port}` : `${host}:${port}${address ? ` (${address})` : ''}`;

/** Ends the search over all hosts with the error that it holds. */
class Final extends Error {
  constructor(readonly reason: unknown) {
    super('final');
  }
}

/** The server refused TLS, or a connection without it: libpq then tries the other way where the mode allows it. */
function wantsOtherWay(error: unknown): boolean {
  if (isServerError(error)) return error.code === '28000';
  return error instanceof Error && /does not support SSL|establishing an SSL/.test(error.message);
}

interface Attempt {
  settings: Settings;
  at: Host;
  tls: boolean;
  caller: Caller;
  /** A password that was typed for an attempt before. */
  typed: { password?: string };
}

/** The password, when the server asks for it: given, from the password file, or typed at a terminal. */
async function password({ settings, at, caller, typed }: Attempt, pause: () => () => void): Promise<string> {
  const known = settings.password ?? readPassfile(settings, at, caller.note) ?? typed.password;
  if (known !== undefined) return known;
  if (caller.askPassword === undefined) {
    throw new ConnectionError(`The server at ${describeHost(at)} asks for the password of "${settings.user}"`, {
      code: 'authentication_failed',
      hint: 'set PGPASSWORD, or add a line to ~/.pgpass: host:port:database:user:password',
    });
  }
  const resume = pause();
  typed.password = await caller.askPassword(settings.user).catch((error: unknown) => {
    throw new Final(error);
  });
  resume();
  return typed.password;
}

function clientFor(one: Attempt, pause: () => () => void): pg.Client {
  const { settings, at, caller } = one;
  const client = new pg.Client({
    host: at.address ?? at.host,
    port: at.port,
    database: settings.database,
    user: settings.user,
    password: () => password(one, pause),
    ssl: one.tls ? tlsOptions(settings, caller.env, at) : false,
    sslnegotiation: settings.directSsl && one.tls ? 'direct' : 'postgres',
    application_name: settings.applicationName,
    // The driver takes an empty text for none and then looks at PGOPTIONS, which may be about another server.
    // The driver reads PGOPTIONS itself where it gets none; a pooler refuses even a blank one.
    options: settings.options ?? (process.env['PGOPTIONS'] ? ' ' : undefined),
    keepAlive: true,
    ...(caller.types ? { types: caller.types } : {}),
  });
  // After connecting, errors come through the queries; one that comes between two must not end the process.
  client.on('error', () => undefined);
  return client;
}

/** Closes a connection without a goodbye: one that does not answer. */
export function hangUp(client: pg.Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** One attempt at one host. The time limit does not run while a password is typed. */
async function attempt(one: Attempt): Promise<pg.Client> {
  let timer: NodeJS.Timeout | undefined;
  let expire: (error: Error) => void = () => undefined;
  const limit = one.settings.connectTimeoutSeconds * 1000;
  const late = (): Error =>
    Object.assign(new Error(`no answer within ${limit / 1000} s`), { code: 'ETIMEDOUT', syscall: 'connect' });
  const start = (): void => {
    if (limit > 0) timer = setTimeout(() => expire(late()), limit);
  };
  const client = clientFor(one, () => {
    clearTimeout(timer);
    return start;
  });
  const expired = new Promise<never>((_, reject) => (expire = reject));
  const stop = one.caller.onAbort?.((error) => expire(new Final(error)));
  start();
  try {
    await Promise.race([client.connect(), expired]);
    return client;
  } catch (error) {
    client.end().catch(() => undefined);
    hangUp(client);
    throw error;
  } finally {
    clearTimeout(timer);
    stop?.();
  }
}

async function attemptHost(settings: Settings, at: Host, caller: Caller, typed: Attempt['typed']): Promise<pg.Client> {
  let refusal: unknown;
  for (const tls of tlsAttempts(settings.sslMode, at.host.startsWith('/'))) {
    try {
      return await attempt({ settings, at, tls, caller, typed });
    } catch (error) {
      // When the other way fails too, the first refusal tells more than "no encryption".
      refusal ??= error;
      if (!wantsOtherWay(error)) throw error;
      if (!isServerError(error)) refusal = undefined;
    }
  }
  throw refusal ?? new Error('The server does not support SSL connections');
}

/** Whether a server is of the kind that target_session_attrs asks for. */
async function suits(client: pg.Client, wanted: string): Promise<boolean> {
  if (wanted === 'any') return true;
  const { standby, readOnly } = await readServerKind(client);
  if (wanted === 'primary') return !standby;
  if (wanted === 'standby') return standby;
  return (wanted === 'read-only') === readOnly;
}

/** Authentication that fails ends the search, as in libpq; so does what no other host can help. */
function endsSearch(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return isServerError(error) && (error.code.startsWith('28') || error.code === '3D000');
}

/** The first of the hosts that answers and is of the kind wanted. */
async function search(settings: Settings, wanted: string, caller: Caller, typed: Attempt['typed']): Promise<Connected> {
  let failure: DialError | undefined;
  for (const at of settings.hosts) {
    try {
      const client = await attemptHost(settings, at, caller, typed);
      if (await suits(client, wanted)) return { client, at };
      await client.end();
      // The code tells a worker that it is worth another try: a failover may be under way.
      failure = new DialError(
        at,
        Object.assign(new Error(`The server at ${describeHost(at)} is not ${wanted}`), { code: '08004' }),
      );
    } catch (error) {
      if (error instanceof Final) throw error.reason;
      failure = new DialError(at, reachedLimit(error, settings));
      if (endsSearch(error)) throw failure;
    }
  }
  throw failure ?? new ConnectionError('No host was given', { usage: true });
}

/**
 * Connects to the first host that answers and suits.
 * @throws DialError with the last host's error; ConnectionError for settings that cannot be used
 */
export async function connect(settings: Settings, caller: Caller): Promise<Connected> {
  const { sessionAttributes: wanted } = settings;
  const typed = {};
  if (wanted !== 'prefer-standby') return search(settings, wanted, caller, typed);
  try {
    return await search(settings, 'standby', caller, typed);
  } catch (error) {
    if (!(error instanceof DialError) || endsSearch(error.cause)) throw error;
    return search(settings, 'any', caller, typed);
  }
}

/** Whether a server took no connection since one of its limits is reached. */
export const isFull = (error: unknown): boolean => errorCode(error) === '53300';
