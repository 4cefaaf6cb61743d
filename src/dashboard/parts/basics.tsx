/** Small parts that every page uses. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Failure } from '../lib/api.js';
import { ago, moment, plain, prettyJson } from '../lib/text.js';

/** The browser's clock, each second: what "2h ago" is counted from. */
function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** A moment as a distance; the moment itself is the title. */
export function When({ at, none = '–' }: { at: string | null; none?: string }): JSX.Element {
  const now = useNow();
  if (at === null) return <span class="muted">{none}</span>;
  if (at === 'infinity') return <span>never</span>;
  return (
    <time dateTime={at} title={`${moment(at)} (${at})`}>
      {ago(at, now)}
    </time>
  );
}

/** A state by a colour and its name. */
export const State = ({ state }: { state: string }): JSX.Element => (
  <span class={`state state-${/^[a-z_]+$/.test(state) ? state : 'unknown'}`}>{plain(state)}</span>
);

/** Stored text: whatever it holds, it is shown as characters. */
export const Text = ({ of }: { of: string | null }): JSX.Element =>
  of === null ? <span class="muted">–</span> : <bdi>{plain(of)}</bdi>;

export const Id = ({ of }: { of: string }): JSX.Element => <code class="id">{plain(of)}</code>;

export function Json({ value, label }: { value: unknown; label: string }): JSX.Element {
  return (
    <pre class="json" tabIndex={0} role="region" aria-label={label}>
      {prettyJson(value)}
    </pre>
  );
}

export function Panel({
  title,
  note,
  children,
  actions,
}: {
  title: string;
  note?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
        {note !== undefined && <p class="muted">{note}</p>}
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

export const Trouble = ({ failure }: { failure: Failure }): JSX.Element => (
  <div class="trouble" role="alert">
    <strong>{plain(failure.message)}</strong>
    {failure.hint !== null && <p>{plain(failure.hint)}</p>}
  </div>
);

export interface Column<Row> {
  label: string;
  draw(row: Row): ComponentChildren;
  /** Figures stand right. */
  number?: true;
  /** Left out in a narrow window: the highest first. */
  rank?: 1 | 2 | 3;
}

interface TableProps<Row> {
  caption: string;
  columns: Column<Row>[];
  rows: readonly Row[] | undefined;
  keyOf(row: Row): string;
  empty: ComponentChildren;
}

/** Rows of a list; before the first answer as many blank lines as keep the page from jumping. */
export function Table<Row>({ caption, columns, rows, keyOf, empty }: TableProps<Row>): JSX.Element {
  const classes = ({ number, rank }: Column<Row>): string =>
    [number ? 'number' : '', rank ? `rank-${rank}` : ''].join(' ').trim();
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th scope="col" class={classes(column)}>
                {column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows === undefined
            ? Array.from({ length: 8 }, () => (
                <tr class="blank" aria-hidden="true">
                  {columns.map((column) => (
                    <td class={classes(column)}>
                      <span />
                    </td>
                  ))}
                </tr>
              ))
            : rows.map((row) => (
                <tr key={keyOf(row)}>
                  {columns.map((column) => (
                    <td class={classes(column)}>{column.draw(row)}</td>
                  ))}
                </tr>
              ))}
          {rows?.length === 0 && (
            <tr>
              <td colSpan={columns.length} class="empty">
                {empty}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}

/** What a list does not show. */
export function ListNotes({
  list,
  more,
}: {
  list:
    | { more: boolean; stopped?: boolean; notes?: string[]; skipped?: { queue_name: string; reason: string }[] }
    | undefined;
  more?: JSX.Element;
}): JSX.Element {
  return (
    <div class="notes">
      {list?.more === true && <p>More exist. {more}</p>}
      {list?.stopped === true && <p>Reading stopped before all tasks were seen: name a state, a queue or a time.</p>}
      {(list?.notes ?? []).map((note) => (
        <p>{plain(note)}</p>
      ))}
      {(list?.skipped ?? []).slice(0, 5).map(({ queue_name, reason }) => (
        <p>
          Queue <Text of={queue_name} /> could not be read: {plain(reason)}
        </p>
      ))}
    </div>
  );
}
