import { isServerError } from './errors.js';
import type { Settings } from './settings.js';

/** By the function of the server that refuses: its messages may be in any language. */
const limits: Record<string, (settings: Settings) => [string, string]> = {
  InitializeSessionUserId: ({ user }) => [
    `the connection limit of the role "${user}" is reached`,
    `end sessions of that role, or raise its limit: alter role … connection limit N`,
  ],
  CheckMyDatabase: ({ database }) => [
    `the connection limit of the database "${database}" is reached`,
    'end sessions in that database, or raise its limit: alter database … connection limit N',
  ],
};

/** max_connections, of which some are reserved; raised at several places. */
const whole: [string, string] = [
  'the connection limit of the whole server is reached (max_connections)',
  'end sessions, raise max_connections, or put a pooler in front',
];

/** The same error with the limit named where the server has no connection left; any other error as it is. */
export function reachedLimit(error: unknown, settings: Settings): unknown {
  if (!isServerError(error) || error.code !== '53300' || error.routine === undefined) return error;
  const [message, hint] = limits[error.routine]?.(settings) ?? whole;
  error.message = `${message}: ${error.message}`;
  error.hint ??= hint;
  return error;
}
