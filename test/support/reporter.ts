import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const shown = 10;

/** Why a test did not run: what it told `skip()`, or the part of a name that says so. */
function reasonOf(test: TestCase): string {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  return note ?? /\(skipped:? (.*)\)/.exec(test.fullName)?.[1] ?? 'no reason given';
}

/** At the end of a run: what was skipped and why, and the files that took longest. */
export default class SuiteReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests('skipped')]);
    const reasons = new Map<string, number>();
    for (const test of skipped) reasons.set(reasonOf(test), (reasons.get(reasonOf(test)) ?? 0) + 1);
    const lines = [...reasons].map(([reason, count]) => `  ${count} skipped: ${reason}`);
    if (modules.length > 1) {
      const slowest = modules
        .map((module) => ({ file: relative(process.cwd(), module.moduleId), ms: module.diagnostic().duration }))
        .sort((a, b) => b.ms - a.ms)
        .slice(0, shown);
      lines.push(`  The ${slowest.length} slowest of ${modules.length} files:`);
      for (const { file, ms } of slowest) lines.push(`  ${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`);
    }
    if (lines.length > 0) console.log(`\n${lines.join('\n')}\n`);
  }
}
