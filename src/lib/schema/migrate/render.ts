/** How a plan looks. */
import { byteSize } from '../../cli/format/size.js';
import type { Rendering, Section, Table } from '../../cli/output.js';
import { describeDifference, type MigrationPlan } from './plan.js';
import { scriptLock, stepAttempts, stepLockMs } from './steps.js';
import { command, hint } from '../../cli/hint.js';

const size = (value: unknown): string => (value === 0 ? '-' : byteSize(value));
const about = (value: unknown): string => (value === 0 ? '-' : `~${String(value)}`);

export const fromVersion = (plan: MigrationPlan): string => plan.from_version ?? 'a schema older than 0.2.0';

const stepTable = (plan: MigrationPlan): Table => ({
  columns: [
    { key: 'what', label: 'STEP', type: 'id' },
    { key: 'table_name', label: 'TABLE', type: 'id' },
    { key: 'lock', drop: 1 },
    { key: 'holds_up' },
    { key: 'held', label: 'FOR' },
    { key: 'rows', label: 'READS ROWS', type: 'number', draw: about, drop: 2 },
    { key: 'bytes', label: 'SIZE', type: 'number', draw: size, drop: 3 },
  ],
  rows: plan.steps,
});

const changeTable = (plan: MigrationPlan): Table => ({
  columns: [
    { key: 'queue_name', label: 'QUEUE' },
    { key: 'kind' },
    { key: 'made', type: 'number' },
    { key: 'replaced', type: 'number' },
  ],
  rows: plan.changes,
});

const indexTable = (plan: MigrationPlan): Table => ({
  columns: [
    { key: 'index_name', label: 'INDEX', type: 'id' },
    { key: 'queue_name', label: 'QUEUE', drop: 2 },
    { key: 'rows', label: 'ROWS (ABOUT)', type: 'number' },
    { key: 'bytes', label: 'TABLE SIZE', type: 'number', draw: byteSize, drop: 1 },
    { key: 'broken', drop: 3 },
    { key: 'partitioned', drop: 4 },
  ],
  rows: plan.indexes,
});

export function differenceRows(plan: MigrationPlan): object[] {
  if (!plan.installed) {
    return [
      {
        difference: 'the schema is missing',
        kind: 'schema',
        queue_name: null,
        name: 'absurd',
        change: 'missing',
        mended: false,
      },
    ];
  }
  return plan.differences.map((one) => ({ difference: describeDifference(one), ...one }));
}

export const differenceTable = (rows: object[]): Table => ({ columns: [{ key: 'difference' }], rows });

/** JSON: the plan as it is, each difference with its words. */
export const planJson = (plan: MigrationPlan): object => ({ ...plan, differences: differenceRows(plan) });

const noSchema = hint`There is no Absurd schema here: ${command('init')} installs it`;
const catalogsOnly = 'This plan comes from the catalogs; run it as the owner on the primary to see all changes';

/** The whole plan. Single differences only where the schema is of this revision already: an upgrade has hundreds. */
export function renderPlan(plan: MigrationPlan): Rendering {
  const revision = plan.from_revision === null ? '' : ` (revision ${plan.from_revision})`;
  const drifted = plan.from_revision === plan.to_revision;
  const sections: Section[] = [];
  if (drifted && plan.differences.length > 0) {
    sections.push({ title: 'What differs', table: differenceTable(differenceRows(plan)) });
  }
  if (plan.changes.length > 0) sections.push({ title: 'What changes', table: changeTable(plan) });
  if (plan.indexes.length > 0) sections.push({ title: 'New indexes', table: indexTable(plan) });
  if (plan.installed) sections.push({ title: 'Steps, in this order', table: stepTable(plan) });
  return {
    ...(plan.installed && plan.compared ? {} : { note: plan.installed ? catalogsOnly : noSchema }),
    record: {
      Database: plan.database,
      From: `${plan.installed ? fromVersion(plan) : 'nothing'}${revision}`,
      To: `${plan.to_version} (revision ${plan.to_revision})`,
      'Waits for a table': `${stepLockMs / 1000} s, up to ${stepAttempts} times; the script ${scriptLock}`,
      'Waits for transactions':
        'the build of an index waits for all transactions that began before it; nothing else waits',
    },
    sections,
    jsonResult: planJson(plan),
  };
}
