import type { TestDatabase } from '../../support/database.js';
import { clock } from './stage.js';

/** The moment at which the page's incidents are looked at. */
const shownNow = Date.parse('2026-03-02T03:00:00Z');

/** Ids, moments, process ids and names of this run, each as the same sample every time. */
export function normalise(text: string, db: TestDatabase, names: Record<string, string>): string {
  const shift = shownNow - clock.at;
  const ids = new Map<string, string>();
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
      const known =
        ids.get(id) ??
        `019cabe1-${(0x3e10 + ids.size * 7).toString(16)}-7a52-9c0d-b1e4f7a60${(100 + ids.size).toString(16).padStart(3, '0')}`;
      ids.set(id, known);
      return known;
    })
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (moment) => {
      const at = Date.parse(moment) + shift;
      // What happened while the test ran happened at the moment of the look.
      const shown = at > shownNow - 60_000 && at <= shownNow + 120_000 ? shownNow : Math.round(at / 1000) * 1000;
      return new Date(shown).toISOString().replace('.000Z', 'Z');
    })
    .replaceAll(names.role ?? '\0', 'app_worker')
    .replaceAll(db.name, 'app')
    .replace(/\b(pid|session|Session|pg_terminate_backend\()( ?)\d+/g, '$1$24711')
    .replace(/\b\d+ seconds ago/g, '10 seconds ago')
    .replace(/\bin \d+ seconds/g, 'in 20 seconds')
    .replace(/ for \d+ seconds?;/g, ' for 12 seconds;')
    .replace(/[ \t]+$/gm, '');
}
