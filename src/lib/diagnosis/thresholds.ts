import type { WhyThresholds } from './cause.js';

/** Those of `why` where no flag says otherwise. */
export const defaultThresholds: WhyThresholds = { retries: 20, polling: 20, largeBytes: 10 * 1024 * 1024 };
