import type { QueueFlow } from '../../sql/diagnosis-queues.js';
import { openMetricsText, type Family, type Labels } from '../cli/format/openmetrics.js';
import { flat } from './causes.js';
import { severities } from './check.js';
import type { Examination } from './index.js';

const perQueue: [string, string, (flow: QueueFlow, now: number) => number | null][] = [
  [
    'absurd_queue_ready',
    'Runs that a claim would take now, counted up to 20002.',
    (flow) => flow.pending_ready + flow.sleeping_ready,
  ],
  ['absurd_queue_running', 'Runs that are claimed, counted up to 10001.', (flow) => flow.running],
  ['absurd_queue_sleeping', 'Runs asleep, counted up to 10001.', (flow) => flow.sleeping],
  ['absurd_queue_leases_expired', 'Leases that ended and were not swept.', (flow) => flow.expired],
  ['absurd_queue_without_lease', 'Runs claimed without a lease.', (flow) => flow.without_lease],
  [
    'absurd_queue_oldest_ready_seconds',
    'How long the first in line has been ready; 0 when nothing is.',
    (flow, now) => (flow.oldest_ready_at === null ? 0 : Math.max(0, (now - flow.oldest_ready_at) / 1000)),
  ],
  [
    'absurd_queue_last_claim_timestamp_seconds',
    'Latest claim that the rows show.',
    (flow) => flow.last_claim_at && flow.last_claim_at / 1000,
  ],
  ['absurd_queue_window_claims', 'Runs claimed within the window that run or are over.', (flow) => flow.window_claims],
  ['absurd_queue_window_created', 'Runs created within the window.', (flow) => flow.window_created],
  ['absurd_queue_window_completed', 'Runs claimed within the window that completed.', (flow) => flow.window_completed],
  ['absurd_queue_window_failed', 'Runs claimed within the window that failed.', (flow) => flow.window_failed],
];

/** The OpenMetrics text format 1.0: findings by check, also the checks without any, and the numbers by queue. */
export function openMetrics({ result, facts }: Examination): string {
  const findings: [Labels, number][] = result.checks.flatMap((check) =>
    severities.map((severity): [Labels, number] => [
      { check, severity },
      flat(result.findings).filter((finding) => finding.check === check && finding.severity === severity).length,
    ]),
  );
  const families: Family[] = [
    { name: 'absurd_doctor_findings', help: 'Findings of absurdctl doctor.', samples: findings },
    { name: 'absurd_doctor_unread', help: 'Questions that got no answer.', samples: [[{}, result.unread.length]] },
    ...perQueue.map(([name, help, value]) => ({
      name,
      help,
      samples: facts.queues.flatMap(({ queue, flow }): [Labels, number][] => {
        const number = flow && value(flow, facts.now);
        return number === null ? [] : [[{ queue: queue.queue_name }, number]];
      }),
    })),
  ];
  return openMetricsText(families);
}
