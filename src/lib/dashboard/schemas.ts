/** The shapes of the API's answers, as JSON Schema: for people and programs that use it, and for the tests that hold it to them. */

export interface Schema {
  type?: string | readonly string[];
  description?: string;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  items?: Schema;
  enum?: readonly string[];
  additionalProperties?: boolean | Schema;
  $ref?: string;
  anyOf?: readonly Schema[];
}

const string: Schema = { type: 'string' };
const integer: Schema = { type: 'integer' };
const number: Schema = { type: 'number' };
const boolean: Schema = { type: 'boolean' };
const time: Schema = { type: 'string', description: 'RFC 3339 in UTC; "infinity" for never' };
/** Any JSON. */
const json: Schema = { description: 'any JSON; numbers keep every digit' };
const list = (items: Schema): Schema => ({ type: 'array', items });
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const maybe = (schema: Schema): Schema =>
  schema.type === undefined
    ? { anyOf: [schema, { type: 'null' }] }
    : { ...schema, type: [...(typeof schema.type === 'string' ? [schema.type] : schema.type), 'null'] };
/** An object with all of these members, and perhaps more. */
const object = (properties: Record<string, Schema>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
});

const skipped = list(object({ queue_name: string, reason: string }));
const states: Schema = {
  type: 'string',
  enum: ['pending', 'running', 'sleeping', 'completed', 'failed', 'cancelled'],
};
const counts = Object.fromEntries(states.enum?.map((state) => [state, maybe(integer)]) ?? []);
const listOf = (row: Schema): Schema => object({ rows: list(row), more: boolean, skipped });

const queueCounts = {
  queue_name: string,
  storage_mode: string,
  ...counts,
  oldest_waiting_at: maybe(time),
  at_least: { ...list(states), description: 'states whose count stopped at 10,000' },
  estimated: { ...list(states), description: 'states whose count is an estimate of the planner' },
  error: maybe(string),
  pause: maybe(ref('Pause')),
};

const identity = { queue_name: string, task_id: string, task_name: string, state: states };

const task = object({
  ...identity,
  attempts: integer,
  max_attempts: maybe(integer),
  params: json,
  headers: json,
  retry_strategy: json,
  cancellation: json,
  idempotency_key: maybe(string),
  enqueue_at: time,
  first_started_at: maybe(time),
  cancelled_at: maybe(time),
  completed_payload: json,
  runs: list(ref('Run')),
  waits: list(
    object({ run_id: string, step_name: string, event_name: string, timeout_at: maybe(time), created_at: time }),
  ),
  checkpoints: list(ref('Step')),
  cut: { ...list(string), description: 'lists that hold only a part: runs, checkpoints' },
});

const schedule = object({
  schedule_name: string,
  queue_name: string,
  task_name: string,
  params: json,
  times: { ...string, description: 'when it fires, in words' },
  state: string,
  next_at: maybe(time),
  last_at: maybe(time),
  last_task_id: maybe(string),
  last_error: maybe(string),
});

export const schemas = {
  Error: object({ code: string, message: string, hint: maybe(string) }),
  Session: object({
    version: string,
    database: string,
    allow_actions: boolean,
    base_path: string,
    following_seconds: number,
  }),
  Pause: object({
    queue_name: string,
    paused_at: time,
    paused_until: maybe(time),
    paused_by: string,
    reason: maybe(string),
  }),
  Overview: object({
    at: time,
    server: object({ database: string, role: string, version: maybe(string), revision: maybe(integer) }),
    queues: list(
      object({
        ...queueCounts,
        completed_runs: integer,
        failed_runs: integer,
        failure_rate: maybe(number),
        completed_by_bucket: list(integer),
        failed_by_bucket: list(integer),
        cut_before: maybe(time),
      }),
    ),
    queues_total: integer,
    totals: object({
      pending: integer,
      running: integer,
      sleeping: integer,
      at_least: boolean,
      oldest_waiting_at: maybe(time),
      completed_runs: integer,
      failed_runs: integer,
      failure_rate: maybe(number),
      paused_queues: integer,
    }),
    throughput: object({
      bucket_seconds: integer,
      at: list(time),
      completed: list(integer),
      failed: list(integer),
      cut_before: maybe(time),
    }),
  }),
  Queues: object({
    queues: list(
      object({
        ...queueCounts,
        spawned: integer,
        completed_runs: integer,
        failed_runs: integer,
        failure_rate: maybe(number),
        wait_p50: maybe(number),
        wait_p95: maybe(number),
        run_p50: maybe(number),
        run_p95: maybe(number),
        bytes: number,
        dead_rows: number,
      }),
    ),
    queues_total: integer,
    skipped,
  }),
  Tasks: object({
    rows: list(
      object({
        ...identity,
        attempts: integer,
        max_attempts: maybe(integer),
        activity_at: time,
        run_id: string,
        enqueue_at: time,
        available_at: time,
        wake_event: maybe(string),
        claimed_by: maybe(string),
        claim_expires_at: maybe(time),
      }),
    ),
    more: boolean,
    stopped: { ...boolean, description: 'reading stopped before all of it was seen' },
    notes: { ...list(string), description: 'how far back a search looked, and which index makes it fast' },
    skipped,
  }),
  Run: object({
    run_id: string,
    attempt: integer,
    state: states,
    claimed_by: maybe(string),
    claim_expires_at: maybe(time),
    available_at: time,
    wake_event: maybe(string),
    created_at: time,
    started_at: maybe(time),
    completed_at: maybe(time),
    failed_at: maybe(time),
    failure_reason: json,
  }),
  Step: object(
    {
      checkpoint_name: string,
      state: json,
      status: string,
      owner_run_id: maybe(string),
      updated_at: time,
      left_out: { ...integer, description: 'stored bytes of a result that is not carried here' },
    },
    ['left_out'],
  ),
  Task: object({
    task,
    spans: list(
      object({ first_attempt: integer, last_attempt: integer, run_id: string, state: states, identical: boolean }),
    ),
    timeline: object({
      now: time,
      from: time,
      to: time,
      seconds: number,
      lanes: list(
        object({
          kind: { type: 'string', enum: ['attempt', 'step', 'child'] },
          name: string,
          depth: integer,
          state: string,
          spans: list(
            object({ kind: string, from: time, to: time, from_is: string, to_is: string, outcome: maybe(string) }),
          ),
        }),
      ),
      notes: list(object({ code: string, text: string })),
    }),
    family: maybe(
      object({
        parent: maybe(object({ ...identity, enqueue_at: time })),
        children: list(object(identity)),
        more: boolean,
      }),
    ),
    why: maybe(
      object({
        sentence: string,
        code: string,
        verdict: { type: 'string', enum: ['fine', 'waiting', 'stuck', 'ended'] },
        evidence: list(
          object({ certainty: { type: 'string', enum: ['known', 'inferred'] }, what: string, value: string }),
        ),
        next: list(string),
        also: list(object({ code: string, sentence: string })),
        unread: list(object({ what: string, reason: string })),
      }),
    ),
    why_error: maybe(string),
  }),
  Events: listOf(
    object({
      event_name: string,
      queue_name: string,
      emitted_at: maybe(time),
      waiting: integer,
      bytes: maybe(integer),
      payload: json,
    }),
  ),
  Waits: listOf(
    object({
      event_name: string,
      queue_name: string,
      task_id: string,
      task_name: string,
      run_id: string,
      step_name: string,
      created_at: time,
      timeout_at: maybe(time),
    }),
  ),
  Schedules: object({ rows: list(schedule), more: boolean, available: boolean }),
  Schedule: object({
    schedule,
    next: list(time),
    tasks: list(object({ task_id: string, scheduled_for: time, state: states, attempts: integer })),
  }),
  Workers: listOf(
    object({
      worker: string,
      queue_name: string,
      state: { type: 'string', enum: ['running', 'draining', 'stale', 'inferred'] },
      running: integer,
      concurrency: maybe(integer),
      task_names: maybe(list(string)),
      program_version: maybe(string),
      sdk: maybe(string),
      started_at: maybe(time),
      last_heartbeat: maybe(time),
      oldest_lease: maybe(time),
      last_claim: maybe(time),
    }),
  ),
  Operations: object({
    rows: list(
      object({
        operation_id: string,
        performed_at: time,
        database_role: string,
        os_user: maybe(string),
        os_host: maybe(string),
        command: string,
        arguments: list(string),
        reason: maybe(string),
        queue_name: maybe(string),
        task_ids: list(string),
        task_count: number,
      }),
    ),
    more: boolean,
    available: boolean,
  }),
  Doctor: object({
    database: string,
    findings: list(ref('Finding')),
    counts: object({ critical: integer, warning: integer, info: integer }),
    unread: list(object({ what: string, reason: string })),
  }),
  Finding: object({
    severity: { type: 'string', enum: ['critical', 'warning', 'info'] },
    check: string,
    queue: maybe(string),
    seen: string,
    why: string,
    next: list(string),
    leads_to: list(ref('Finding')),
  }),
  Preview: object({
    dry_run: boolean,
    allowed: boolean,
    effects: list(string),
    command: { ...string, description: 'the command that does the same' },
  }),
  Done: object({
    dry_run: boolean,
    allowed: boolean,
    effects: list(string),
    command: string,
    result: { type: 'object' },
    recorded: { ...boolean, description: 'whether the operation was recorded' },
    at: time,
  }),
} satisfies Record<string, Schema>;

export type SchemaName = keyof typeof schemas;
