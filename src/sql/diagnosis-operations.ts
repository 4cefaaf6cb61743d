/** Operations on a task or a queue, for `why` and `doctor`. Schemas without pauses and operations return none. */
import { ms, type BoundedReader } from './bounded.js';

/** A pause in force. Times are milliseconds since 1970. */
export interface PauseFacts {
  queue_name: string;
  paused_at: number;
  /** Null: until somebody resumes the queue. */
  paused_until: number | null;
  /** The database role. */
  paused_by: string;
  reason: string | null;
}

/** A recorded operation. */
export interface OperationFacts {
  performed_at: number;
  database_role: string;
  os_user: string | null;
  os_host: string | null;
  command: string;
  reason: string | null;
}

/** The pauses of one queue, or of all. */
export async function readPauses(reader: BoundedReader, queue: string | null): Promise<PauseFacts[]> {
  const [known] =
    (await reader.catalogs<{ known: boolean }>(
      'the functions of pauses',
      `select to_regprocedure('absurd.get_queue_pauses(text)') is not null as known`,
    )) ?? [];
  if (known?.known !== true) return [];
  const found = await reader.rows<PauseFacts>(
    'the pauses of queues',
    `select p.queue_name, ${ms('p.paused_at')} as paused_at, ${ms('p.paused_until')} as paused_until, p.paused_by, p.reason
       from absurd.get_queue_pauses($1) p`,
    [queue],
  );
  return found ?? [];
}

/** Whether operations can be read: a role with older grants may lack the right. */
async function canRead(reader: BoundedReader): Promise<boolean> {
  const [known] =
    (await reader.catalogs<{ known: boolean }>(
      'the right to operations',
      `select coalesce(has_table_privilege(to_regclass('absurd.operations')::oid, 'select'), false) as known`,
    )) ?? [];
  return known?.known === true;
}

const columns = `${ms('o.performed_at')} as performed_at, o.database_role, o.os_user, o.os_host, o.command, o.reason`;

/** The latest operations by these commands that changed a task, the latest first. */
export async function readTaskOperations(
  reader: BoundedReader,
  taskId: string,
  commands: readonly string[],
): Promise<OperationFacts[]> {
  if (!(await canRead(reader))) return [];
  const found = await reader.catalogs<OperationFacts>(
    'the operations on the task',
    `select ${columns} from absurd.operations o
      where o.task_ids @> array[$1::uuid] and o.command = any ($2)
      order by o.performed_at desc limit 5`,
    [taskId, commands],
  );
  return found ?? [];
}

/** The latest operation that paused a queue. */
export async function readPauseOperation(reader: BoundedReader, queue: string): Promise<OperationFacts | null> {
  if (!(await canRead(reader))) return null;
  return reader.row<OperationFacts>(
    'the operation that paused the queue',
    `select ${columns} from absurd.operations o
      where o.queue_name = $1 and o.command = 'pause-queue'
      order by o.performed_at desc limit 1`,
    [queue],
  );
}
