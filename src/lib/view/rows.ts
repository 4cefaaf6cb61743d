/** Rows of lists as a page shows them. */
import type { OperationRow, RegisteredWorker } from '../../sql/dashboard.js';
import type { TaskRow } from '../../sql/list-tasks.js';
import type { EventRow, WorkerRow } from '../../sql/lists.js';
import type { Schedule } from '../../sql/schedules.js';

export type TaskView = TaskRow;
export type EventView = EventRow;
export type ClaimView = WorkerRow;
export type WorkerView = RegisteredWorker;
export type OperationView = OperationRow;
/** With when it fires, and whether it is paused, in words. */
export type ScheduleView = Schedule & { times: string; state: string };
