import type { WhyThresholds } from './cause.js';

/** Defaults of `why`. */
export const defaultThresholds: WhyThresholds = { retries: 20, polling: 20, largeBytes: 10 * 1024 * 1024 };
