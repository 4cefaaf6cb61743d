export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';
export const sslModes: readonly string[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];

/** Settings under libpq's names, each as text, from one place: flags, a URI, a service or the environment. */
export type Parameters = Record<string, string | undefined>;

export interface Host {
  /** A name, an address, or the folder of a Unix socket. */
  host: string;
  port: number;
}

/** Where and how to connect, all decided. */
export interface Settings {
  /** Where the database's name came from, for -v. */
  source: string;
  /** What to do when nobody answers there, where that is known. */
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
export interface Surroundings {
  env: Record<string, string | undefined>;
  cwd: string;
  err(text: string): void;
}
