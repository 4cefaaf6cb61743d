/** The words that named the database on a command line, for the commands that it tells people to type next. */
import { option } from '../cli/format/shell.js';
import type { ConnectionFlags } from './settings.js';
import { maskPasswords } from './uri.js';

/** Commands of ours in a text, those that ask a database; what stands in double quotes is somebody's name. */
const commands =
  /"[^"]*"|\babsurdctl (?:(?!install-skill)[a-z]+-[a-z-]+|init|migrate|uninstall|grants|cleanup|maintain|cron|why|doctor|work)(?![\w-]| --help)/g;

/**
 * The same commands for the same database: `absurdctl why ID` after `-d prod` becomes `absurdctl why --database prod ID`.
 * A text without a command of ours stays as it is, a role that it names itself is kept, and a password is masked.
 */
export function forSameDatabase(text: string, { database, host, port, user }: ConnectionFlags): string {
  const words = [
    ...(database === undefined ? [] : [option('database', maskPasswords(database))]),
    ...(host === undefined ? [] : [option('host', host)]),
    ...(port === undefined ? [] : [option('port', String(port))]),
    ...(user === undefined || / -U /.test(text) ? [] : [option('user', user)]),
  ];
  return text.replace(commands, (found) => (found.startsWith('"') ? found : [found, ...words].join(' ')));
}
