/** Errors outside any task: a promise of a module that nobody awaits, an error thrown by a timer. Node ends the process for them. */
import { format } from 'node:util';

export interface Fault {
  kind: 'Unhandled rejection' | 'Uncaught error';
  error: unknown;
  /** In one line: name, message, and where it was made. */
  text: string;
}

export interface FaultWatch {
  /** The one that the process ends for. */
  first?: Fault;
  onFault: (fault: Fault) => void;
  end(): void;
}

/** Takes such errors over from Node until `end` is called, so that runs are released before the process ends. */
export function watchFaults(): FaultWatch {
  const come =
    (kind: Fault['kind']) =>
    (error: unknown): void => {
      const fault = { kind, error, text: describe(error) };
      watch.first ??= fault;
      watch.onFault(fault);
    };
  const rejected = come('Unhandled rejection');
  const thrown = come('Uncaught error');
  const watch: FaultWatch = {
    onFault: () => undefined,
    end() {
      process.off('unhandledRejection', rejected);
      process.off('uncaughtException', thrown);
    },
  };
  process.on('unhandledRejection', rejected);
  process.on('uncaughtException', thrown);
  return watch;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return format(error);
  const frame = /^\s+at (.+)$/m.exec(error.stack ?? '')?.[1];
  return `${error.name}: ${error.message}${frame === undefined ? '' : ` (${frame})`}`;
}
