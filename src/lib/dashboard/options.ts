/** What the command line says of the dashboard, checked before anything listens. */
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { CliError, exit, usageError } from '../cli/errors.js';

export interface Listening {
  /** An IP address. */
  address: string;
  /** 0: any free port. */
  port: number;
  basePath: string;
  token: string;
  /** Whether it is reached from this machine alone. */
  loopback: boolean;
  /** Names that requests may give as their host. */
  hosts: string[];
  proxyHosts: string[];
}

interface Flags {
  port: number;
  listen?: string;
  'token-file'?: string;
  'base-path'?: string;
  'allow-host'?: string[];
}

/** A guess takes longer than the server lives. */
const shortestToken = 24;

const isLoopback = (address: string): boolean => /^(127\.|::1$)/.test(address);

/** Raises a usage error for flags that do not go together, and exit 1 for a file that cannot be read. */
export function readListening(flags: Flags): Listening {
  const { listen, 'token-file': file, 'base-path': path = '' } = flags;
  const address = (listen ?? '127.0.0.1').replace(/^\[(.*)\]$/, '$1');
  if (isIP(address) === 0) throw usageError(`--listen "${address}" is not an IP address`, 'such as 0.0.0.0 or ::');
  const loopback = isLoopback(address);
  if (!loopback && file === undefined)
    throw usageError(
      `--listen ${address} requires --token-file`,
      'whoever reaches that address and has the token sees every task: keep the token in a file that only you can read',
    );
  if (path !== '' && !/^(\/[A-Za-z0-9._~-]+)+\/?$/.test(path))
    throw usageError(`--base-path "${path}" is not a path`, 'such as /absurd');
  const proxyHosts = (flags['allow-host'] ?? []).map((name) => name.toLowerCase());
  for (const name of proxyHosts)
    if (!/^[a-z0-9.-]+$/.test(name)) throw usageError(`--allow-host "${name}" is not a host name`, 'without a port');
  return {
    address,
    port: flags.port,
    basePath: path.replace(/\/$/, ''),
    token: file === undefined ? randomBytes(24).toString('base64url') : readToken(file),
    loopback,
    hosts: [address, ...(loopback ? ['localhost', '127.0.0.1', '::1'] : [])],
    proxyHosts,
  };
}

function readToken(file: string): string {
  let token: string;
  try {
    token = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`--token-file cannot be read: ${reason}`, { exitCode: exit.failed, code: 'token_file' });
  }
  if (!/^[\x21-\x7e]+$/.test(token) || token.length < shortestToken)
    throw usageError(
      `--token-file ${file} does not hold a token of at least ${shortestToken} characters`,
      `openssl rand -base64 24 > ${file}`,
    );
  return token;
}
