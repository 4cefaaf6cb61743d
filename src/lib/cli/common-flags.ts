/** Flags that many commands have. */
import * as Flags from '@oclif/core/flags';
import { wholeNumberFlag } from './flags.js';
import { modes } from './output.js';

/** Where to connect. Every command that connects spreads these into its flags. */
export const dbFlags = {
  database: Flags.string({ char: 'd', helpValue: 'NAME|URI', helpGroup: 'CONNECTION', description: 'database to use' }),
  host: Flags.string({ char: 'h', helpValue: 'HOST', helpGroup: 'CONNECTION', description: 'host or socket folder' }),
  port: wholeNumberFlag({
    char: 'p',
    helpValue: 'PORT',
    helpGroup: 'CONNECTION',
    min: 1,
    max: 65_535,
    description: 'port',
  }),
  user: Flags.string({ char: 'U', helpValue: 'USER', helpGroup: 'CONNECTION', description: 'role to connect as' }),
  verbose: Flags.boolean({
    char: 'v',
    helpGroup: 'CONNECTION',
    description: 'show on standard error how it connects, with the password masked',
  }),
};

/** The flags of a command that changes something and is recorded in list-operations. */
export const changeFlags = {
  ...dbFlags,
  reason: Flags.string({ helpValue: 'TEXT', description: 'why, for everyone who reads list-operations' }),
};

/** -q without a default: absent means every queue, or the queue in which the id is found. */
export const queueFlag = Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'queue to look in' });

/** Output flags, which every command has. */
export const outputFlags = {
  output: Flags.string({
    char: 'o',
    options: modes,
    helpValue: 'FORMAT',
    helpGroup: 'OUTPUT',
    description: 'how to print the answer',
  }),
  json: Flags.boolean({ helpGroup: 'OUTPUT', description: 'the same as -o json; errors are JSON too' }),
  'no-pager': Flags.boolean({
    helpGroup: 'OUTPUT',
    description: 'do not show long answers in $PAGER or less',
  }),
};
