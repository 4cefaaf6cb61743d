import { functionsByRevision, functionsByVersion, requiredLetters } from '../../sql/description.js';
import type { SchemaFacts } from '../../sql/doctor.js';
import { pastedIdent } from '../../sql/identifiers.js';
import { at, plural, quoted } from '../diagnosis/words.js';
import { unregistered } from './names.js';
import { overall, type Check, type Facts, type Finding } from './check.js';
import { command, hint, type Hint } from '../cli/hint.js';

const parts = (version: string): number[] => version.split('.').map(Number);

/** True if `version` is a release before `other`; a development tree (`main`) is before none. */
function before(version: string, other: string): boolean {
  const [left, right] = [parts(version), parts(other)];
  if (left.some(Number.isNaN)) return false;
  for (const [index, number] of right.entries()) {
    const own = left[index] ?? 0;
    if (own !== number) return own < number;
  }
  return false;
}

/** Functions that a schema of this version and revision should have; the private ones are left to `migrate --check`. */
export function expectedFunctions({ version, revision }: Pick<SchemaFacts, 'version' | 'revision'>): string[] {
  if (version === null) return [];
  const contract = Object.entries(functionsByVersion).flatMap(([since, names]) => {
    const unreleased = since === '0.5.0' && (!/^[\d.]+$/.test(version) || revision === 1);
    return before(version, since) || unreleased ? [] : names;
  });
  const ours = Object.entries(functionsByRevision).filter(([since]) => Number(since) <= (revision ?? 0));
  return [...contract, ...ours.flatMap(([, names]) => names)];
}

/** The parts of a schema of this revision; null: a foreign schema, with only the contract's parts. */
export function expected<T extends { since?: number }>(parts: readonly T[], revision: number | null): T[] {
  return parts.filter(({ since = 0 }) => since <= (revision ?? 0));
}

function drift({ columns, missingFunctions, schema }: Facts): Finding[] {
  const found = columns.map(({ table_name: table, column_name: name, type, expected }) => {
    const what = `column ${name} of table ${quoted(table)}`;
    return type === null ? `${what} is missing` : `${what} is ${type} instead of ${expected}`;
  });
  const all = [...missingFunctions, ...found];
  if (all.length === 0) return [];
  const more = all.length > 5 ? ` and ${all.length - 5} more` : '';
  const mend =
    schema.revision === null ? hint`run the installer of this schema again, or: ${command('init')}` : command('init');
  return [overall('critical', `${all.slice(0, 5).join('; ')}${more}`, mend)];
}

/** Create the queue again in the same mode: tables of one mode do not serve the other. */
const again = (queue: string, partitioned: boolean): Hint =>
  command('create-queue', queue, { 'storage-mode': partitioned ? 'partitioned' : undefined });

/** Row-level security hides rows without an error: what a filtered table shows proves nothing. */
function filtered({ survey, standing }: Facts): Finding[] {
  const hidden = survey.filter((table) => table.filtered);
  const [first] = hidden;
  if (!first) return [];
  const names = hidden.slice(0, 3).map(({ table_name: name }) => quoted(name));
  const more = hidden.length > 3 ? ` and ${hidden.length - 3} more` : '';
  const role = standing === null ? 'this role' : `role ${quoted(standing.me)}`;
  return [
    overall(
      'critical',
      `row-level security hides rows of ${plural(hidden.length, 'table')} from ${role}: ${names.join(', ')}${more}; they were not examined`,
      standing === null || standing.me === first.owner
        ? `psql: alter table absurd.${pastedIdent(first.table_name)} no force row level security`
        : command('doctor', { U: first.owner }),
      ...(standing === null
        ? []
        : [
            `or let the role see every row of every table, as a superuser: psql: alter role ${pastedIdent(standing.me)} bypassrls`,
          ]),
    ),
  ];
}

/** The statement that resets the setting at its source. */
function resetClock({ database, frozen_in, frozen_for }: Facts['schema']): string {
  const here = `database ${pastedIdent(database)}`;
  if (frozen_for === null) return `psql: alter ${frozen_in ? here : 'role all'} reset absurd.fake_now`;
  return `psql: alter role ${pastedIdent(frozen_for)}${frozen_in ? ` in ${here}` : ''} reset absurd.fake_now`;
}

export const schemaChecks: Check[] = [
  {
    id: 'schema-missing',
    why: 'Without the schema nothing can be spawned, claimed or looked at.',
    needs: [],
    find: ({ schema }) =>
      schema.installed
        ? []
        : [
            overall(
              'critical',
              `database ${quoted(schema.database)} has no Absurd schema`,
              command('init'),
              'or name another database: --database',
            ),
          ],
  },
  {
    id: 'schema-behind',
    why: 'Clients of a newer version call functions that an older schema does not have.',
    needs: [],
    find: ({ schema, shippedRevision }) => {
      if (!schema.installed) return [];
      if (schema.version === null) return [overall('warning', 'the schema is older than 0.2.0', command('init'))];
      if (schema.revision !== null && shippedRevision !== null && schema.revision < shippedRevision) {
        const seen = `the schema has revision ${schema.revision}, this program contains ${shippedRevision}`;
        return [overall('warning', seen, command('init'))];
      }
      return before(schema.version, '0.5.0')
        ? [overall('warning', `the schema is ${quoted(schema.version)}, the current one is 0.5.0`, command('init'))]
        : [];
    },
  },
  {
    id: 'schema-drifted',
    why: 'A schema that was changed by hand fails later, when that part is used.',
    needs: ['catalog'],
    find: drift,
  },
  {
    id: 'tables-missing',
    why: 'Every call for this queue fails.',
    needs: [],
    find: ({ known }) =>
      known.flatMap(({ queue_name, tables, storage_mode: mode }) => {
        const missing = requiredLetters.filter((prefix) => !tables.includes(prefix));
        if (missing.length === 0) return [];
        const names = missing.map((prefix) => quoted(`${prefix}_${queue_name}`)).join(', ');
        return [
          {
            severity: 'critical',
            queue: queue_name,
            seen: `${plural(missing.length, 'table')} missing: ${names}`,
            mend: [again(queue_name, mode === 'partitioned')],
          },
        ];
      }),
  },
  {
    id: 'queue-unregistered',
    why: 'No command and no worker sees such tables, and they use space.',
    needs: ['catalog'],
    // If the registry hides rows, an unknown queue may be registered.
    find: (facts) =>
      facts.knowsAll
        ? unregistered(facts).map((name) =>
            overall(
              'warning',
              `tables of a queue ${quoted(name)} exist, and no such queue is registered; creating it registers it again, with the tasks that they hold`,
              // Only a partitioned queue has a table for its idempotency keys.
              again(
                name,
                facts.survey.some(({ table_name: table }) => table === `i_${name}`),
              ),
            ),
          )
        : [],
  },
  {
    id: 'row-security',
    why: 'Hidden rows look like missing rows: counts are too low, and queues look empty.',
    needs: [],
    find: filtered,
  },
  {
    id: 'clock-stopped',
    why: 'With a stopped clock nothing that sleeps ever wakes and no lease ever ends.',
    needs: [],
    find: ({ schema, now }) =>
      schema.frozen_at
        ? [
            overall(
              'critical',
              `the setting absurd.fake_now stops the clock of ${schema.frozen_for === null ? 'this database' : `role ${quoted(schema.frozen_for)}`} at ${quoted(schema.frozen_at)} (here it is ${at(now)}); what depends on the time is not examined`,
              resetClock(schema),
            ),
          ]
        : [],
  },
];
