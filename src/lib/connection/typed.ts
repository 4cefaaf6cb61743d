/** The words that named the database on a command line, for the commands that it tells people to type next. */
import { option } from '../format/shell.js';
import type { ConnectionFlags } from './settings.js';
import { maskPasswords } from './uri.js';

/**
 * The same command for the same database: `absurdctl why ID` after `-d prod` becomes `absurdctl why --database prod ID`. A
 * step that is no command of ours stays as it is, and a password is masked.
 */
export function forSameDatabase(step: string, { database, host, port, user }: ConnectionFlags): string {
  const words = [
    ...(database === undefined ? [] : [option('database', maskPasswords(database))]),
    ...(host === undefined ? [] : [option('host', host)]),
    ...(port === undefined ? [] : [option('port', String(port))]),
    ...(user === undefined ? [] : [option('user', user)]),
  ];
  return step.replace(/^absurdctl [a-z-]+/, (command) => [command, ...words].join(' '));
}
