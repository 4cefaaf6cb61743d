export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** Settings under libpq's names, each as text, from one place: flags, a URI, a service or the environment. */
export type Parameters = Record<string, string | undefined>;

export interface Host {
  /** A name, an address, or the folder of a Unix socket. */
  host: string;
  port: number;
  /** The address of a host whose name is not to be looked up (hostaddr); certificates and .pgpass go by the name. */
  address?: string;
}

/** Where and how to connect, all decided. */
export interface Settings {
  /** Where the database's name came from, for -v. */
  source: string;
  /** What to do when no server answers there, where that is known. */
  advice?: string;
  /** Tried in this order. */
  hosts: Host[];
  database: string;
  user: string;
  /** Undefined: look in .pgpass, then ask on a terminal, and only when the server wants one. */
  password: string | undefined;
  passfile: string;
  sslMode: SslMode;
  sslRootCert: string | undefined;
  sslCert: string | undefined;
  sslKey: string | undefined;
  sslPassword: string | undefined;
  sslCrl: string | undefined;
  sslMinVersion: string | undefined;
  sslMaxVersion: string | undefined;
  directSsl: boolean;
  /** 0: without limit. */
  connectTimeoutSeconds: number;
  applicationName: string;
  options: string | undefined;
  /** libpq's target_session_attrs. */
  sessionAttributes: string;
}

/** The connection flags as typed. */
export interface ConnectionFlags {
  database?: string;
  host?: string;
  port?: number;
  user?: string;
  verbose?: boolean;
}

/** What resolving may look at. */
export interface Environment {
  env: Record<string, string | undefined>;
  cwd: string;
  /** The name of our sessions where nothing else names them; default `absurdctl`. */
  applicationName?: string;
}

/** How embedded servers are found and started. */
export interface EmbeddedFinder {
  /** The address of the server that was started in `cwd` or a folder above it, and not stopped since. */
  find(cwd: string): Promise<string | undefined>;
  /** The address of the server of `folder` (empty: of the nearest folder upwards that has one, else of `cwd`), started if need be. */
  ensure(folder: string, cwd: string): Promise<string>;
}
