import { usageError } from '../cli/errors.js';
import type { Io } from '../cli/io.js';

const secondsPer: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * How long a server waits for a client: `90s`, `30m`, `2h`, `1d`, or plain seconds; `0` for ever. In seconds.
 * @throws CliError (usage) for anything else.
 */
export function parseIdleTimeout(text: string): number {
  const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)([smhd])?$/.exec(text.trim()) ?? [];
  const seconds = Number(digits) * (secondsPer[unit] ?? 1);
  if (digits === undefined || seconds > 365 * 86_400) {
    throw usageError(`"${text}" is not a time to wait for a client`, 'such as 90s, 30m or 2h; 0 never stops by itself');
  }
  return seconds;
}

/** The address as it may be shown. */
export function maskPassword(url: string): string {
  const address = new URL(url);
  if (address.password) address.password = '***';
  return address.href;
}

/** Aborts at Ctrl-C, a polite kill, or when the terminal is closed: each would otherwise leave PostgreSQL without its supervisor. */
export function endOfForeground(io: Io): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const release = io.onInterrupt(stop);
  process.on('SIGHUP', stop);
  return {
    signal: controller.signal,
    release() {
      release();
      process.off('SIGHUP', stop);
    },
  };
}
