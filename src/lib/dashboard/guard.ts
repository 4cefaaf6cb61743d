/**
 * Who may ask. Every request passes here first: the Host that it names must be ours (no DNS rebinding), a page of another site
 * may not ask for it, and it must carry the token, or the cookie that the token was exchanged for.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Context, HttpBindings } from './hono.js';

export interface GuardOptions {
  token: string;
  /** Empty, or a path that begins with a slash and does not end with one. */
  basePath: string;
  port: number;
  /** Names that requests may give as their host, in lower case, without a port. */
  hosts: readonly string[];
  /** Names of a proxy: with any port. */
  proxyHosts: readonly string[];
}

export type App = { Bindings: HttpBindings };

/** Why a request is refused. */
export interface Refusal {
  status: 400 | 401 | 403;
  code: string;
  message: string;
}

export const headers: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const same = (one: string, other: string): boolean => timingSafeEqual(digest(one), digest(other));

/** `host`, `host:80`, `[::1]:80` as a name without brackets and a port. */
function splitHost(text: string): { name: string; port: string } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(text);
  return match ? { name: (match[1] ?? match[2] ?? '').toLowerCase(), port: match[3] ?? '80' } : undefined;
}

export class Guard {
  readonly cookieName: string;
  private readonly session: string;

  constructor(private readonly options: GuardOptions) {
    this.cookieName = `absurdctl_${options.port}`;
    // The cookie does not hold the token; with a token of a file it survives a restart.
    this.session = createHmac('sha256', options.token).update('absurdctl dashboard session').digest('base64url');
  }

  /** Undefined where the request may go on. */
  refusal(context: Context<App>, { open = false } = {}): Refusal | undefined {
    return this.wrongHost(context) ?? this.crossSite(context) ?? (open ? undefined : this.stranger(context));
  }

  private wrongHost(context: Context<App>): Refusal | undefined {
    const refused: Refusal = {
      status: 403,
      code: 'host_refused',
      message: 'This host name is not served here; --allow-host adds the name of a proxy',
    };
    const host = splitHost(context.req.header('host') ?? '');
    if (host === undefined) return refused;
    if (this.options.proxyHosts.includes(host.name)) return undefined;
    const local = context.env.incoming.socket.localAddress?.replace(/^::ffff:/, '');
    const known = this.options.hosts.includes(host.name) || host.name === local;
    return known && host.port === String(this.options.port) ? undefined : refused;
  }

  private crossSite(context: Context<App>): Refusal | undefined {
    const { req } = context;
    const refused: Refusal = {
      status: 403,
      code: 'origin_refused',
      message: 'A page of another site may not ask this',
    };
    const origin = req.header('origin');
    if (origin !== undefined) {
      // A proxy may speak TLS where we do not: the host must be the same, the scheme need not.
      const match = /^https?:\/\/(.+)$/i.exec(origin);
      if (match?.[1]?.toLowerCase() !== req.header('host')?.toLowerCase()) return refused;
    }
    const site = req.header('sec-fetch-site');
    const opensPage =
      req.method === 'GET' && req.header('sec-fetch-mode') === 'navigate' && !isApi(req.path, this.options.basePath);
    if (site !== undefined && !['same-origin', 'none'].includes(site) && !opensPage) return refused;
    // A browser says where a request that writes comes from; a script must bring the token itself.
    if (req.method !== 'GET' && req.method !== 'HEAD' && origin === undefined && !this.hasToken(context))
      return refused;
    return undefined;
  }

  private stranger(context: Context<App>): Refusal | undefined {
    if (this.hasToken(context)) return undefined;
    const cookies = (context.req.header('cookie') ?? '').split(/;\s*/);
    const own = cookies.find((one) => one.startsWith(`${this.cookieName}=`))?.slice(this.cookieName.length + 1);
    if (own !== undefined && same(own, this.session)) return undefined;
    return {
      status: 401,
      code: 'token_missing',
      message: 'Open the address that absurdctl dashboard printed; a script sends it as Authorization: Bearer TOKEN',
    };
  }

  private hasToken(context: Context<App>): boolean {
    const bearer = /^Bearer (.+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
    return bearer !== undefined && same(bearer, this.options.token);
  }

  /** Whether the token of the printed address is right. */
  isToken(text: string): boolean {
    return same(text, this.options.token);
  }

  cookie(context: Context<App>): string {
    const secure = context.req.header('x-forwarded-proto') === 'https' ? '; Secure' : '';
    return `${this.cookieName}=${this.session}; Path=${this.options.basePath || '/'}; HttpOnly; SameSite=Strict${secure}`;
  }
}

export const isApi = (path: string, basePath: string): boolean =>
  path.startsWith(`${basePath}/api/`) || path === `${basePath}/metrics`;
