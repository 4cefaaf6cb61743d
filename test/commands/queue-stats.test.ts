import { rangesOnly } from '../../src/sql/bounded.js';
import { readQueueFlow } from '../../src/sql/queue-stats.js';
import type { Queryable } from '../../src/sql/queryable.js';
import { expect, test } from '../support/database.js';

interface Plan {
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
}

/** How many rows of a relation a plan has looked at. */
const lookedAt = (plan: Plan, relation: string): number =>
  (plan['Relation Name'] === relation
    ? (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops']
    : 0) + (plan.Plans ?? []).reduce((sum, part) => sum + lookedAt(part, relation), 0);

test('what one queue costs to read does not grow with the others', async ({ db }) => {
  for (let i = 0; i < 30; i++) await db.queue(`other${i}`);
  await db.queue('q', 'partitioned');
  await db.query('analyze pg_class');
  const explain: Queryable = {
    query: (sql, values) => db.client.query(`explain (analyze, format json) ${sql}`, values),
  };

  await db.query(`begin; ${rangesOnly}`);
  const answer = (await readQueueFlow(explain, 'q', 0)) as unknown as { 'QUERY PLAN': [{ Plan: Plan }] };
  const flow = await readQueueFlow({ query: (sql, values) => db.client.query(sql, values) }, 'q', 0);
  await db.query('rollback');

  const { rows } = await db.query<{ bytes: number; tables: number }>(
    `select sum(pg_total_relation_size(c.oid))::float8 as bytes, count(*)::int as tables from pg_class c
      where c.relnamespace = 'absurd'::regnamespace and c.relkind = 'r' and c.relname ~ '^[trcewi]_q(_|$)'`,
  );
  expect(flow?.bytes).toBe(rows[0]?.bytes);
  // Its leaves and their parents; every table and index of the others was some 3,000.
  expect(lookedAt(answer['QUERY PLAN'][0].Plan, 'pg_class')).toBeLessThan(2 * (rows[0]?.tables ?? 0));
});
