/** Which rights a kind of role needs, thing by thing, and why. */
import type { QueueTables, Right, RoleFacts } from '../../sql/grants.js';
import type { OwnTable } from '../../sql/description.js';
import { sightRole } from '../../sql/sessions.js';
import type { Kind } from './kinds.js';
import { kinds } from './kinds.js';

export interface Grant extends Right {
  /** What would fail without it. No text from the database: it goes into comments of a script. */
  why: string;
}

export interface Wanted {
  role: string;
  kind: Kind;
  /** Only these queues; all where it is empty. */
  queues: readonly string[];
  /** Also queues that the owners of the schema's tables make later. */
  newQueues: boolean;
  /** Take the rights away instead. */
  revoke: boolean;
}

type Rights = Record<string, string[]>;

/** Rights on the tables of a queue by letter, that each kind adds to the kind before it. */
const byLetter: Record<Kind, Rights> = {
  reader: { t: ['select'], r: ['select'], c: ['select'], e: ['select'], w: ['select'] },
  worker: {
    t: ['insert', 'update'],
    r: ['insert', 'update'],
    c: ['insert', 'update'],
    e: ['insert', 'update'],
    w: ['insert', 'update', 'delete'],
    i: ['select', 'insert'],
  },
  operator: { t: ['delete'], r: ['delete'], c: ['delete'], e: ['delete'], i: ['delete'] },
};

/** Rights on the tables that all queues share, that each kind adds to the kind before it. */
const bySharedTable: Record<Kind, Partial<Record<OwnTable, string[]>>> = {
  reader: { schedules: ['select'], operations: ['select'], workers: ['select'] },
  worker: {
    operations: ['insert'],
    workers: ['insert', 'update', 'delete'],
    // PUBLIC may read it.
    task_waits: ['insert', 'update', 'delete'],
    awaited_tasks: ['select', 'insert', 'update', 'delete'],
  },
  operator: {
    claim_gates: ['insert', 'delete'],
    queue_pauses: ['insert', 'update', 'delete'],
    schedules: ['insert', 'update', 'delete'],
  },
};

/** What a command in several transactions adds to its row. */
const continuedColumns = ['queue_name', 'task_ids', 'task_count'];

/** What firing a schedule writes. */
const firedColumns = ['next_at', 'last_at', 'last_task_id', 'last_error', 'last_error_at'];

const sharedNames: Record<string, string> = {
  claim_gates: 'the marks of queues with a pause or a schedule',
  queue_pauses: 'pauses',
  schedules: 'schedules',
  operations: 'the log of changes by operators',
  workers: 'the registry of workers',
  task_waits: 'waits for tasks',
  awaited_tasks: 'the tasks that they wait for',
};

function sharedGrant(kind: Kind, table: string): Grant | undefined {
  const privileges = included(kind).flatMap((one) => bySharedTable[one][table as OwnTable] ?? []);
  if (privileges.length === 0) return undefined;
  const words = privileges.map((privilege) => verbs[privilege] ?? privilege);
  return { privileges, on: { kind: 'table', name: table }, why: `${words.join(', ')} ${sharedNames[table] ?? table}` };
}

const tableNames: Record<string, string> = {
  t: 'tasks',
  r: 'runs',
  c: 'checkpoints',
  e: 'events',
  w: 'waits',
  i: 'idempotency keys',
};

const included = (kind: Kind): Kind[] => kinds.slice(0, kinds.indexOf(kind) + 1);

/** Each right with the words for those that are new in this kind. */
const verbs: Record<string, string> = {
  select: 'read',
  insert: 'write new rows of',
  update: 'change and lock',
  delete: 'delete from',
};

/** Default privileges may have given more than the kind has on that table: what is taken away is all of it. */
function revocation(kind: Kind, { queue_name: queue, letters, partitions }: QueueTables): Grant {
  const names = [...letters.map((letter) => `${letter}_${queue}`), ...partitions];
  return { privileges: everyRight(kind), on: { kind: 'tables', names }, why: 'the tables of one queue' };
}

function tableGrant(kind: Kind, queue: string, letter: string): Grant | undefined {
  const privileges = included(kind).flatMap((one) => byLetter[one][letter] ?? []);
  if (privileges.length === 0) return undefined;
  const words = privileges.map((privilege) => verbs[privilege] ?? privilege);
  return {
    privileges,
    on: { kind: 'table', name: `${letter}_${queue}` },
    why: `${words.join(', ')} ${tableNames[letter] ?? letter}`,
  };
}

/** All that future tables of a queue may need: the tables cannot be told apart before they are made. */
function everyRight(kind: Kind): string[] {
  const all = included(kind).flatMap((one) => Object.values(byLetter[one]).flat());
  return Object.keys(verbs).filter((privilege) => all.includes(privilege));
}

/**
 * The rights of a kind. `queues`: those it is to reach. `makers`: the roles whose future queues it is to reach too.
 * Functions run with the rights of their caller, so executing them opens nothing; they are granted only where PUBLIC
 * may not execute them.
 */
export function planGrants(
  { kind, revoke, queues: { length: named } }: Wanted,
  queues: readonly QueueTables[],
  facts: RoleFacts,
  makers: readonly string[],
): Grant[] {
  const everyQueue = named === 0;
  const closed = facts.closed > 0;
  const operator = kind === 'operator';
  const perQueue = queues.flatMap((one): Grant[] => {
    if (revoke) return [revocation(kind, one)];
    const { queue_name: queue, letters, partitions } = one;
    return [
      ...letters.flatMap((letter) => tableGrant(kind, queue, letter) ?? []),
      ...(partitions.length > 0
        ? [
            {
              privileges: ['select'],
              on: { kind: 'tables' as const, names: partitions },
              why: 'check whether a partition is empty: doctor, list-detach-candidates',
            },
          ]
        : []),
    ];
  });
  // Who loses one queue keeps the others.
  if (revoke && !everyQueue) return perQueue;
  return [
    { privileges: ['usage'], on: { kind: 'schema', name: 'absurd' }, why: 'use anything in the schema' },
    ...(closed
      ? [
          {
            privileges: ['execute'],
            on: { kind: 'functions' as const },
            why: 'PUBLIC may not execute all functions here',
          },
        ]
      : []),
    { privileges: ['select'], on: { kind: 'table', name: 'queues' }, why: 'find the queues and their policies' },
    ...(operator && facts.policy.length > 0
      ? [
          {
            privileges: ['update'],
            on: { kind: 'table' as const, name: 'queues', columns: facts.policy },
            why: 'queue-policy sets these, and only these',
          },
        ]
      : []),
    ...facts.shared.flatMap((table) => sharedGrant(kind, table) ?? []),
    ...(kind === 'worker' && facts.shared.includes('schedules')
      ? [
          {
            privileges: ['update'],
            on: { kind: 'table' as const, name: 'schedules', columns: firedColumns },
            why: 'a claim fires the schedules that are due, and changes nothing else of them',
          },
        ]
      : []),
    ...(kind !== 'reader' && facts.shared.includes('operations')
      ? [
          {
            privileges: ['update'],
            on: { kind: 'table' as const, name: 'operations', columns: continuedColumns },
            why: 'a command in several transactions adds its tasks to its row',
          },
        ]
      : []),
    ...(operator && facts.cron
      ? [
          {
            privileges: ['usage'],
            on: { kind: 'schema' as const, name: 'cron' },
            why: 'cron: its jobs run as this role, which can clean up, but neither make nor detach partitions',
          },
        ]
      : []),
    // What was not granted to the role is not taken from it either.
    ...(operator && (!revoke || facts.has_sight)
      ? [
          {
            privileges: ['member'],
            on: { kind: 'role' as const, name: sightRole },
            why: 'why and doctor: see which session holds a lock, since when, and its query',
          },
        ]
      : []),
    ...perQueue,
    ...makers.flatMap((maker): Grant[] => [
      {
        privileges: everyRight(kind),
        on: { kind: 'future', maker, what: 'tables' },
        why: 'queues created later; default privileges cannot name tables, so this applies to all of them',
      },
      ...(closed
        ? [
            {
              privileges: ['execute'],
              on: { kind: 'future' as const, maker, what: 'functions' as const },
              why: 'functions created later',
            },
          ]
        : []),
    ]),
  ];
}
