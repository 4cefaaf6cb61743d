import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { toCliError, usageError } from '../lib/cli/errors.js';
import { unknownQueue } from '../lib/cli/explain.js';
import { secondsFlag, wholeNumberFlag } from '../lib/cli/flags.js';
import type { Rendering } from '../lib/cli/output.js';
import type { WorkReport } from '../lib/work/run.js';
import { applicationName, processIdentity } from '../sdk/identity.js';
import { listQueueNames } from '../sql/queues.js';
import { command } from '../lib/cli/hint.js';

export default class Work extends BaseCommand<WorkReport> {
  static override summary = 'Run a worker for the tasks of a module';
  static override description = [
    'FILE is a TypeScript or JavaScript module. Its default export is a function that takes the client and registers tasks, or an array of { name, handler }. Its import of absurdctl is this program, wherever it is installed.',
    'Each event is a line on standard error, or one JSON object a line with -o ndjson. On Ctrl-C or SIGTERM the worker claims nothing more and waits for its runs; the second time it ends at once.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> work tasks.ts',
    '<%= config.bin %> work tasks.ts --concurrency 10 --watch',
    { description: 'Work until the queue is empty, then exit', command: '<%= config.bin %> work tasks.ts --burst' },
  ];
  static override strict = false;
  static override args = {
    file: Args.string({ required: true, description: 'modules that register tasks' }),
  };
  static override flags = {
    ...dbFlags,
    queue: Flags.string({
      char: 'q',
      helpValue: 'QUEUE',
      description: 'only this queue; modules register tasks on it by default',
    }),
    concurrency: wholeNumberFlag({
      min: 1,
      default: 1,
      helpValue: 'N',
      description: 'maximum of runs at the same time',
    }),
    'claim-timeout': wholeNumberFlag({ min: 1, default: 120, helpValue: 'SECONDS', description: 'length of a lease' }),
    'poll-interval': secondsFlag({
      min: 0.01,
      default: 0.25,
      description: 'pause between two polls of an empty queue',
    }),
    'adaptive-polling': Flags.boolean({
      allowNo: true,
      default: true,
      description: 'poll more often while tasks arrive: at most two more queries a task',
    }),
    'worker-id': Flags.string({ helpValue: 'ID', description: 'id of the worker; default HOST:PID:RANDOM' }),
    'program-version': Flags.string({
      helpValue: 'VERSION',
      description: 'release that list-workers shows; default: the version in the package.json of FILE',
    }),
    'drain-timeout': secondsFlag({
      description: 'time to wait for its runs on a stop signal before it releases them',
    }),
    'listen-url': Flags.string({
      helpValue: 'URI',
      description: 'direct connection for wake-ups, if a pooler is in between (or ABSURD_LISTEN_URL)',
    }),
    burst: Flags.boolean({ description: 'exit when there is nothing to claim', exclusive: ['watch'] }),
    watch: Flags.boolean({ description: 'reload the modules when one of their files changes' }),
  };
  static declares: Declaration = {
    topic: 'WORK',
    needs: 'worker',
    samples: ['<module> -q <queue> --burst'],
  };

  private workerId = processIdentity();

  /** It leads from a session to the worker. */
  protected override sessionName(): string {
    return applicationName(super.sessionName(), this.workerId);
  }

  async execute(): Promise<WorkReport> {
    const { flags, argv } = await this.parse(Work);
    this.workerId = flags['worker-id'] ?? this.workerId;
    const files = argv.map(String);
    const { runWork } = await import('../lib/work/run.js');
    const { WorkerPool } = await import('../lib/connection/pool.js');
    const known = await this.read(listQueueNames);
    await this.closeDatabase();
    const pool = await WorkerPool.open(await this.settings(), this.io, Math.min(flags.concurrency + 2, 10));
    // Timers and pools that a module leaves open must not keep a worker that was told to end.
    this.io.exitsWhenDone?.();
    try {
      return await runWork(this.io, pool, {
        files,
        queue: flags.queue,
        concurrency: flags.concurrency,
        claimTimeout: flags['claim-timeout'],
        pollInterval: flags['poll-interval'],
        adaptivePolling: flags['adaptive-polling'],
        workerId: flags['worker-id'],
        programVersion: flags['program-version'],
        drainTimeoutSeconds: flags['drain-timeout'],
        listenUrl: flags['listen-url'] ?? this.io.env.ABSURD_LISTEN_URL ?? pool.listenUrl(),
        burst: flags.burst,
        watch: flags.watch,
        asJson: ['json', 'ndjson'].includes(this.mode()),
        checkQueues: (queues) => {
          if (queues.length === 0)
            throw usageError(`${files.join(', ')} registers no task`, command('work', { help: true }));
          const missing = queues.find((queue) => !known.includes(queue));
          if (missing !== undefined) throw unknownQueue(missing, known);
        },
      });
    } catch (error) {
      // The role and the server are looked up once more, for the message.
      if (['not_permitted', 'read_only'].includes(toCliError(error).code)) await this.db();
      throw error;
    } finally {
      await pool.close();
    }
  }

  render(): Rendering {
    return {};
  }
}
