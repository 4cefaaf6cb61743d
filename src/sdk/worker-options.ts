import type { WorkerOptions } from './types.js';

/** The longest lease that the server can note, in seconds. */
const mostSeconds = 2 ** 31 - 1;

/** Throws where a worker with these options could not work, and says which one it is. */
export function checkWorkerOptions(options: WorkerOptions): void {
  const { concurrency, batchSize, claimTimeout, pollInterval, adaptivePolling } = options;
  whole('concurrency', concurrency, 1);
  whole('batchSize', batchSize, 1);
  checkClaimTimeout(claimTimeout);
  if (pollInterval !== undefined && !(Number.isFinite(pollInterval) && pollInterval >= 0)) {
    throw new Error(`pollInterval must be a number of seconds, not ${shown(pollInterval)}`);
  }
  if (adaptivePolling !== undefined && typeof adaptivePolling !== 'boolean') {
    throw new Error(`adaptivePolling must be true or false, not ${shown(adaptivePolling)}`);
  }
}

/** A lease is a whole number of seconds; 0 means that it has no end. */
export function checkClaimTimeout(seconds: number | undefined): void {
  whole('claimTimeout', seconds, 0, ' of seconds');
}

function whole(name: string, value: number | undefined, least: number, unit = ''): void {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= mostSeconds)) return;
  throw new Error(`${name} must be a whole number${unit}, at least ${least}, not ${shown(value)}`);
}

const shown = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));
