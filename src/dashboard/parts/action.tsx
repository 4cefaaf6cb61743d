/** What a page can do: a button, then a dialog with the preview, the reason and the command that does the same. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, post, type Failure } from '../lib/api.js';
import { plain } from '../lib/text.js';
import type { Preview } from '../lib/types.js';
import { Trouble } from './basics.js';
import { useSession } from './session.js';

export interface ActionProps {
  label: string;
  /** Of the dialog. */
  title: string;
  path: string;
  body?: object;
  danger?: boolean;
  /** More of the dialog's form. */
  children?: ComponentChildren;
}

const failureOf = (error: unknown): Failure =>
  error instanceof ApiError ? error.failure : { code: 'failed', message: String(error), hint: null };

export function ActionButton(props: ActionProps): JSX.Element | null {
  const session = useSession();
  const [open, setOpen] = useState(false);
  if (session?.allow_actions !== true) return null;
  return (
    <>
      <button type="button" class={props.danger ? 'danger' : ''} onClick={() => setOpen(true)}>
        {props.label}
      </button>
      {open && <ActionDialog {...props} close={() => setOpen(false)} />}
    </>
  );
}

function ActionDialog({
  label,
  title,
  path,
  body = {},
  danger,
  children,
  close,
}: ActionProps & { close(): void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [preview, setPreview] = useState<Preview>();
  const [failure, setFailure] = useState<Failure>();
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const sent = JSON.stringify(body);
  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    let old = false;
    post<Preview>(path, { ...body, dry_run: true }).then(
      (found) => {
        if (old) return;
        setPreview(found);
        setFailure(undefined);
      },
      (error: unknown) => !old && setFailure(failureOf(error)),
    );
    return () => void (old = true);
  }, [path, sent]);
  const act = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      await post(path, { ...body, ...(reason.trim() !== '' && { reason: reason.trim() }) });
      close();
    } catch (error) {
      setFailure(failureOf(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="action-title">
      <form onSubmit={(event) => void act(event)}>
        <h2 id="action-title">{plain(title)}</h2>
        {children}
        <ul class="effects" aria-live="polite">
          {(preview?.effects ?? ['Looking…']).map((effect) => (
            <li>{plain(effect)}</li>
          ))}
        </ul>
        {failure !== undefined && <Trouble failure={failure} />}
        <label>
          Reason
          <input value={reason} maxLength={500} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        {preview !== undefined && (
          <p class="command">
            The same command: <code>{plain(preview.command)}</code>
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={close}>
            Back
          </button>
          <button type="submit" class={danger ? 'danger' : 'primary'} disabled={busy || preview?.allowed !== true}>
            {label}
          </button>
        </div>
      </form>
    </dialog>
  );
}
