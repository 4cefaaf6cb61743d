/** The pages that are one list each: events, schedules, workers, operations. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useView } from '../lib/api.js';
import { go, href, taskHref, type Place } from '../lib/router.js';
import { grouped, plain, shortJson } from '../lib/text.js';
import type { EventView, List, OperationView, ScheduleView, WorkerView } from '../lib/types.js';
import { ActionButton } from '../parts/action.js';
import { Id, ListNotes, Panel, State, Table, Text, Trouble, When } from '../parts/basics.js';

/** Filters of a list as fields; the address holds them. */
function Filters({
  path,
  place,
  fields,
}: {
  path: string;
  place: Place;
  fields: [name: string, label: string][];
}): JSX.Element {
  const read = (): Record<string, string> =>
    Object.fromEntries(fields.map(([name]) => [name, place.query.get(name) ?? '']));
  const [values, setValues] = useState(read);
  const address = place.query.toString();
  useEffect(() => setValues(read()), [address]);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (href(path, values) !== href(path, read())) go(href(path, values), true);
    }, 300);
    return () => clearTimeout(timer);
  }, [values]);
  return (
    <form class="filters" role="search" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
      <div class="fields">
        {fields.map(([name, label]) => (
          <label>
            {label}
            <input
              name={name}
              value={values[name]}
              autoComplete="off"
              spellcheck={false}
              onInput={(event) => {
                const { value } = event.currentTarget;
                setValues((old) => ({ ...old, [name]: value }));
              }}
            />
          </label>
        ))}
      </div>
    </form>
  );
}

const viewPath = (path: string, place: Place, names: string[]): string => {
  const query = new URLSearchParams(
    names.flatMap((name) => (place.query.get(name) ? [[name, place.query.get(name) ?? '']] : [])),
  );
  return `${path}?${query.toString()}`;
};

const absent = 'This schema has none of these: absurdctl init brings them';

export function EventsPage({ place }: { place: Place }): JSX.Element {
  const { value: list, failure } = useView<List<EventView>>(viewPath('/api/events', place, ['queue', 'event']));
  const [draft, setDraft] = useState<{ queue: string; event: string; payload: string }>({
    queue: 'default',
    event: '',
    payload: '{}',
  });
  let payload: object | undefined;
  try {
    payload = JSON.parse(draft.payload) as object;
  } catch {
    payload = undefined;
  }
  const field = (name: 'queue' | 'event' | 'payload', label: string): JSX.Element => (
    <label>
      {label}
      <input
        value={draft[name]}
        spellcheck={false}
        onInput={(event) => {
          const { value } = event.currentTarget;
          setDraft((old) => ({ ...old, [name]: value }));
        }}
      />
    </label>
  );
  return (
    <>
      <div class="heading">
        <h1>Events</h1>
        <div class="actions">
          <ActionButton
            label="Emit"
            title="Emit an event"
            path="/api/events"
            body={{ queue: draft.queue, event: draft.event, payload }}
          >
            {field('queue', 'Queue')}
            {field('event', 'Event')}
            {field('payload', 'Payload (JSON)')}
          </ActionButton>
        </div>
      </div>
      <Filters
        path="/events"
        place={place}
        fields={[
          ['queue', 'Queue'],
          ['event', 'Event'],
        ]}
      />
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel title="Events" note="The latest emission first; an event that is only awaited comes last">
        <Table<EventView>
          caption="Events"
          rows={failure !== undefined && list === undefined ? [] : list?.rows}
          keyOf={(event) => `${event.queue_name}\n${event.event_name}`}
          columns={[
            { label: 'Event', draw: (event) => <Text of={event.event_name} /> },
            { label: 'Queue', draw: (event) => <Text of={event.queue_name} />, rank: 1 },
            { label: 'Emitted', draw: (event) => <When at={event.emitted_at} none="awaited" /> },
            { label: 'Waiting', number: true, draw: (event) => grouped(event.waiting) },
            {
              label: 'Payload',
              draw: (event) =>
                event.emitted_at === null ? (
                  <span class="muted">–</span>
                ) : event.payload === null && (event.bytes ?? 0) > 4 ? (
                  <span class="muted">{grouped(event.bytes ?? 0)} bytes</span>
                ) : (
                  <code>{shortJson(event.payload, 80)}</code>
                ),
              rank: 2,
            },
          ]}
          empty="No events here"
        />
        <ListNotes list={list} />
      </Panel>
    </>
  );
}

export function SchedulesPage({ place }: { place: Place }): JSX.Element {
  const { value: list, failure } = useView<List<ScheduleView>>(viewPath('/api/schedules', place, ['queue']));
  return (
    <>
      <h1>Schedules</h1>
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel title="Schedules" note="The next to fire first">
        <Table<ScheduleView>
          caption="Schedules"
          rows={list?.rows}
          keyOf={(schedule) => schedule.schedule_name}
          columns={[
            { label: 'Schedule', draw: (schedule) => <Text of={schedule.schedule_name} /> },
            { label: 'Task', draw: (schedule) => <Text of={schedule.task_name} /> },
            { label: 'Queue', draw: (schedule) => <Text of={schedule.queue_name} />, rank: 2 },
            { label: 'Times', draw: (schedule) => <code>{plain(schedule.times)}</code>, rank: 1 },
            { label: 'Next', draw: (schedule) => <When at={schedule.next_at} /> },
            {
              label: 'Last',
              draw: (schedule) =>
                schedule.last_task_id === null ? (
                  <When at={schedule.last_at} />
                ) : (
                  <a href={taskHref(schedule.queue_name, schedule.last_task_id)}>
                    <When at={schedule.last_at} none="its last task" />
                  </a>
                ),
              rank: 1,
            },
            {
              label: 'State',
              draw: (schedule) => (
                <>
                  <span class={schedule.state === 'active' ? '' : 'flag'}>{plain(schedule.state)}</span>
                  {schedule.pause_reason !== null && <span class="flag">{plain(schedule.pause_reason)}</span>}
                  {schedule.last_error !== null && <span class="flag bad">{plain(schedule.last_error)}</span>}
                </>
              ),
            },
            {
              label: 'Action',
              draw: (schedule) => (
                <ActionButton
                  label="Trigger"
                  title={`Trigger schedule ${schedule.schedule_name}`}
                  path={`/api/schedules/${encodeURIComponent(schedule.schedule_name)}/trigger`}
                />
              ),
            },
          ]}
          empty={list?.available === false ? absent : 'No schedules exist: absurdctl create-schedule'}
        />
        <ListNotes list={list} />
      </Panel>
    </>
  );
}

export function WorkersPage({ place }: { place: Place }): JSX.Element {
  const { value: list, failure } = useView<List<WorkerView>>(viewPath('/api/workers', place, ['queue']));
  return (
    <>
      <h1>Workers</h1>
      <Filters path="/workers" place={place} fields={[['queue', 'Queue']]} />
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel
        title="Workers"
        note="The latest sign of life first. Inferred: it is not registered, and its claims are all that is known"
      >
        <Table<WorkerView>
          caption="Workers"
          rows={failure !== undefined && list === undefined ? [] : list?.rows}
          keyOf={(worker) => `${worker.queue_name}\n${worker.worker}`}
          columns={[
            {
              label: 'Worker',
              draw: (worker) => (
                <a href={href('/tasks', { worker: worker.worker })}>
                  <Text of={worker.worker} />
                </a>
              ),
            },
            { label: 'Queue', draw: (worker) => <Text of={worker.queue_name} />, rank: 1 },
            { label: 'State', draw: (worker) => <State state={worker.state} /> },
            {
              label: 'Running',
              number: true,
              draw: (worker) => `${worker.running}${worker.concurrency === null ? '' : ` of ${worker.concurrency}`}`,
            },
            { label: 'Tasks', draw: (worker) => <Text of={worker.task_names?.join(', ') ?? null} />, rank: 2 },
            {
              label: 'Version',
              draw: (worker) => <Text of={[worker.sdk, worker.program_version].filter(Boolean).join(', ') || null} />,
              rank: 3,
            },
            { label: 'Heartbeat', draw: (worker) => <When at={worker.last_heartbeat} />, rank: 1 },
            { label: 'First lease ends', draw: (worker) => <When at={worker.oldest_lease} />, rank: 3 },
            { label: 'Last claim', draw: (worker) => <When at={worker.last_claim} /> },
          ]}
          empty="No worker is registered, or has claimed a run of late"
        />
        <ListNotes list={list} />
      </Panel>
    </>
  );
}

export function OperationsPage({ place }: { place: Place }): JSX.Element {
  const { value: list, failure } = useView<List<OperationView>>(
    viewPath('/api/operations', place, ['queue', 'command', 'task']),
  );
  return (
    <>
      <h1>Operations</h1>
      <Filters
        path="/operations"
        place={place}
        fields={[
          ['queue', 'Queue'],
          ['command', 'Command'],
          ['task', 'Task id'],
        ]}
      />
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel title="Operations" note="Who changed what, the latest first">
        <Table<OperationView>
          caption="Operations"
          rows={failure !== undefined && list === undefined ? [] : list?.rows}
          keyOf={(operation) => operation.operation_id}
          columns={[
            { label: 'When', draw: (operation) => <When at={operation.performed_at} /> },
            {
              label: 'Who',
              draw: (operation) => (
                <Text
                  of={`${operation.os_user ?? operation.database_role}${operation.os_host === null ? '' : ` on ${operation.os_host}`}`}
                />
              ),
            },
            {
              label: 'Command',
              draw: (operation) => <code title={plain(operation.arguments.join(' '))}>{plain(operation.command)}</code>,
            },
            { label: 'Queue', draw: (operation) => <Text of={operation.queue_name} />, rank: 1 },
            {
              label: 'Tasks',
              draw: (operation) => {
                const [first] = operation.task_ids;
                if (operation.task_count === 1 && first !== undefined && operation.queue_name !== null)
                  return (
                    <a href={taskHref(operation.queue_name, first)}>
                      <Id of={first} />
                    </a>
                  );
                return operation.task_count === 0 ? <span class="muted">–</span> : grouped(operation.task_count);
              },
              rank: 2,
            },
            { label: 'Reason', draw: (operation) => <Text of={operation.reason} /> },
          ]}
          empty={list?.available === false ? absent : 'No operations here'}
        />
        <ListNotes list={list} />
      </Panel>
    </>
  );
}
