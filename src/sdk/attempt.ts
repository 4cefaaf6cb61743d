/**
 * Reads something that a program gave or threw. A getter, a proxy or a `toString` may throw: then the answer is undefined.
 */
export function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch {
    return undefined;
  }
}
