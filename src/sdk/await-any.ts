import type { TaskContext } from './context.js';
import { TimeoutError } from './errors.js';
import type { ParsedJson } from './types.js';
import { deadlineMarker, timeoutMarker, type WaitFor } from './wait-for.js';

/** One of the waits of `awaitAny`. */
export type AnyWait = { event: string } | { sleepFor: number } | { sleepUntil: Date };
export type AnyWaits = Record<string, AnyWait>;

/** Which wait ended first, and an event's payload; null for a sleep. */
export type AnyResult<Waits extends AnyWaits> = {
  [Key in keyof Waits]: { key: Key; value: Waits[Key] extends { event: string } ? ParsedJson : null };
}[keyof Waits];

function toWait(step: string, key: string, wait: AnyWait): WaitFor {
  const given = wait as Partial<{ event: string; sleepFor: number; sleepUntil: Date }>;
  if (Object.keys(given).length === 1) {
    if (typeof given.event === 'string' && given.event !== '')
      return { step, event: given.event, timeoutSeconds: null };
    if (typeof given.sleepFor === 'number' && Number.isFinite(given.sleepFor))
      return { step, sleepSeconds: given.sleepFor };
    if (given.sleepUntil instanceof Date && !Number.isNaN(given.sleepUntil.getTime())) {
      return { step, sleepUntil: given.sleepUntil };
    }
  }
  throw new Error(`awaitAny: "${key}" must be one of { event: name }, { sleepFor: seconds } and { sleepUntil: date }`);
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
  const opened = [...steps].map(async ([key, wait]) => ({ key, value: (await room.wait(wait)) ?? null }));
  const first = await Promise.race([
    ...opened,
    ...(deadline === undefined ? [] : [room.wait(deadline).then(() => undefined)]),
  ]);
  room.drop(new Set([...steps.values(), ...(deadline === undefined ? [] : [deadline])].map(({ step }) => step)));
  const [checkpoint, value] = first === undefined ? [timeoutMarker(name), null] : [name, first];
  await room.activities.during(() => context.saveCheckpoint(checkpoint, JSON.stringify(value), value));
  if (first === undefined) throw timeout();
  return first as AnyResult<Waits>;
}
