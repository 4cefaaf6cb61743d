/** The pages: a heading, the way around, and the page that the address names. */
import { render, type JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import 'uplot/dist/uPlot.min.css';
import { get } from './lib/api.js';
import { followLinks, go, href, usePlace, type Place } from './lib/router.js';
import { plain } from './lib/text.js';
import type { Session } from './lib/types.js';
import { DoctorPage } from './pages/doctor.js';
import { EventsPage, OperationsPage, SchedulesPage, WorkersPage } from './pages/lists.js';
import { OverviewPage } from './pages/overview.js';
import { TaskPage } from './pages/task.js';
import { TasksPage } from './pages/tasks.js';
import { SessionContext } from './parts/session.js';

const pages: [path: string, label: string, key: string][] = [
  ['/', 'Overview', 'o'],
  ['/tasks', 'Tasks', 't'],
  ['/events', 'Events', 'e'],
  ['/schedules', 'Schedules', 's'],
  ['/workers', 'Workers', 'w'],
  ['/operations', 'Operations', 'p'],
  ['/doctor', 'Doctor', 'd'],
];

const themes = ['system', 'light', 'dark'] as const;
type Theme = (typeof themes)[number];

function storedTheme(): Theme {
  const kept = localStorage.getItem('absurdctl-theme');
  return themes.find((theme) => theme === kept) ?? 'system';
}

function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(storedTheme);
  useEffect(() => {
    if (theme === 'system') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.setAttribute('data-theme', theme);
    localStorage.setItem('absurdctl-theme', theme);
  }, [theme]);
  return [theme, setTheme];
}

/** g and a letter goes to a page, / to the first field, j and k along the links of a list, ? shows the keys. */
function useKeys(showKeys: () => void): void {
  const before = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const element = event.target instanceof HTMLElement ? event.target : undefined;
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
      if (element?.matches('input, textarea, select')) {
        if (event.key === 'Escape') element.blur();
        return;
      }
      const follows = event.timeStamp - before.current < 1500;
      before.current = event.key === 'g' ? event.timeStamp : 0;
      const page = follows ? pages.find(([, , key]) => key === event.key) : undefined;
      if (page !== undefined) go(href(page[0]));
      else if (event.key === '/') {
        document.querySelector<HTMLElement>('.filters .fields input')?.focus();
        event.preventDefault();
      } else if (event.key === 'j' || event.key === 'k') {
        const links = [...document.querySelectorAll<HTMLElement>('tbody tr td:first-child a')];
        const at = links.findIndex((link) => link === document.activeElement);
        links[Math.min(links.length - 1, Math.max(0, at + (event.key === 'j' ? 1 : -1)))]?.focus();
      } else if (event.key === '?') showKeys();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function Keys({ close }: { close(): void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const rows: [string, string][] = [
    ...pages.map(([, label, key]): [string, string] => [`g ${key}`, label]),
    ['/', 'First filter'],
    ['j k', 'Along a list'],
    ['Enter', 'Open'],
    ['Esc', 'Back from a field or a dialog'],
  ];
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="keys-title">
      <h2 id="keys-title">Keys</h2>
      <dl class="pairs">
        {rows.map(([key, what]) => (
          <div>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div class="buttons">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </dialog>
  );
}

function Page({ place, session }: { place: Place; session: Session | undefined }): JSX.Element {
  const [, first = '', queue, id] = place.path.replace(/\/$/, '').split('/');
  if (first === '') return <OverviewPage actions={session?.allow_actions === true} />;
  if (first === 'tasks' && queue !== undefined && id !== undefined)
    return <TaskPage queue={decodeURIComponent(queue)} id={decodeURIComponent(id)} />;
  if (first === 'tasks') return <TasksPage place={place} />;
  if (first === 'events') return <EventsPage place={place} />;
  if (first === 'schedules') return <SchedulesPage place={place} />;
  if (first === 'workers') return <WorkersPage place={place} />;
  if (first === 'operations') return <OperationsPage place={place} />;
  if (first === 'doctor') return <DoctorPage />;
  return <h1>There is no such page</h1>;
}

function App(): JSX.Element {
  const place = usePlace();
  const [session, setSession] = useState<Session>();
  const [theme, setTheme] = useTheme();
  const [keys, setKeys] = useState(false);
  useKeys(() => setKeys(true));
  useEffect(() => {
    get<Session>('/api/session').then(setSession, () => undefined);
  }, []);
  const current = pages.find(([path]) => path !== '/' && place.path.startsWith(path)) ?? pages[0];
  const label = current?.[1] ?? '';
  useEffect(() => {
    document.title = `${label} · ${session === undefined ? 'absurdctl' : plain(session.database)}`;
  }, [label, session]);
  return (
    <SessionContext.Provider value={session}>
      <a class="skip" href="#page">
        Skip to the page
      </a>
      <header class="top">
        <p class="brand">
          <strong>absurd</strong> <span>{session === undefined ? '' : plain(session.database)}</span>
        </p>
        <nav aria-label="Pages">
          {pages.map(([path, name]) => (
            <a href={href(path)} aria-current={current?.[0] === path ? 'page' : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div class="tools">
          {session?.allow_actions === false && <span class="muted">read-only</span>}
          <label>
            <span class="unseen">Theme</span>
            <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
              {themes.map((one) => (
                <option value={one}>{one}</option>
              ))}
            </select>
          </label>
          <button type="button" onClick={() => setKeys(true)} aria-label="Keys">
            ?
          </button>
        </div>
      </header>
      <main id="page" tabIndex={-1}>
        <Page place={place} session={session} />
      </main>
      {keys && <Keys close={() => setKeys(false)} />}
    </SessionContext.Provider>
  );
}

document.addEventListener('click', followLinks);
render(<App />, document.getElementById('app') as HTMLElement);
