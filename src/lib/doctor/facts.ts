import { queueColumns, queueIndexes } from '../../sql/description.js';
import type { BoundedReader, Unread } from '../../sql/bounded.js';
import { readTableLockHolders } from '../../sql/diagnosis-locks.js';
import { readPauses } from '../../sql/diagnosis-operations.js';
import { readClock, readQueues, type KnownQueue, type QueueList } from '../../sql/diagnosis-queues.js';
import { readRegistry } from '../../sql/diagnosis-workers.js';
import { readPartitionRows } from '../../sql/doctor-queue.js';
import { readSurvey, type SurveyedTable } from '../../sql/doctor-survey.js';
import {
  readDrift,
  readDriftedColumns,
  readIndexes,
  readOldTransactions,
  readPartitions,
  readSchema,
  readServer,
  readTableHealth,
} from '../../sql/doctor.js';
import { readSight } from '../../sql/sessions.js';
import { builtParts } from '../schema/migrate/script.js';
import type { Facts, Need } from './check.js';
import { formerPartitions } from './names.js';
import { isOpen, readQueueFacts } from './queues.js';
import { expected, expectedFunctions } from './schema.js';
import type { Thresholds } from './thresholds.js';

/** A lock that is released by the second look is normal. */
async function surveyTables(reader: BoundedReader): Promise<SurveyedTable[]> {
  const first = (await readSurvey(reader)) ?? [];
  if (!first.some(({ locked: held }) => held)) return first;
  await reader.rest();
  const held = new Map(first.map((table) => [table.table_name, table]));
  return ((await readSurvey(reader)) ?? []).map((table) => {
    const still = table.locked && held.get(table.table_name)?.locked_by === table.locked_by;
    return { ...table, locked: still };
  });
}

/** A placeholder for a missing table. */
const locked = { readable: false, filtered: false, locked: true } as SurveyedTable;

/** The queues of the registry or, if another session has locked it, of the existing tables. */
async function listQueues(
  reader: BoundedReader,
  tables: ReadonlyMap<string, SurveyedTable>,
): Promise<(QueueList & { whole: boolean }) | null> {
  const registry = tables.get('queues');
  if (registry?.locked !== true) {
    const list = await readQueues(reader);
    if (list) return { ...list, whole: registry?.filtered !== true };
    if (reader.unread.at(-1)?.code !== '55P03') return null;
  } else reader.unread.push(lockedTable(registry));
  const time = await readClock(reader);
  const names = [...tables.keys()].filter((name) => name.startsWith('t_') && tables.has(`e_${name.slice(2)}`));
  const queues = names
    .map((name) => name.slice(2))
    .map((name): KnownQueue => ({
      queue_name: name,
      created_at: null,
      storage_mode: null,
      default_partition: null,
      cleanup_ttl_seconds: null,
      lookahead_seconds: null,
      tables: [...'trcewi'].filter((letter) => tables.has(`${letter}_${name}`)),
    }));
  return time && { ...time, queues, whole: false };
}

const lockedTable = ({ table_name: name, locked_by: pid }: SurveyedTable): Unread => ({
  what: `table ${name}`,
  reason: pid === null ? 'a prepared transaction has locked it' : `session ${pid} has locked it, or waits to lock it`,
  code: '55P03',
  ...(pid === null ? {} : { session: pid }),
});

/**
 * Tables that are not read because they are locked, or this role may not read them. Filtered tables have a finding of
 * their own.
 */
function closedTables(survey: SurveyedTable[], queues: KnownQueue[]): Unread[] {
  const own = new Set(queues.flatMap(({ queue_name: name }) => [...'trcew'].map((letter) => `${letter}_${name}`)));
  return survey
    .filter((table) => own.has(table.table_name))
    .flatMap((table): Unread[] => {
      if (!table.readable)
        return [
          {
            what: `table ${table.table_name}`,
            reason: `permission denied for table ${table.table_name}`,
            code: '42501',
          },
        ];
      return table.locked ? [lockedTable(table)] : [];
    });
}

/**
 * Reads what the selected checks need, each question once and within its limits. Null if not even the catalogs or the
 * list of queues can be read.
 */
export async function readFacts(
  reader: BoundedReader,
  needs: Set<Need>,
  thresholds: Thresholds,
): Promise<Facts | null> {
  const schema = await readSchema(reader);
  if (!schema) return null;
  const survey = schema.installed ? await surveyTables(reader) : [];
  const tables = new Map(survey.map((table) => [table.table_name, table]));
  const list = schema.installed ? await listQueues(reader, tables) : null;
  if (schema.installed && list === null && reader.unread.some(({ code }) => code === '42501')) return null;
  const facts: Facts = {
    now: list?.now ?? Date.now(),
    thresholds,
    schema,
    shippedRevision: schema.revision === null ? null : builtParts().revision,
    known: list?.queues ?? [],
    knowsAll: list?.whole ?? false,
    survey,
    queues: [],
    workers: [],
    missingFunctions: [],
    columns: [],
    indexes: [],
    tables: [],
    transactions: [],
    server: null,
    tableLocks: [],
    pauses: [],
    sight: null,
    partitions: [],
    detachedRows: [],
    defaultRows: [],
    unread: reader.unread,
    standing: null,
  };
  if (needs.has('sessions')) {
    facts.sight = await readSight(reader);
    facts.server = await readServer(reader);
    const age = Math.min(thresholds['idle-age'], thresholds['transaction-age']);
    facts.transactions = (await readOldTransactions(reader, age)) ?? [];
  }
  await reader.pause();
  if (!list) return facts;
  if (needs.has('catalog')) {
    facts.missingFunctions = await readDrift(reader, expectedFunctions(schema));
    const names = list.queues.map(({ queue_name: name }) => name);
    facts.columns = (await readDriftedColumns(reader, names, expected(queueColumns, schema.revision))) ?? [];
    facts.indexes = (await readIndexes(reader, names, expected(queueIndexes, schema.revision))) ?? [];
    facts.tables = (await readTableHealth(reader, thresholds['min-dead'])) ?? [];
  }
  if (needs.has('sessions')) {
    const tables = list.queues.flatMap(({ queue_name, tables: prefixes }) =>
      prefixes.map((prefix) => `${prefix}_${queue_name}`),
    );
    facts.tableLocks = await readTableLockHolders(reader, tables);
  }
  await reader.pause();
  if (needs.has('partitions')) {
    facts.partitions = (await readPartitions(reader)) ?? [];
    await reader.pause();
    const defaults = facts.partitions.filter(
      ({ parent, is_default: isDefault }) => isDefault && isOpen(tables.get(parent) ?? locked),
    );
    facts.defaultRows = await readPartitionRows(
      reader,
      defaults.map(({ partition }) => partition),
    );
    const former = formerPartitions(facts).filter(({ table }) => isOpen(tables.get(table) ?? locked));
    facts.detachedRows = await readPartitionRows(
      reader,
      former.map(({ table }) => table),
    );
  }
  if (needs.has('queues')) {
    reader.unread.push(...closedTables(survey, list.queues));
    facts.pauses = await readPauses(reader, null);
    facts.queues = await readQueueFacts(reader, list, tables, thresholds);
  }
  if (needs.has('workers') && !tables.get('workers')?.locked) {
    facts.workers = (await readRegistry(reader, list.now_text)) ?? [];
  }
  return facts;
}
