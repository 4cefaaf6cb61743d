/** The options of a spawn from the flags of the command line, as JSON text. */
import { usageError } from '../cli/errors.js';
import type { Io } from '../cli/io.js';
import { readJsonFlags } from './json-params.js';

export interface RetryFlags {
  kind?: 'fixed' | 'exponential' | 'none';
  /** Seconds. */
  base?: number;
  factor?: number;
  /** Seconds. */
  max?: number;
}

/**
 * The retry strategy of the schema; undefined when no flag says anything. Numbers alone mean an exponential one. Zero is a
 * value. Raises a usage error for a number that the kind has no use for.
 */
export function retryStrategy({ kind, base, factor, max }: RetryFlags): Record<string, unknown> | undefined {
  const numbers = { base_seconds: base, factor, max_seconds: max };
  const given = Object.entries(numbers).filter(([, value]) => value !== undefined);
  const chosen = kind ?? (given.length > 0 ? 'exponential' : undefined);
  if (chosen === undefined) return undefined;
  const useless = given.find(([name]) => chosen === 'none' || (chosen === 'fixed' && name !== 'base_seconds'));
  if (useless) {
    const flag = { base_seconds: '--retry-base', factor: '--retry-factor', max_seconds: '--retry-max' }[useless[0]];
    throw usageError(`${flag} cannot be used with --retry-kind ${chosen}`, '--retry-kind exponential takes all three');
  }
  return { kind: chosen, ...Object.fromEntries(given) };
}

/** The headers' JSON text; undefined when none is given. */
export async function readHeaders(io: Io, assignments: readonly string[] | undefined): Promise<string | undefined> {
  if (assignments === undefined || assignments.length === 0) return undefined;
  return readJsonFlags(io, { assignments, baseFlag: '-H', assignmentFlag: '-H' });
}

export interface SpawnSettings {
  /** JSON text. */
  headers?: string;
  maxAttempts?: number;
  retryStrategy?: Record<string, unknown>;
  /** Seconds. */
  maxDuration?: number;
  /** Seconds. */
  maxDelay?: number;
  idempotencyKey?: string;
  /** When it starts, RFC 3339; not together with `delaySeconds`. */
  startAt?: string;
  delaySeconds?: number;
}

/** The JSON text for `absurd.spawn_task`'s options. */
export function spawnOptions(settings: SpawnSettings): string {
  const cancellation =
    settings.maxDuration === undefined && settings.maxDelay === undefined
      ? undefined
      : { max_duration: settings.maxDuration, max_delay: settings.maxDelay };
  const rest = JSON.stringify({
    max_attempts: settings.maxAttempts,
    retry_strategy: settings.retryStrategy,
    cancellation,
    idempotency_key: settings.idempotencyKey,
    start_at: settings.startAt,
    delay_seconds: settings.delaySeconds,
  });
  if (settings.headers === undefined) return rest;
  const separator = rest === '{}' ? '' : ',';
  // The headers stay the text that was typed, so that no digit is lost.
  return `{"headers":${settings.headers}${separator}${rest.slice(1)}`;
}
