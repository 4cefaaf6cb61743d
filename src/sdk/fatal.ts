/** Ends the process: only for a run that overran its lease twofold, and only where `fatalOnLeaseTimeout` says so. */
export function endProcess(): void {
  process.exit(1);
}
