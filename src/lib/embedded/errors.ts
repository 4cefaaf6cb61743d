import { CliError, exit } from '../cli/errors.js';

/**
 * What keeps the embedded server from running, in words for whoever typed the command; `hint` says what to do next.
 * For a command that needs the server this is a database that cannot be reached. `kind` is in the code that scripts see:
 * `embedded_missing_package`.
 */
export class EmbeddedServerError extends CliError {
  constructor(
    readonly kind: 'missing-package' | 'unsupported' | 'start-failed' | 'storage',
    message: string,
    hint?: string,
  ) {
    super(message, { exitCode: exit.unreachable, code: `embedded_${kind.replace('-', '_')}`, hint, lines: true });
    this.name = 'EmbeddedServerError';
  }
}

export { errorCode } from '../cli/errors.js';
