/** What a page of `top` shows, read from the database: every look is bounded, and does not grow with a queue. */
import { listCheckpointRows, getCheckpoint } from '../../sql/checkpoints.js';
import { taskStates, type TaskState } from '../../sql/description.js';
import { QueueReader } from '../../sql/each-queue.js';
import { schemaFeatures } from '../../sql/features.js';
import { listTasks } from '../../sql/list-tasks.js';
import { listWhere } from '../../sql/list-where.js';
import { findPauses, type QueuePause } from '../../sql/pauses.js';
import { countTasks, uncounted } from '../../sql/queue-counts.js';
import { listRegisteredQueues, type RegisteredQueue } from '../../sql/queues.js';
import { getAttempt } from '../../sql/runs.js';
import { getTask } from '../../sql/tasks.js';
import { readPulses } from '../../sql/top.js';
import { notFound } from '../cli/errors.js';
import { prettyJson } from '../cli/format/json.js';
import { byteSize } from '../cli/format/size.js';
import { harmlessJson } from '../cli/format/text.js';
import { command, type Advice, type CommandFlags, type Hint } from '../cli/hint.js';
import type { Database } from '../connection/database.js';
import { whyId, whyQueue, type WhyResult } from '../diagnosis/why.js';
import { withPause } from '../queue/pause.js';
import { failureText } from '../task/dump.js';
import { readTimeline } from '../task/timeline.js';
import { cutNotes } from '../task/where-flags.js';
import { parseWhere } from '../task/where.js';
import type { Level, Looked, LookRequest, QueueLine } from './model.js';

export interface Seen {
  data: Looked;
  notes: string[];
  command: Hint;
}

/** A statement of a look that takes longer is an error on the screen, and the next look tries again. */
const timeoutMs = 10_000;
const queuesShown = 200;
/** Every table and index of a queue takes a lock while it is counted. */
const queuesAtOnce = 50;
const tasksShown = 200;
/** Tasks that are read to find a part of a name in. */
const tasksSearched = 1000;
const lookBack = 10_000;
const stepsShown = 200;
const lanesShown = 20;
/** A value is drawn up to so many characters. */
const valueLength = 200_000;

/** `text` writes out a command to type. */
export function readPage(
  db: Database,
  { level, filter }: LookRequest,
  text: (advice: Advice) => string,
): Promise<Seen> {
  switch (level.kind) {
    case 'queues':
      return readQueues(db, filter);
    case 'tasks':
      return readTasks(db, level.queue, filter);
    case 'task':
      return readTask(db, level);
    case 'step':
      return readStep(db, level);
    case 'why':
      return readWhy(db, level, text);
  }
}

async function readQueues(db: Database, filter: string): Promise<Seen> {
  const { all, pauses, registry } = await db.readRanges(async (tx) => {
    const features = await schemaFeatures(tx);
    return {
      all: await listRegisteredQueues(tx),
      pauses: await findPauses(tx),
      registry: features.includes('worker_registry'),
    };
  }, timeoutMs);
  const wanted = filter.toLowerCase();
  const matching = all.filter(({ queue_name: name }) => name.toLowerCase().includes(wanted));
  const shown = matching.slice(0, queuesShown);
  const queues: QueueLine[] = [];
  for (let first = 0; first < shown.length; first += queuesAtOnce)
    queues.push(...(await readSome(db, shown.slice(first, first + queuesAtOnce), { pauses, registry })));
  const cut =
    matching.length > shown.length
      ? [`${shown.length} of ${matching.length} queues are shown: / narrows the list`]
      : [];
  return { data: { kind: 'queues', queues }, notes: cut, command: command('queue-stats', { watch: true }) };
}

async function readSome(
  db: Database,
  queues: readonly RegisteredQueue[],
  { pauses, registry }: { pauses: ReadonlyMap<string, QueuePause>; registry: boolean },
): Promise<QueueLine[]> {
  return db.readRanges(async (tx) => {
    const reader = new QueueReader(tx);
    const named = new Map(queues.map((queue) => [queue.queue_name, queue]));
    const answers = await reader.some([...named.keys()], async (names) => {
      const some = names.flatMap((name) => named.get(name) ?? []);
      const whole = some.filter(({ complete }) => complete).map(({ queue_name: name }) => name);
      return { counts: await countTasks(tx, some), pulses: await readPulses(tx, whole, { registry }) };
    });
    const counts = answers.flatMap((answer) => answer.counts);
    const pulses = answers.flatMap((answer) => answer.pulses);
    return queues.map((queue) => {
      const of = <Row extends { queue_name: string }>(rows: readonly Row[]): Row | undefined =>
        rows.find(({ queue_name: name }) => name === queue.queue_name);
      const row = of(counts) ?? uncounted(queue, of(reader.skipped)?.reason ?? 'not read');
      return withPause({ ...row, ...of(pulses) }, pauses);
    });
  }, timeoutMs);
}

/** A condition on what tasks hold, states, or a part of a name, an id or a worker. */
async function readTasks(db: Database, queue: string, filter: string): Promise<Seen> {
  const shownBy = (flags: CommandFlags): Hint => command('list-tasks', { queue, ...flags });
  if (/^(params|headers|result|failure)\b.*([=<>~]|exists)/.test(filter)) {
    const where = [parseWhere(filter, '/')];
    const list = await db.readRanges(
      (tx) => listWhere(new QueueReader(tx), [queue], { states: [], where, limit: tasksShown }, lookBack),
      timeoutMs,
    );
    const notes = [...capped(list.more), ...cutNotes(list.cut, lookBack)];
    return { data: { kind: 'tasks', tasks: list.rows }, notes, command: shownBy({ where: filter }) };
  }
  const words = filter.split(/[\s,]+/).filter((word) => word !== '');
  const isState = (word: string): word is TaskState => (taskStates as readonly string[]).includes(word);
  const states = words.every(isState) ? words.filter(isState) : [];
  const part = states.length === words.length ? '' : filter.toLowerCase();
  const limit = part === '' ? tasksShown : tasksSearched;
  const list = await db.readRanges(async (tx) => {
    const reader = new QueueReader(tx);
    const found = await listTasks(reader, [queue], { states, limit });
    reader.finish([queue]);
    return found;
  }, timeoutMs);
  const flags = states.length > 0 ? { status: states.join(',') } : {};
  if (part === '')
    return { data: { kind: 'tasks', tasks: list.rows }, notes: capped(list.more), command: shownBy(flags) };
  const tasks = list.rows.filter(({ task_name: name, task_id: id, claimed_by: worker }) =>
    [name, id, worker ?? ''].some((text) => text.toLowerCase().includes(part)),
  );
  const notes = list.more ? [`Searched the latest ${limit} tasks: a state or a condition searches further`] : [];
  return { data: { kind: 'tasks', tasks }, notes, command: shownBy({ limit: tasksSearched }) };
}

const capped = (more: boolean): string[] => (more ? [`The first ${tasksShown} tasks: / narrows the list`] : []);

async function readTask(db: Database, { queue, id }: Extract<Level, { kind: 'task' }>): Promise<Seen> {
  return db.readRanges(async (tx) => {
    const { timeline } = await readTimeline(tx, { queue_name: queue, task_id: id }, { steps: lanesShown });
    const rows = await listCheckpointRows(tx, queue, id, stepsShown + 1);
    const steps = rows.slice(0, stepsShown).map((row) => ({
      ...{ name: row.checkpoint_name, attempt: row.attempt, updated_at: row.updated_at, bytes: row.bytes },
      value: row.state === null ? null : row.state.text.slice(0, 500),
    }));
    const attempts = (await getTask(tx, queue, id))?.attempts ?? 0;
    let failure: string | null = null;
    // The latest attempt may not have failed yet: then the one before it says why there was another.
    for (let attempt = attempts; failure === null && attempt > Math.max(0, attempts - 2); attempt--) {
      const reason = (await getAttempt(tx, queue, id, attempt))?.failure_reason ?? null;
      if (reason !== null) failure = failureText(reason).slice(0, valueLength);
    }
    const more = rows.length > stepsShown ? [`The first ${stepsShown} steps are shown`] : [];
    return {
      data: { kind: 'task', timeline, steps, failure },
      notes: [...more, ...timeline.notes.map((note) => note.text)],
      command: command('show-timeline', id, { queue }),
    };
  }, timeoutMs);
}

async function readStep(db: Database, { queue, id, step }: Extract<Level, { kind: 'step' }>): Promise<Seen> {
  const found = await db.readRanges((tx) => getCheckpoint(tx, queue, id, step), timeoutMs);
  if (found === undefined) throw notFound(`Task ${id} has no checkpoint "${step}"`);
  const text = found.state?.text ?? 'null';
  const whole = text.length <= valueLength;
  return {
    data: { kind: 'text', text: harmlessJson(whole ? prettyJson(text) : text.slice(0, valueLength)) },
    notes: whole ? [] : [`The beginning of ${byteSize(text.length)}: show-checkpoint prints all of it`],
    command: command('show-checkpoint', id, step, { queue }),
  };
}

async function readWhy(
  db: Database,
  { queue, id }: Extract<Level, { kind: 'why' }>,
  text: (advice: Advice) => string,
): Promise<Seen> {
  const options = { windowSeconds: 300, timeoutMs: 5000 };
  const result = id === null ? await whyQueue(db, queue, options) : await whyId(db, id, queue, options);
  return {
    data: { kind: 'text', text: whyText(result, text) },
    notes: result.unread.length > 0 ? ['Some questions got no answer'] : [],
    command: id === null ? command('why', { queue }) : command('why', id, { queue }),
  };
}

function whyText({ sentence, evidence, also, unread, next }: WhyResult, text: (advice: Advice) => string): string {
  const width = Math.max(0, ...evidence.map(({ what }) => what.length));
  return [
    `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`,
    '',
    ...evidence.map(({ certainty, what, value }) => `${certainty.padEnd(8)}  ${what.padEnd(width)}  ${value}`),
    ...also.map((other) => `also: ${other.sentence}`),
    ...unread.map(({ what, reason }) => `not read: ${what} (${reason})`),
    ...(next.length === 0 ? [] : ['', 'Next:']),
    ...next.map((step) => `  ${text(step)}`),
  ].join('\n');
}
