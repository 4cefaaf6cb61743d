import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { usageError } from '../lib/cli/errors.js';
import { secondsFlag } from '../lib/cli/flags.js';
import {
  followedExitCode,
  followTasks,
  outcomeSections,
  stillGoing,
  waitingInterrupted,
  type FollowedTask,
} from '../lib/task/follow.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireFeature } from '../lib/schema/feature.js';
import { readSpawnFlags, readStart, spawnFlags, startFlags } from '../lib/task/spawn-flags.js';
import { spawnOptions } from '../lib/task/spawn-options.js';
import { spawnTask, type SpawnedTask } from '../sql/tasks.js';
import { command, hint } from '../lib/cli/hint.js';

/** With --wait also how it ended. */
type Spawned = SpawnedTask & Partial<Omit<FollowedTask, 'queue_name' | 'task_id'>>;

export default class SpawnTask extends BaseCommand<Spawned> {
  static override summary = 'Start a task';
  static override description =
    'Parameters come from --params (JSON, @file, or - for standard input) and -P on top of it: k=v is a string, k:=json any value, a.b=v goes into an object. --at and --in start the task later: until then no worker gets it, and --max-delay counts from that start. With --wait the exit code says how the task ended: 0 completed, 6 failed or cancelled, 7 if --timeout passed first.';
  static override examples = [
    '<%= config.bin %> spawn-task send-mail -P to=ann@example.com -P retries:=3',
    '<%= config.bin %> spawn-task import --params @job.json --idempotency-key import-2026-01-02',
    '<%= config.bin %> spawn-task report --wait --timeout 60',
    '<%= config.bin %> spawn-task remind --in 2h -P order=42',
    '<%= config.bin %> spawn-task charge --max-attempts 5 --retry-kind exponential --retry-base 10',
  ];
  static override args = {
    name: Args.string({ required: true, suggest: 'task-name', description: 'name of the task' }),
  };
  static override flags = {
    ...changeFlags,
    ...spawnFlags,
    ...startFlags,
    'idempotency-key': Flags.string({
      helpValue: 'KEY',
      description: 'key that is unique in the queue; returns the existing task with this key',
    }),
    wait: Flags.boolean({ description: 'wait for the task to end and print its result' }),
    timeout: secondsFlag({ description: 'maximum time to wait, with --wait' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'worker',
    samples: ['open -q <queue> -P n:=1', 'open -q <queue> --in 2h --reason test'],
  };

  async execute(): Promise<Spawned> {
    const { args, flags } = await this.parse(SpawnTask);
    if (flags.timeout !== undefined && !flags.wait) throw usageError('--timeout requires --wait');
    const start = readStart(flags);
    const { params, settings } = await readSpawnFlags(this.io, flags);
    const options = spawnOptions({ ...settings, ...start, idempotencyKey: flags['idempotency-key'] });
    if (start.startAt !== undefined || start.delaySeconds !== undefined)
      await this.read((db) => requireFeature(db, 'delayed_spawn', 'delay the start of a task'));
    const spawned = await this.write(
      (db) => spawnTask(db, { queueName: flags.queue, taskName: args.name, params, options }),
      { touched: ({ task_id: id, created }) => (created ? { queue: flags.queue, tasks: [id] } : []) },
    );
    if (!flags.wait) return spawned;
    this.note(`Spawned task ${spawned.task_id}`);
    return { ...spawned, ...(await this.follow(spawned, flags.timeout)) };
  }

  private async follow(task: SpawnedTask, timeoutSeconds: number | undefined): Promise<FollowedTask | undefined> {
    try {
      const [followed] = await followTasks([task], {
        read: (work) => this.read(work),
        pause: (ms) => this.pause(ms),
        now: () => this.io.now(),
        say: (line) => this.note(line),
        timeoutMs: timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
      });
      return followed;
    } catch (error) {
      throw waitingInterrupted(error, [task.task_id]);
    }
  }

  protected override exitCode(task: Spawned): number {
    return isFollowed(task) ? followedExitCode([task]) : 0;
  }

  render(task: Spawned): Rendering {
    const record = { 'Task ID': task.task_id, 'Run ID': task.run_id, Attempt: task.attempt };
    if (isFollowed(task)) {
      return {
        note: task.timed_out ? stillGoing([task.task_id]) : undefined,
        record: { ...record, State: task.state, Attempts: task.attempts },
        sections: outcomeSections(task),
      };
    }
    return {
      note: task.created
        ? hint`Spawned in queue "${task.queue_name}"; ${command('dump-task', task.task_id)} shows it`
        : `The idempotency key exists: this is its task, in queue "${task.queue_name}"`,
      record,
    };
  }
}

const isFollowed = (task: Spawned): task is SpawnedTask & FollowedTask => task.state !== undefined;
