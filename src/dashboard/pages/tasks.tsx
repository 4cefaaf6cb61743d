import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useView } from '../lib/api.js';
import { go, href, taskHref, type Place } from '../lib/router.js';
import type { List, TaskView } from '../lib/types.js';
import { Id, ListNotes, Panel, State, Table, Text, Trouble, When, type Column } from '../parts/basics.js';

const states = ['pending', 'running', 'sleeping', 'completed', 'failed', 'cancelled'];

/** Parameters of the address that are filters of the list. */
const filters = [
  'queue',
  'name',
  'state',
  'since',
  'until',
  'around',
  'within',
  'where',

  'error',
  'worker',
  'key',
  'limit',
];

const columns: Column<TaskView>[] = [
  {
    label: 'Task',
    draw: (task) => (
      <a href={taskHref(task.queue_name, task.task_id)} class="name">
        <Text of={task.task_name} />
        <Id of={task.task_id} />
      </a>
    ),
  },
  { label: 'State', draw: (task) => <State state={task.state} /> },
  { label: 'Queue', draw: (task) => <Text of={task.queue_name} />, rank: 1 },
  {
    label: 'Attempts',
    number: true,
    draw: (task) => `${task.attempts}${task.max_attempts === null ? '' : ` of ${task.max_attempts}`}`,
    rank: 1,
  },
  { label: 'Active', draw: (task) => <When at={task.activity_at} /> },
  {
    label: 'Wakes',
    draw: (task) =>
      task.state !== 'sleeping' ? (
        <span class="muted">–</span>
      ) : (
        <>
          {task.wake_event !== null && <Text of={task.wake_event} />}{' '}
          {task.available_at !== 'infinity' && <When at={task.available_at} />}
        </>
      ),
    rank: 2,
  },
  { label: 'Worker', draw: (task) => <Text of={task.claimed_by} />, rank: 3 },
];

type Values = Record<string, string>;

function Field({
  label,
  name,
  values,
  put,
  hint,
  list,
}: {
  label: string;
  name: string;
  values: Values;
  put(name: string, value: string): void;
  hint?: string;
  list?: string;
}): JSX.Element {
  return (
    <label>
      {label}
      <input
        name={name}
        value={values[name] ?? ''}
        placeholder={hint ?? ''}
        autoComplete="off"
        spellcheck={false}
        list={list}
        onInput={(event) => put(name, event.currentTarget.value)}
      />
    </label>
  );
}

export function TasksPage({ place }: { place: Place }): JSX.Element {
  const inAddress = place.query.toString();
  const read = (): Values => Object.fromEntries(filters.map((name) => [name, place.query.get(name) ?? '']));
  const [values, setValues] = useState<Values>(read);
  // Back and forward change the address, and the form follows.
  useEffect(() => setValues(read()), [inAddress]);
  const apply = (next: Values): void => go(href('/tasks', next), true);
  const put = (name: string, value: string): void => setValues((old) => ({ ...old, [name]: value }));
  useEffect(() => {
    const timer = setTimeout(() => {
      if (href('/tasks', values) !== href('/tasks', read())) apply(values);
    }, 300);
    return () => clearTimeout(timer);
  }, [values]);
  const query = new URLSearchParams(
    filters.flatMap((name) => (place.query.get(name) ? [[name, place.query.get(name) ?? '']] : [])),
  );
  const { value: list, failure } = useView<List<TaskView>>(`/api/tasks?${query.toString()}`);
  const chosen = new Set((values.state ?? '').split(',').filter(Boolean));
  const toggle = (state: string): void => {
    const next = chosen.has(state) ? [...chosen].filter((one) => one !== state) : [...chosen, state];
    put('state', states.filter((one) => next.includes(one)).join(','));
  };
  const limit = Number(place.query.get('limit') ?? 50);
  return (
    <>
      <h1>Tasks</h1>
      <form
        class="filters"
        role="search"
        aria-label="Filter tasks"
        onSubmit={(event) => {
          event.preventDefault();
          apply(values);
        }}
      >
        <fieldset class="chips">
          <legend class="unseen">State</legend>
          {states.map((state) => (
            <label class={`chip state-${state}`}>
              <input type="checkbox" checked={chosen.has(state)} onChange={() => toggle(state)} /> {state}
            </label>
          ))}
        </fieldset>
        <div class="fields">
          <Field label="Queue" name="queue" values={values} put={put} />
          <Field label="Task name" name="name" values={values} put={put} />
          <Field label="Since" name="since" values={values} put={put} hint="2h" />
          <Field label="Until" name="until" values={values} put={put} hint="10m" />
          <Field label="Around" name="around" values={values} put={put} hint="2026-01-02T03:04" />
          <Field label="Within" name="within" values={values} put={put} hint="5m" />
          <Field label="Holds" name="where" values={values} put={put} hint="params.order=42" />
          <Field label="Error" name="error" values={values} put={put} hint="text or /regex/" />
          <Field label="Worker" name="worker" values={values} put={put} />
          <Field label="Idempotency key" name="key" values={values} put={put} />
          <button type="button" onClick={() => go(href('/tasks'))}>
            Clear
          </button>
        </div>
      </form>
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel title="Tasks" note="The latest activity first">
        <Table
          caption="Tasks"
          columns={columns}
          rows={failure !== undefined && list === undefined ? [] : list?.rows}
          keyOf={(task) => task.task_id}
          empty="No task fits these filters"
        />
        <ListNotes
          list={list}
          more={
            limit < 1000 ? (
              <a href={href('/tasks', { ...read(), limit: String(Math.min(limit * 2, 1000)) })}>Show more</a>
            ) : (
              <span>Narrow the filter to see others.</span>
            )
          }
        />
      </Panel>
    </>
  );
}
