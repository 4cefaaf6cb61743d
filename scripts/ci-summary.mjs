// Prints the closing line of CI, "N passed, N failed, N skipped", from vitest's JSON report, and exits with the verdict.
import { readFileSync } from 'node:fs';

const [reportFile, status] = process.argv.slice(2);
let report;
try {
  report = JSON.parse(readFileSync(reportFile, 'utf8'));
} catch {
  report = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 };
  console.log('The tests did not run to their end.');
}
const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
const failed = Math.max(report.numFailedTests, status === '0' ? 0 : 1);
console.log(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = status === '0' && failed === 0 && report.numPassedTests > 0 ? 0 : 1;
