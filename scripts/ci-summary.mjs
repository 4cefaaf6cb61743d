// ci-summary.mjs [REPORT STATUS]...: adds up vitest's JSON reports, prints CI's closing line "N passed, N failed, N skipped",
// and exits with the verdict. A command that failed without a failed test (types, lint, a crash) counts as one failure.
import { readFileSync } from 'node:fs';

const total = { passed: 0, failed: 0, skipped: 0 };
const words = process.argv.slice(2);
for (let at = 0; at < words.length; at += 2) {
  const [file, status] = words.slice(at, at + 2);
  let report = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0 };
  let complete = true;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    complete = false;
    console.log(`The tests of ${file.replace(/.*\//, '').replace('.json', '')} did not run to their end`);
  }
  const bad = status !== '0' || !complete || report.numPassedTests === 0;
  total.passed += report.numPassedTests;
  total.failed += Math.max(report.numFailedTests, bad ? 1 : 0);
  total.skipped += report.numPendingTests + (report.numTodoTests ?? 0);
}
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
