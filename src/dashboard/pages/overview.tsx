import type { JSX } from 'preact';
import { useView } from '../lib/api.js';
import { href } from '../lib/router.js';
import { grouped, percent, plain } from '../lib/text.js';
import type { DoctorAnswer, List, Overview, QueueView, WorkerView } from '../lib/types.js';
import { ActionButton } from '../parts/action.js';
import { Panel, Table, Text, Trouble, When, type Column } from '../parts/basics.js';
import { Spark, Throughput } from '../parts/charts.js';
import { Findings } from './doctor.js';

type Counted = 'pending' | 'running' | 'sleeping' | 'completed' | 'failed' | 'cancelled';

/** A count as it is known: exact, at least, or an estimate. */
function Count({ queue, state }: { queue: QueueView; state: Counted }): JSX.Element {
  const count = queue[state];
  if (count === null) return <span class="muted">–</span>;
  const about = queue.estimated.includes(state) ? '~' : '';
  const over = queue.at_least.includes(state) ? '+' : '';
  const words = about ? 'an estimate' : over ? 'at least' : undefined;
  return (
    <a href={href('/tasks', { queue: queue.queue_name, state })} class={count === 0 ? 'zero' : ''} title={words}>
      {about}
      {grouped(count)}
      {over}
    </a>
  );
}

const count = (state: Counted, rank?: 1 | 2 | 3): Column<QueueView> => ({
  label: state.charAt(0).toUpperCase() + state.slice(1),
  number: true,
  draw: (queue) => <Count queue={queue} state={state} />,
  ...(rank && { rank }),
});

const columns: Column<QueueView>[] = [
  {
    label: 'Queue',
    draw: (queue) => (
      <>
        <a class="name" href={href('/tasks', { queue: queue.queue_name })}>
          <Text of={queue.queue_name} />
        </a>
        {queue.pause !== null && (
          <span class="flag" title={plain(queue.pause.reason ?? 'no reason given')}>
            paused by {plain(queue.pause.paused_by)} <When at={queue.pause.paused_at} />
            {queue.pause.reason !== null && `: ${plain(queue.pause.reason)}`}
          </span>
        )}
        {queue.error !== null && <span class="flag bad">not read: {plain(queue.error)}</span>}
      </>
    ),
  },
  count('pending'),
  count('running'),
  count('sleeping', 1),
  { label: 'Oldest waiting', draw: (queue) => <When at={queue.oldest_waiting_at} />, rank: 1 },
  {
    label: 'Last 15 minutes',
    draw: (queue) => <Spark completed={queue.completed_by_bucket} failed={queue.failed_by_bucket} />,
    rank: 2,
  },
  {
    label: 'Failure rate',
    number: true,
    draw: (queue) => <span class={(queue.failure_rate ?? 0) >= 0.1 ? 'bad' : ''}>{percent(queue.failure_rate)}</span>,
  },
  count('completed', 3),
  count('failed', 3),
  {
    label: 'Actions',
    draw: (queue) => {
      const path = `/api/queues/${encodeURIComponent(queue.queue_name)}`;
      return queue.pause === null ? (
        <ActionButton label="Pause" title={`Pause queue ${queue.queue_name}`} path={`${path}/pause`} danger />
      ) : (
        <ActionButton label="Resume" title={`Resume queue ${queue.queue_name}`} path={`${path}/resume`} />
      );
    },
    rank: 1,
  },
];

const Figure = ({
  label,
  children,
  bad,
}: {
  label: string;
  children: preact.ComponentChildren;
  bad?: boolean;
}): JSX.Element => (
  <div class="figure">
    <dt>{label}</dt>
    <dd class={bad ? 'bad' : ''}>{children}</dd>
  </div>
);

/** A worker is live where it sent a heartbeat, or holds a lease. */
function workersOf(workers: List<WorkerView> | undefined): string {
  if (workers === undefined) return '…';
  const live = workers.rows.filter(({ state, running }) => state === 'running' || state === 'draining' || running > 0);
  return `${grouped(new Set(live.map(({ worker }) => worker)).size)}${workers.more ? '+' : ''}`;
}

export function OverviewPage({ actions }: { actions: boolean }): JSX.Element {
  const { value: overview, failure } = useView<Overview>('/api/overview');
  const workers = useView<List<WorkerView>>('/api/workers?limit=1000').value;
  const doctor = useView<DoctorAnswer>('/api/doctor');
  const totals = overview?.totals;
  const more = totals?.at_least === true ? '+' : '';
  const figure = (value: number | undefined): string => (value === undefined ? '…' : `${grouped(value)}${more}`);
  const minutes =
    overview === undefined ? 15 : (overview.throughput.bucket_seconds * overview.throughput.at.length) / 60;
  const perMinute =
    totals === undefined
      ? '…'
      : ((totals.completed_runs + totals.failed_runs) / minutes).toFixed(totals.completed_runs > 150 ? 0 : 1);
  return (
    <>
      <h1>Overview</h1>
      {failure !== undefined && <Trouble failure={failure} />}
      <dl class="figures">
        <Figure label="Pending">{figure(totals?.pending)}</Figure>
        <Figure label="Running">{figure(totals?.running)}</Figure>
        <Figure label="Sleeping">{figure(totals?.sleeping)}</Figure>
        <Figure label="Oldest waiting">
          {totals === undefined ? '…' : <When at={totals.oldest_waiting_at} none="none" />}
        </Figure>
        <Figure label="Runs a minute">{perMinute}</Figure>
        <Figure label="Failure rate" bad={(totals?.failure_rate ?? 0) >= 0.1}>
          {totals === undefined ? '…' : percent(totals.failure_rate)}
        </Figure>
        <Figure label="Workers seen">
          <a href={href('/workers')}>{workersOf(workers)}</a>
        </Figure>
        <Figure label="Paused queues" bad={(totals?.paused_queues ?? 0) > 0}>
          {totals?.paused_queues ?? '…'}
        </Figure>
      </dl>
      <div class="halves">
        <Panel
          title="Throughput"
          note={
            <>
              Runs a minute by the time of their claim: <span class="key completed">completed</span>{' '}
              <span class="key failed">failed</span>
              {overview?.throughput.cut_before != null && ', incomplete on the left: too many to count'}
            </>
          }
        >
          <Throughput of={overview?.throughput} />
        </Panel>
        <Panel title="Doctor" note={<a href={href('/doctor')}>All findings</a>}>
          <div class="findings-short">
            {doctor.failure !== undefined && <Trouble failure={doctor.failure} />}
            <Findings findings={doctor.value?.findings.slice(0, 4)} short />
          </div>
        </Panel>
      </div>
      <Panel
        title="Queues"
        note={
          overview !== undefined && overview.queues_total > overview.queues.length
            ? `${grouped(overview.queues.length)} of ${grouped(overview.queues_total)}: those with the most writes`
            : undefined
        }
      >
        <Table
          caption="Queues"
          columns={actions ? columns : columns.slice(0, -1)}
          rows={overview?.queues}
          keyOf={(queue) => queue.queue_name}
          empty="No queues yet: absurdctl create-queue default"
        />
      </Panel>
    </>
  );
}
