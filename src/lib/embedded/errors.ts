/**
 * What went wrong around the embedded server, in words for whoever typed the command.
 * `kind` lets a caller choose an exit code; `hint` says what to do next.
 */
export class EmbeddedServerError extends Error {
  override readonly name = 'EmbeddedServerError';
  readonly hint: string | undefined;

  constructor(
    readonly kind: 'missing-package' | 'unsupported' | 'start-failed' | 'storage' | 'not-running',
    message: string,
    hint?: string,
  ) {
    super(message);
    this.hint = hint;
  }
}

/** The errno name of a failed system call (`ENOENT`, `EACCES`, …), or undefined for any other value. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}
