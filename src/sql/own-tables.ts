/** The tables of schema absurd that belong to no single queue, as sql/absurd.sql makes them. A test compares the two. */
export const ownTables = [
  'queues',
  'claim_gates',
  'queue_pauses',
  'schedules',
  'task_waits',
  'awaited_tasks',
  'workers',
  'operations',
] as const;
export type OwnTable = (typeof ownTables)[number];
