/** Talks to the server: one request, or a view that is followed live. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { parseJson } from './text.js';

export const basePath = document.querySelector<HTMLMetaElement>('meta[name="base-path"]')?.content ?? '';

export interface Failure {
  code: string;
  message: string;
  hint: string | null;
}

export class ApiError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

async function answer<T>(response: Response): Promise<T> {
  const value = parseJson(await response.text());
  if (!response.ok) throw new ApiError(value as Failure);
  return value as T;
}

export const get = async <T>(path: string): Promise<T> =>
  answer<T>(await fetch(basePath + path, { credentials: 'same-origin' }));

export const post = async <T>(path: string, body: object): Promise<T> =>
  answer<T>(
    await fetch(basePath + path, {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }),
  );

export interface Followed<T> {
  /** Undefined until the first answer; then the latest one, also while the next cannot be had. */
  value: T | undefined;
  /** Why there is no newer one. */
  failure: Failure | undefined;
  /** Whether the stream is open. */
  live: boolean;
}

/** Follows a view while the page is visible: fetched once for the first paint, then by server-sent events. */
export function useView<T>(path: string): Followed<T> {
  const [state, setState] = useState<Followed<T> & { path: string }>({
    path,
    value: undefined,
    failure: undefined,
    live: false,
  });
  const current = useRef(path);
  current.current = path;
  useEffect(() => {
    let source: EventSource | undefined;
    let stopped = false;
    const put = (part: Partial<Followed<T>>): void => {
      if (stopped || current.current !== path) return;
      setState((old) =>
        old.path === path ? { ...old, ...part } : { path, value: undefined, failure: undefined, live: false, ...part },
      );
    };
    const open = (): void => {
      source = new EventSource(`${basePath}/api/live?of=${encodeURIComponent(path)}`);
      source.addEventListener('open', () => put({ live: true }));
      source.addEventListener('error', () => put({ live: false }));
      source.addEventListener('answer', (event: MessageEvent<string>) =>
        put({ value: parseJson(event.data) as T, failure: undefined, live: true }),
      );
      source.addEventListener('failure', (event: MessageEvent<string>) =>
        put({ failure: JSON.parse(event.data) as Failure }),
      );
    };
    const follow = (): void => {
      if (document.hidden) {
        source?.close();
        source = undefined;
        put({ live: false });
      } else if (source === undefined) open();
    };
    get<T>(path).then(
      (value) => {
        put({ value, failure: undefined });
        follow();
      },
      (error: unknown) => {
        put({
          failure:
            error instanceof ApiError
              ? error.failure
              : { code: 'unreachable', message: 'The dashboard does not answer', hint: null },
        });
        follow();
      },
    );
    document.addEventListener('visibilitychange', follow);
    return () => {
      stopped = true;
      source?.close();
      document.removeEventListener('visibilitychange', follow);
    };
  }, [path]);
  return state.path === path ? state : { value: undefined, failure: undefined, live: false };
}
