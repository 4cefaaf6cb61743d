/** How an operation is told to people. */
import type { Operation } from '../../sql/operations.js';
import { flagWord } from '../cli/hint.js';

/** `anna@host`, or the database role where no user of an operating system is known. */
export const actor = ({
  os_user: user,
  os_host: host,
  database_role: role,
}: Pick<Operation, 'os_user' | 'os_host' | 'database_role'>): string =>
  user === null ? role : host === null ? user : `${user}@${host}`;

/** The command line as it could be typed, but for what is masked. */
export const commandLine = ({ command, arguments: words }: Pick<Operation, 'command' | 'arguments'>): string =>
  [command, ...words.map(flagWord)].join(' ');
