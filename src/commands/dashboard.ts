import * as Flags from '@oclif/core/flags';
import type { ConnectionFlags } from '../connection/settings.js';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Column, Rendering } from '../lib/cli/output.js';
import type { RunningDashboard } from '../lib/dashboard/serve.js';
import { listQueueNames } from '../sql/schema.js';

interface Served {
  /** Holds the token. */
  url: string;
  port: number;
  allow_actions: boolean;
}

/** What --check read, and how long it took. */
interface Checked {
  checked: { path: string; seconds: number }[];
}

const { port: _port, ...placeFlags } = dbFlags;

export default class Dashboard extends BaseCommand<Served | Checked> {
  static override summary = 'Serve a dashboard for the browser';
  static override description = [
    'Prints the address to open, and runs until Ctrl-C. The address holds a token: a browser exchanges it for a cookie. It listens on the loopback interface only and changes nothing, unless flags say otherwise. However many browsers are open, the database is asked by at most three sessions.',
    'A JSON API (docs/dashboard-api.json) and /metrics take the token as Authorization: Bearer TOKEN; /healthz needs none.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> dashboard',
    '<%= config.bin %> dashboard --port 8080 --allow-actions',
    '<%= config.bin %> dashboard --port 8080 --listen 0.0.0.0 --token-file /run/secrets/absurd --base-path /absurd --allow-host ops.example.com',
  ];
  static override flags = {
    ...placeFlags,
    'database-port': Flags.integer({
      char: 'p',
      helpValue: 'PORT',
      helpGroup: 'CONNECTION',
      min: 1,
      max: 65_535,
      description: 'port of the database',
    }),
    check: Flags.boolean({ description: 'read what the pages read, once, and end' }),
    port: Flags.integer({
      default: 0,
      min: 0,
      max: 65_535,
      helpValue: 'PORT',
      description: 'port to listen on; 0 takes any free port',
    }),
    'allow-actions': Flags.boolean({
      description: 'let pages retry, cancel, wake, pause, resume, emit and trigger',
    }),
    listen: Flags.string({
      helpValue: 'ADDRESS',
      description: 'IP address to listen on instead of 127.0.0.1; put TLS in front of it',
    }),
    'token-file': Flags.string({
      helpValue: 'FILE',
      description: 'file that holds the token; required by an address that other machines reach',
    }),
    'base-path': Flags.string({
      helpValue: 'PATH',
      description: 'path under which a proxy serves it, such as /absurd',
    }),
    'allow-host': Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME',
      description: 'host name of a proxy; may be repeated',
    }),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: (flags) => (flags.includes('--allow-actions') ? 'operator' : 'reader'),
    samples: ['--check'],
  };

  private typed: ConnectionFlags = {};

  protected override connectionFlags = (): ConnectionFlags => this.typed;

  async execute(): Promise<Served | Checked> {
    const { flags } = await this.parse(Dashboard);
    const { port, 'database-port': dbPort, ...rest } = flags;
    this.typed = { ...rest, port: dbPort };
    const { readListening } = await import('../lib/dashboard/options.js');
    const listening = readListening({ ...rest, port });
    // A wrong address, a database without the schema, or a missing right is an error now and not on the first page.
    await this.read(listQueueNames);
    if (flags.check) return this.check();
    await this.closeDatabase();
    const { serveDashboard } = await import('../lib/dashboard/serve.js');
    const running = await serveDashboard({
      ...listening,
      allowActions: flags['allow-actions'],
      database: (await this.settings()).database,
      place: this.place(),
      open: () => this.openDatabase(),
      explain: (error, on) => this.explain(error, on),
      now: () => this.io.now(),
      env: this.io.env,
    });
    const served = { url: running.url, port: running.port, allow_actions: flags['allow-actions'] };
    await this.show(served);
    if (!listening.loopback)
      this.note('This address is reached without encryption: put a proxy with TLS in front of it (docs/dashboard.md)');
    await this.untilInterrupted(running);
    return served;
  }

  private async check(): Promise<Checked> {
    const { views } = await import('../lib/dashboard/views.js');
    const { Query } = await import('../lib/dashboard/request.js');
    const database = await this.db();
    const around = { now: () => this.io.now(), place: this.place() };
    const checked: Checked['checked'] = [];
    for (const view of views.filter(({ parts }) => parts === undefined)) {
      const begun = performance.now();
      await view.read(database, new Query(new URLSearchParams(), view.parameters), [], around);
      checked.push({ path: view.path, seconds: Math.round(performance.now() - begun) / 1000 });
    }
    return { checked };
  }

  /** Ctrl-C ends it, with exit code 130 as for every command that runs until then. */
  private async untilInterrupted(running: RunningDashboard): Promise<never> {
    try {
      for (;;) await this.pause(2 ** 30);
    } finally {
      await running.close();
    }
  }

  render(result: Served | Checked): Rendering {
    if ('checked' in result) {
      const columns: Column[] = [{ key: 'path' }, { key: 'seconds', type: 'number' }];
      return { table: { columns, rows: result.checked, empty: 'Nothing to read' } };
    }
    const { url, allow_actions: actions } = result;
    return {
      note: actions ? 'Ctrl-C stops it' : 'Read-only; --allow-actions lets pages act. Ctrl-C stops it',
      record: { URL: url },
      name: url,
    };
  }
}
