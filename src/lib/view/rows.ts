/** Rows of lists as a page shows them. */
import type { TaskRow } from '../../sql/list-tasks.js';
import type { WorkerRow } from '../../sql/list-workers.js';
import type { EventRow } from '../../sql/lists.js';
import type { Operation } from '../../sql/operations.js';
import type { Schedule } from '../../sql/schedules.js';

export type TaskView = TaskRow;
export type EventView = EventRow;
export type WorkerView = WorkerRow;
export type OperationView = Operation;
/** With when it fires, and whether it is paused, in words. */
export type ScheduleView = Schedule & { times: string; state: string };
