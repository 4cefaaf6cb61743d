/** Where the reader is: the address holds everything, so a page can be linked, reloaded and gone back to. */
import { useEffect, useState } from 'preact/hooks';
import { basePath } from './api.js';

export interface Place {
  /** Below the base path. */
  path: string;
  query: URLSearchParams;
}

const here = (): Place => ({
  path: location.pathname.slice(basePath.length) || '/',
  query: new URLSearchParams(location.search),
});

const listeners = new Set<() => void>();
addEventListener('popstate', () => listeners.forEach((listener) => listener()));

/** `/tasks` with these parameters; those that are empty are left out. */
export function href(path: string, query: Record<string, string | undefined> = {}): string {
  const given = new URLSearchParams(Object.entries(query).filter((pair): pair is [string, string] => !!pair[1]));
  return `${basePath}${path}${given.size > 0 ? `?${given.toString()}` : ''}`;
}

export const taskHref = (queue: string, id: string): string =>
  href(`/tasks/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`);

export function go(to: string, replace = false): void {
  if (replace) history.replaceState(null, '', to);
  else {
    history.pushState(null, '', to);
    scrollTo(0, 0);
  }
  listeners.forEach((listener) => listener());
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const listener = (): void => setPlace(here());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return place;
}

/** A click on a link of ours changes the page without loading it again. */
export function followLinks(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (link === null || link.origin !== location.origin || link.target || link.hasAttribute('download')) return;
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  if (!link.pathname.startsWith(`${basePath}/`) || link.pathname.startsWith(`${basePath}/api/`)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
