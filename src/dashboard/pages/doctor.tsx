import type { JSX } from 'preact';
import { useView } from '../lib/api.js';
import { plain } from '../lib/text.js';
import type { DoctorAnswer, FindingView } from '../lib/types.js';
import { Panel, Text, Trouble } from '../parts/basics.js';

export function Findings({
  findings,
  short = false,
}: {
  findings: FindingView[] | undefined;
  short?: boolean;
}): JSX.Element {
  if (findings === undefined) return <p class="muted">Examining the database…</p>;
  if (findings.length === 0) return <p class="muted">Nothing found.</p>;
  return (
    <ul class="findings">
      {findings.map((finding) => (
        <li>
          <p>
            <span class={`severity severity-${finding.severity}`}>{finding.severity}</span>{' '}
            <strong>{plain(finding.check)}</strong> {finding.queue !== null && <Text of={finding.queue} />}
          </p>
          <p>{plain(finding.seen)}</p>
          {!short && <p class="muted">{plain(finding.why)}</p>}
          {!short && finding.leads_to.length > 0 && (
            <>
              <p class="muted">It leads to:</p>
              <Findings findings={finding.leads_to.slice(0, 5)} short />
            </>
          )}
          {!short &&
            finding.next.map((step) => (
              <p>
                <code>{plain(step)}</code>
              </p>
            ))}
        </li>
      ))}
    </ul>
  );
}

export function DoctorPage(): JSX.Element {
  const { value, failure } = useView<DoctorAnswer>('/api/doctor');
  return (
    <>
      <h1>Doctor</h1>
      {failure !== undefined && <Trouble failure={failure} />}
      <Panel
        title="Findings"
        note={
          value === undefined
            ? 'The most critical first'
            : `${value.counts.critical} critical, ${value.counts.warning} warning, ${value.counts.info} info; examined again every 15 seconds`
        }
      >
        <div class="inner">
          <Findings findings={value?.findings} />
        </div>
      </Panel>
    </>
  );
}
