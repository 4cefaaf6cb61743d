import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { get, useView } from '../lib/api.js';
import { href, taskHref } from '../lib/router.js';
import { bytes, grouped, plain, shortJson } from '../lib/text.js';
import type { TaskAnswer } from '../lib/types.js';
import { ActionButton } from '../parts/action.js';
import { Id, Json, Panel, State, Table, Text, Trouble, When } from '../parts/basics.js';
import { Waterfall } from '../parts/waterfall.js';

type Task = TaskAnswer['task'];
type Step = Task['checkpoints'][number];

const Pair = ({ label, children }: { label: string; children: preact.ComponentChildren }): JSX.Element => (
  <div>
    <dt>{label}</dt>
    <dd>{children}</dd>
  </div>
);

function Why({ answer }: { answer: TaskAnswer }): JSX.Element {
  const { why, why_error: error } = answer;
  if (why === null) return <p class="muted">{plain(error ?? 'No answer')}</p>;
  return (
    <div class="inner why">
      <p class="sentence">
        <span class={`verdict verdict-${why.verdict}`}>{why.verdict}</span>{' '}
        {plain(why.sentence.charAt(0).toUpperCase() + why.sentence.slice(1))}.
      </p>
      {why.also.map(({ sentence }) => (
        <p class="muted">Also: {plain(sentence)}</p>
      ))}
      {why.evidence.length > 0 && (
        <dl class="pairs">
          {why.evidence.map(({ certainty, what, value }) => (
            <Pair label={`${what}${certainty === 'inferred' ? ' (inferred)' : ''}`}>{plain(value)}</Pair>
          ))}
        </dl>
      )}
      {why.next.map((step) => (
        <p>
          <code>{plain(step)}</code>
        </p>
      ))}
    </div>
  );
}

/** An error as the SDKs write it, with its stack; anything else as the JSON that it is. */
function ErrorOf({ reason }: { reason: unknown }): JSX.Element {
  const { name, message, stack } = (typeof reason === 'object' && reason !== null ? reason : {}) as Record<
    string,
    unknown
  >;
  if (typeof message !== 'string') return <Json value={reason} label="Error" />;
  const title = typeof name === 'string' ? `${name}: ${message}` : message;
  const trace =
    typeof stack === 'string' ? (stack.startsWith(title) ? stack.slice(title.length).replace(/^\n/, '') : stack) : '';
  return (
    <div class="error">
      <p class="bad">
        <strong>{plain(title)}</strong>
      </p>
      {trace !== '' && (
        <pre tabIndex={0} role="region" aria-label="Stack">
          {plain(trace, true)}
        </pre>
      )}
    </div>
  );
}

function Attempts({ answer }: { answer: TaskAnswer }): JSX.Element {
  const { task, spans } = answer;
  return (
    <ol class="attempts">
      {spans.map((span) => {
        const run = task.runs.find(({ run_id: id }) => id === span.run_id);
        const many = span.first_attempt !== span.last_attempt;
        return (
          <li>
            <p>
              <strong>
                {many
                  ? `Attempts ${grouped(span.first_attempt)} to ${grouped(span.last_attempt)}`
                  : `Attempt ${grouped(span.last_attempt)}`}
              </strong>{' '}
              <State state={span.state} />{' '}
              {many && (
                <span class="muted">
                  {span.identical
                    ? 'all the same; the last of them:'
                    : 'alike but for numbers and ids; the last of them:'}
                </span>
              )}
            </p>
            {run !== undefined && (
              <dl class="pairs">
                <Pair label="Worker">
                  <Text of={run.claimed_by} />
                </Pair>
                <Pair label="Last claimed">
                  <When at={run.started_at} />
                </Pair>
                {run.completed_at !== null && (
                  <Pair label="Completed">
                    <When at={run.completed_at} />
                  </Pair>
                )}
                {run.failed_at !== null && (
                  <Pair label="Failed">
                    <When at={run.failed_at} />
                  </Pair>
                )}
                {run.state === 'running' && (
                  <Pair label="Lease until">
                    <When at={run.claim_expires_at} none="no lease" />
                  </Pair>
                )}
                <Pair label="Run">
                  <Id of={run.run_id} />
                </Pair>
              </dl>
            )}
            {run?.failure_reason != null && <ErrorOf reason={run.failure_reason} />}
          </li>
        );
      })}
    </ol>
  );
}

/** A step's result; a large one is fetched when it is asked for. */
function StepResult({ task, step }: { task: Task; step: Step }): JSX.Element {
  const [whole, setWhole] = useState<unknown>();
  const path = `/api/tasks/${encodeURIComponent(task.queue_name)}/${task.task_id}/steps/${encodeURIComponent(step.checkpoint_name)}`;
  const state = whole === undefined ? (step.state as unknown) : whole;
  if (step.left_out !== undefined && whole === undefined) {
    return (
      <button type="button" onClick={() => void get<{ state: unknown }>(path).then((found) => setWhole(found.state))}>
        Show {bytes(step.left_out)}
      </button>
    );
  }
  const short = shortJson(state);
  if (short.length < 100) return <code>{short}</code>;
  return (
    <details>
      <summary>
        <code>{short.slice(0, 80)}…</code>
      </summary>
      <Json value={state} label={`Result of ${plain(step.checkpoint_name)}`} />
    </details>
  );
}

function Actions({ task }: { task: Task }): JSX.Element {
  const path = `/api/tasks/${encodeURIComponent(task.queue_name)}/${task.task_id}`;
  const open = ['pending', 'running', 'sleeping'].includes(task.state);
  const waits = task.waits.length > 0;
  return (
    <div class="actions">
      {task.state === 'failed' && <ActionButton label="Retry" title="Retry this task" path={`${path}/retry`} />}
      {task.state === 'sleeping' && (
        <ActionButton
          label={waits ? 'End its wait' : 'Wake'}
          title={waits ? 'End its wait, as its timeout would' : 'Wake this task'}
          path={`${path}/wake`}
          body={waits ? { as_timeout: true } : {}}
        />
      )}
      {open && <ActionButton label="Cancel task" title="Cancel this task" path={`${path}/cancel`} danger />}
    </div>
  );
}

export function TaskPage({ queue, id }: { queue: string; id: string }): JSX.Element {
  const { value: answer, failure } = useView<TaskAnswer>(
    `/api/tasks/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`,
  );
  if (answer === undefined) {
    return (
      <>
        <h1>Task</h1>
        {failure === undefined ? <div class="panel loading" /> : <Trouble failure={failure} />}
      </>
    );
  }
  const { task, family } = answer;
  return (
    <>
      <div class="heading">
        <h1>
          <Text of={task.task_name} /> <State state={task.state} />
        </h1>
        <Actions task={task} />
      </div>
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel title="Why">
        <Why answer={answer} />
      </Panel>
      <Panel title="Timeline">
        <Waterfall of={answer.timeline} />
      </Panel>
      <div class="halves even">
        <Panel title="Task">
          <dl class="pairs inner">
            <Pair label="Id">
              <Id of={task.task_id} />
            </Pair>
            <Pair label="Queue">
              <a href={href('/tasks', { queue: task.queue_name })}>
                <Text of={task.queue_name} />
              </a>
            </Pair>
            <Pair label="Attempts">
              {grouped(task.attempts)} {task.max_attempts === null ? '(no limit)' : `of ${grouped(task.max_attempts)}`}
            </Pair>
            <Pair label="Enqueued">
              <When at={task.enqueue_at} />
            </Pair>
            <Pair label="First started">
              <When at={task.first_started_at} />
            </Pair>
            {task.idempotency_key !== null && (
              <Pair label="Idempotency key">
                <Text of={task.idempotency_key} />
              </Pair>
            )}
            {task.retry_strategy !== null && (
              <Pair label="Retry strategy">
                <code>{shortJson(task.retry_strategy)}</code>
              </Pair>
            )}
            {task.cancellation !== null && (
              <Pair label="Cancellation">
                <code>{shortJson(task.cancellation)}</code>
              </Pair>
            )}
          </dl>
        </Panel>
        <Panel title="Parameters">
          <Json value={task.params} label="Parameters" />
          {task.headers !== null && (
            <>
              <h3>Headers</h3>
              <Json value={task.headers} label="Headers" />
            </>
          )}
        </Panel>
      </div>
      {task.state === 'completed' && (
        <Panel title="Result">
          <Json value={task.completed_payload} label="Result" />
        </Panel>
      )}
      <Panel title="Attempts" note={task.cut.includes('runs') ? 'The latest only' : undefined}>
        <Attempts answer={answer} />
      </Panel>
      {task.waits.length > 0 && (
        <Panel title="Waits">
          <Table
            caption="Waits"
            rows={task.waits}
            keyOf={(wait) => wait.run_id + wait.step_name}
            columns={[
              {
                label: 'Event',
                draw: (wait) => (
                  <a href={href('/events', { event: wait.event_name, queue: task.queue_name })}>
                    <Text of={wait.event_name} />
                  </a>
                ),
              },
              { label: 'Step', draw: (wait) => <Text of={wait.step_name} /> },
              { label: 'Since', draw: (wait) => <When at={wait.created_at} /> },
              { label: 'Timeout', draw: (wait) => <When at={wait.timeout_at} none="none" /> },
            ]}
            empty="No waits"
          />
        </Panel>
      )}
      <Panel title="Steps" note={task.cut.includes('checkpoints') ? 'The first 1,000 only' : undefined}>
        <Table
          caption="Steps"
          rows={task.checkpoints}
          keyOf={(step) => step.checkpoint_name}
          columns={[
            { label: 'Step', draw: (step) => <Text of={step.checkpoint_name} /> },
            { label: 'Done', draw: (step) => <When at={step.updated_at} /> },
            { label: 'Result', draw: (step) => <StepResult task={task} step={step} /> },
          ]}
          empty="No step has finished"
        />
      </Panel>
      {family !== null && (family.parent !== null || family.children.length > 0) && (
        <Panel title="Family" note={family.more ? 'More children exist' : undefined}>
          <Table
            caption="Family"
            rows={[
              ...(family.parent === null ? [] : [{ ...family.parent, role: 'parent' }]),
              ...family.children.map((child) => ({ ...child, role: 'child' })),
            ]}
            keyOf={(member) => member.task_id}
            columns={[
              { label: 'Is', draw: (member) => member.role },
              {
                label: 'Task',
                draw: (member) => (
                  <a class="name" href={taskHref(member.queue_name, member.task_id)}>
                    <Text of={member.task_name} />
                    <Id of={member.task_id} />
                  </a>
                ),
              },
              { label: 'State', draw: (member) => <State state={member.state} /> },
              { label: 'Queue', draw: (member) => <Text of={member.queue_name} />, rank: 1 },
              { label: 'Enqueued', draw: (member) => <When at={member.enqueue_at} />, rank: 1 },
            ]}
            empty="No family"
          />
        </Panel>
      )}
    </>
  );
}
