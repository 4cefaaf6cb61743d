import { requireAwaitTasks, toOutcome, toTaskRow, type TaskOutcome, type TaskRef } from './children.js';
import type { TaskContext } from './context.js';
import { TimeoutError } from './errors.js';
import type { ParsedJson } from './types.js';
import { deadlineMarker, isTasksWait, timeoutMarker, type TaskRow, type WaitFor } from './wait-for.js';

/** One of the waits of `awaitAny`. */
export type AnyWait =
  { event: string } | { task: TaskRef } | { tasks: readonly TaskRef[] } | { sleepFor: number } | { sleepUntil: Date };
export type AnyWaits = Record<string, AnyWait>;

type AnyValue<Wait> = Wait extends { event: string }
  ? ParsedJson
  : Wait extends { task: TaskRef }
    ? TaskOutcome
    : Wait extends { tasks: readonly TaskRef[] }
      ? TaskOutcome[]
      : null;

/** Which wait ended first, and an event's payload or how the tasks ended; null for a sleep. */
export type AnyResult<Waits extends AnyWaits> = {
  [Key in keyof Waits]: { key: Key; value: AnyValue<Waits[Key]> };
}[keyof Waits];

function toWait(step: string, key: string, wait: AnyWait): WaitFor {
  const given = wait as Partial<{
    event: string;
    task: TaskRef;
    tasks: readonly TaskRef[];
    sleepFor: number;
    sleepUntil: Date;
  }>;
  const what = `awaitAny: "${key}"`;
  if (Object.keys(given).length === 1) {
    if (typeof given.event === 'string' && given.event !== '')
      return { step, event: given.event, timeoutSeconds: null };
    const tasks = given.tasks ?? (given.task === undefined ? undefined : [given.task]);
    if (tasks !== undefined) {
      return { step, tasks: tasks.map((ref) => toTaskRow(ref, what)), mode: 'all', timeoutSeconds: null };
    }
    if (typeof given.sleepFor === 'number' && Number.isFinite(given.sleepFor))
      return { step, sleepSeconds: given.sleepFor };
    if (given.sleepUntil instanceof Date && !Number.isNaN(given.sleepUntil.getTime())) {
      return { step, sleepUntil: given.sleepUntil };
    }
  }
  throw new Error(
    `${what} must be one of { event: name }, { task: id }, { tasks: ids }, { sleepFor: seconds } and { sleepUntil: date }`,
  );
}

/** Waits for the first of several waits, and keeps which it was as one checkpoint. */
export async function awaitAny<Waits extends AnyWaits>(
  context: TaskContext,
  name: string,
  waits: Waits,
  timeoutSeconds: number | null,
): Promise<AnyResult<Waits>> {
  const { room } = context;
  const steps = new Map(Object.entries(waits).map(([key, wait]) => [key, toWait(`${name}:${key}`, key, wait)]));
  if (steps.size === 0) throw new Error('awaitAny needs at least one wait');
  const timeout = (): Error => new TimeoutError(`Timed out waiting for any of ${[...steps.keys()].join(', ')}`);

  const memory = await room.activities.during(() => context.recall());
  room.strays = true;
  if (memory.has(timeoutMarker(name))) throw timeout();
  if (memory.has(name)) return memory.get(name) as AnyResult<Waits>;

  const deadline: WaitFor | undefined =
    timeoutSeconds === null ? undefined : { step: deadlineMarker(name), sleepSeconds: timeoutSeconds };
  if ([...steps.values()].some(isTasksWait)) await room.activities.during(() => requireAwaitTasks(context));
  const opened = [...steps].map(async ([key, wait]) => {
    const value = (await room.wait(wait)) ?? null;
    if (!isTasksWait(wait)) return { key, value };
    const outcomes = (value as TaskRow[]).map(toOutcome);
    return { key, value: 'task' in (waits[key] ?? {}) ? outcomes[0] : outcomes };
  });
  const startedAtMs = memory.serverNowMs();
  const first = await Promise.race([
    ...opened,
    ...(deadline === undefined ? [] : [room.wait(deadline).then(() => undefined)]),
  ]);
  room.drop(new Set([...steps.values(), ...(deadline === undefined ? [] : [deadline])].map(({ step }) => step)));
  const [checkpoint, value] = first === undefined ? [timeoutMarker(name), null] : [name, first];
  await room.activities.during(() => context.saveCheckpoint(checkpoint, JSON.stringify(value), value, startedAtMs));
  if (first === undefined) throw timeout();
  return first as AnyResult<Waits>;
}
