import { type BoundedReader } from '../../sql/bounded.js';
import { readRowLockHolders, readTableLockHolders } from '../../sql/diagnosis-locks.js';
import {
  isWhole,
  readHeadOfLine,
  readQueueFlow,
  readQueues,
  type KnownQueue,
  type QueueList,
} from '../../sql/diagnosis-queues.js';
import {
  readDeadEnds,
  readEndedEarly,
  readErrors,
  readLeftovers,
  readPartitionRows,
  readUnfinished,
  readWaitSample,
} from '../../sql/doctor-queue.js';
import {
  readColumns,
  readDrift,
  readIndexes,
  readOldTransactions,
  readPartitions,
  readSchema,
  readServer,
  readTableHealth,
} from '../../sql/doctor.js';
import { readSchemaScript } from '../schema/schema-file.js';
import type { Facts, Need, QueueFacts } from './check.js';
import { expectedFunctions } from './schema.js';
import type { Thresholds } from './thresholds.js';

/** Reads what the selected checks need, each question once and within its bounds. Null where not even the catalogs answer, or the list of queues may not be read. */
export async function readFacts(
  reader: BoundedReader,
  needs: Set<Need>,
  thresholds: Thresholds,
): Promise<Facts | null> {
  const schema = await readSchema(reader);
  if (!schema) return null;
  const list = schema.installed ? await readQueues(reader) : null;
  if (schema.installed && list === null && reader.unread[0]?.code === '42501') return null;
  const facts: Facts = {
    now: list?.now ?? Date.now(),
    thresholds,
    schema,
    shippedRevision: schema.revision === null ? null : shippedRevision(),
    known: list?.queues ?? [],
    queues: [],
    missingFunctions: [],
    columns: [],
    indexes: [],
    tables: [],
    transactions: [],
    server: null,
    tableLocks: [],
    partitions: [],
    defaultRows: [],
    unread: reader.unread,
    standing: null,
  };
  if (needs.has('sessions')) {
    facts.server = await readServer(reader);
    const age = Math.min(thresholds['idle-age'], thresholds['transaction-age']);
    facts.transactions = (await readOldTransactions(reader, age)) ?? [];
  }
  if (!list) return facts;
  if (needs.has('catalog')) {
    facts.missingFunctions = await readDrift(reader, expectedFunctions(schema));
    facts.columns = (await readColumns(reader)) ?? [];
    facts.indexes = (await readIndexes(reader)) ?? [];
    facts.tables = (await readTableHealth(reader)) ?? [];
  }
  if (needs.has('sessions')) {
    const tables = list.queues.flatMap(({ queue_name, tables: prefixes }) =>
      prefixes.map((prefix) => `${prefix}_${queue_name}`),
    );
    facts.tableLocks = await readTableLockHolders(reader, tables);
  }
  if (needs.has('partitions')) {
    facts.partitions = (await readPartitions(reader)) ?? [];
    const defaults = facts.partitions.filter((partition) => partition.is_default).map(({ partition }) => partition);
    facts.defaultRows = await readPartitionRows(reader, defaults);
  }
  if (needs.has('queues')) {
    for (const queue of list.queues.filter(isWhole))
      facts.queues.push(await readQueueFacts(reader, list, queue, thresholds));
  }
  // A session that is named for a table lock is not named again for the rows that it holds.
  const named = new Set(facts.tableLocks.map((holder) => holder.pid));
  for (const queue of facts.queues) queue.locks = queue.locks.filter((holder) => !named.has(holder.pid));
  return facts;
}

function shippedRevision(): number | null {
  const found = /function absurd\.get_schema_revision \(\)[^$]*\$\$\s*select (\d+)\s/.exec(readSchemaScript());
  return found?.[1] === undefined ? null : Number(found[1]);
}

async function readQueueFacts(
  reader: BoundedReader,
  list: QueueList,
  queue: KnownQueue,
  thresholds: Thresholds,
): Promise<QueueFacts> {
  const { queue_name: name } = queue;
  const ttl = queue.cleanup_ttl_seconds;
  const head = await readHeadOfLine(reader, name, list.now_text);
  return {
    queue,
    flow: await readQueueFlow(reader, name, list.now_text, thresholds.window),
    unfinished: (await readUnfinished(reader, name)) ?? [],
    deadEnds: (await readDeadEnds(reader, name)) ?? [],
    errors: (await readErrors(reader, name, list.now_text, thresholds.window)) ?? [],
    endedEarly: (await readEndedEarly(reader, name, list.now_text, thresholds.window)) ?? [],
    waits: (await readWaitSample(reader, name)) ?? [],
    leftovers:
      ttl === null ? null : await readLeftovers(reader, name, list.now_text, ttl + thresholds['cleanup-grace']),
    locks: await readRowLockHolders(
      reader,
      head.flatMap((run) => [run.xmax, run.task_xmax ?? '0']),
    ),
  };
}
