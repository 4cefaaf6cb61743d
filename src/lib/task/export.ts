/** A task as a file: all there is of it, to be loaded into another database under new ids. */
import type { Queryable } from '../../sql/queryable.js';
import type { FoundTask } from '../../sql/find-task.js';
import type { Timestamp } from '../../sql/values.js';
import { usageError } from '../cli/errors.js';
import { readTask, type TaskDump } from './dump.js';
import { command, hint } from '../cli/hint.js';

const format = 'absurd-task';
const formatVersion = 1;

export interface TaskExport {
  format: typeof format;
  format_version: typeof formatVersion;
  exported_at: Timestamp;
  task: Omit<TaskDump, 'cut'>;
}

/** Reads a task whole, however many runs and checkpoints it has. */
export async function exportTask(db: Queryable, found: FoundTask, now: Date): Promise<TaskExport> {
  const { cut: _cut, ...task } = await readTask(db, found, { whole: true });
  return { format, format_version: formatVersion, exported_at: now.toISOString(), task };
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
type Members = Record<string, unknown>;
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a file must hold at least: members of each row, and what they are. */
const text = (value: unknown): boolean => typeof value === 'string';
const id = (value: unknown): boolean => typeof value === 'string' && uuid.test(value);
const whole = (value: unknown): boolean => Number.isInteger(value);
const rows: Record<'runs' | 'checkpoints' | 'waits', Record<string, (value: unknown) => boolean>> = {
  runs: { run_id: id, attempt: whole, state: text, available_at: text, created_at: text },
  checkpoints: { checkpoint_name: text, status: text, updated_at: text },
  waits: { run_id: id, step_name: text, event_name: text, created_at: text },
};
/** Members that a newer schema has, where they are not null. */
const newer: Record<string, (value: unknown) => boolean> = { parent_task_id: id, parent_queue: text };
const stepTimes: Record<string, (value: unknown) => boolean> = { started_at: text };
const optional = (members: Record<string, (value: unknown) => boolean>): typeof members =>
  Object.fromEntries(Object.entries(members).map(([name, fits]) => [name, (value) => value == null || fits(value)]));
const plainId = (value: string): string => (uuid.test(value) ? value.toLowerCase() : value);
/** What tells two rows of a list apart. */
const identities = { runs: ['run_id'], checkpoints: ['checkpoint_name'], waits: ['run_id', 'step_name'] };
const taskMembers = { task_id: id, task_name: text, queue_name: text, state: text, attempts: whole, enqueue_at: text };

/**
 * Checks that a text is an export that this release can read; returns the queue it came from, and a name for
 * this very export. Raises a usage error.
 */
export function checkExport(json: string, file: string): { queueName: string; key: string } {
  const fail = (reason: string): Error =>
    usageError(`${file} ${reason}`, hint`${command('export-task', 'ID')} writes such a file`);
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch (error) {
    throw fail(`is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!isObject(document) || document.format !== format) throw fail('is not the export of a task');
  if (document.format_version !== formatVersion) {
    throw fail(`is of format version ${JSON.stringify(document.format_version)}; this release reads ${formatVersion}`);
  }
  const { task } = document;
  if (!isObject(task)) throw fail('has no task in it');
  const check = (row: unknown, members: Record<string, (value: unknown) => boolean>, where: string): void => {
    if (!isObject(row)) throw fail(`has a ${where} that is not an object`);
    const wrong = Object.entries(members).find(([name, fits]) => !fits(row[name]));
    if (wrong !== undefined) throw fail(`lacks a valid "${wrong[0]}" in its ${where}`);
  };
  check(task, { ...taskMembers, ...optional(newer) }, 'task');
  for (const name of ['runs', 'checkpoints', 'waits'] as const) {
    const members = name === 'checkpoints' ? { ...rows[name], ...optional(stepTimes) } : rows[name];
    const list = task[name];
    if (!Array.isArray(list)) throw fail(`has no list "${name}"`);
    for (const row of list) check(row, members, name);
    const names = list.map((row: Members) => identities[name].map((member) => plainId(String(row[member]))).join('\0'));
    if (new Set(names).size < names.length) throw fail(`has the same row twice in its ${name}`);
  }
  return {
    queueName: String(task.queue_name),
    key: `imported:${String(task.task_id)}@${String(document.exported_at)}`,
  };
}
