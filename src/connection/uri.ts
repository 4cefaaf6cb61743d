import { usageError } from './errors.js';
import type { Parameters } from './settings.js';

/**
 * Whether a text that is no URI of ours was meant as one: of another scheme, or with a slash or the scheme missing. It may
 * hold a password, so it must not be taken for the name of a database, which errors show.
 */
export const looksLikeUri = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\/?|:.*@/is.test(text);

export const isUri = (text: string): boolean => /^postgres(ql)?:\/\//i.test(text);

/** A word of the command line as it may be shown: the password of an address masked, well-formed or not. */
export const maskPasswords = (word: string): string =>
  word.replace(/(:\/\/[^:@/?]*:).*@/s, '$1***@').replace(/(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&]*)/gi, '$1***');

const secret =
  '[\\w.-]*(?:passw|passphrase|secret|token|credential|authorization|cookie|api[-_]?key|private[-_]?key)[\\w.-]*';
const secretAssignment = new RegExp(`(${secret}:?=)[^]+$`, 'i');
const secretMember = new RegExp(`("${secret}"\\s*:\\s*)("(?:[^"\\\\]|\\\\.)*"?|[^\\s,}\\]]+)`, 'gi');

/**
 * A word of the command line as it may be kept: passwords of addresses, values of assignments (`-P api_token=…`) and members
 * of JSON are masked where their name says that they are secret.
 */
export const maskSecrets = (word: string): string =>
  maskPasswords(word).replace(secretMember, '$1"***"').replace(secretAssignment, '$1***');

/**
 * A text of any kind, JSON too, with the passwords of addresses and connection strings in it masked. Unlike `maskPasswords` it
 * takes no word whole: what stands around an address stays.
 */
export const maskPasswordsWithin = (text: string): string =>
  text
    .replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/?#"'\\]*:)[^\s@"'\\]+@/gi, '$1***@')
    .replace(/(\bpassword=)(?!=)('[^'"\\]*'?|[^\s&"'\\]+)/gi, '$1***');

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usageError('The connection URI has a % that is not followed by two hexadecimal digits', 'write % as %25');
  }
}

/**
 * A connection URI as libpq reads it: several hosts, Unix sockets as `%2Fpath` or `?host=/path`, IPv6 in brackets.
 * Errors never repeat the URI: it may hold a password.
 */
export function parseUri(uri: string): Parameters {
  const rest = uri.replace(/^postgres(ql)?:\/\//i, '');
  const match = /^(?:([^/?@]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(rest);
  if (!match) {
    throw usageError(
      'This connection URI cannot be read',
      'write it as postgresql://user:password@host:5432/name, with @ / ? : in a password as %40 %2F %3F %3A',
    );
  }
  const [, userInfo, hostSpec = '', path, query = ''] = match;
  // The rest of a password that holds an @ or / as it is would be taken for a host or a database, and shown in errors.
  if (hostSpec.includes('@') || (userInfo === undefined && hostSpec.includes(':') && path?.includes('@'))) {
    throw usageError(
      'This connection URI has an @ where none can be',
      'in a password, write @ / ? : as %40 %2F %3F %3A; in the name of a database, @ as %40',
    );
  }
  const parameters: Parameters = {};
  if (userInfo !== undefined) {
    const colon = userInfo.indexOf(':');
    parameters.user = decode(colon < 0 ? userInfo : userInfo.slice(0, colon)) || undefined;
    if (colon >= 0) parameters.password = decode(userInfo.slice(colon + 1)) || undefined;
  }
  const hosts = hostSpec.split(',').map((one) => /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(one));
  if (hosts.includes(null))
    throw usageError('The host of the connection URI cannot be read', 'host, host:5432, or [::1]:5432');
  const names = hosts.map((host) => decode(host?.[1] ?? host?.[2] ?? ''));
  if (names.some((name) => name !== '')) parameters.host = names.join(',');
  if (hosts.some((host) => host?.[3])) parameters.port = hosts.map((host) => host?.[3] ?? '').join(',');
  if (path) parameters.dbname = decode(path);
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    if (equals < 0) throw usageError('A parameter of the connection URI has no value', 'write ?name=value&name=value');
    const key = decode(pair.slice(0, equals));
    const value = decode(pair.slice(equals + 1));
    // As JDBC and the Node driver write it.
    if (key === 'ssl' && /^(true|1|false|0)$/.test(value)) {
      parameters.sslmode = value === 'true' || value === '1' ? 'require' : 'disable';
    } else parameters[key] = value;
  }
  return parameters;
}

/** A `host=… dbname='a b'` string, with \' and \\ as escapes. */
export function parseKeywords(text: string): Parameters {
  const parameters: Parameters = {};
  const pattern = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)*))(?:\s+|$)/gsy;
  let end = 0;
  for (let match = pattern.exec(text); match && end < text.length; match = pattern.exec(text)) {
    parameters[match[1] ?? ''] = (match[2] ?? match[3] ?? '').replace(/\\(.)/gs, '$1');
    end = pattern.lastIndex;
    if (end >= text.length) break;
  }
  if (end < text.length) {
    throw usageError(
      'This connection string cannot be read',
      'write it as host=… dbname=… user=…, or as a postgresql:// URI',
    );
  }
  return parameters;
}
