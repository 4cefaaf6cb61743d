import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
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
import { locateTask } from '../lib/task/find-task.js';

export default class AwaitTask extends BaseCommand<FollowedTask[]> {
  static override summary = 'Wait for tasks to end, with an exit code for the outcome';
  static override description =
    'Shows finished steps and prints the result. Exit code: 0 completed, 6 failed or cancelled, 7 if --timeout passed first. Ctrl-C ends the waiting, not the tasks. JSON is always a list.';
  static override examples = [
    '<%= config.bin %> await-task 019a32d3-8425-7ae2-a5af-2f17a6707666 --timeout 60',
    '<%= config.bin %> await-task $(<%= config.bin %> list-tasks -n import -o name)',
  ];
  static override strict = false;
  static override args = {
    id: Args.string({ required: true, suggest: 'open-id', description: 'ids of tasks or runs' }),
  };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    timeout: secondsFlag({ description: 'maximum time to wait; default: no limit' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: ['<done>'],
  };

  async execute(): Promise<FollowedTask[]> {
    const { flags, argv } = await this.parse(AwaitTask);
    const ids = [...new Set(argv.map(String))];
    const found = await this.read(async (db) => {
      const tasks = new Map<string, { queue_name: string; task_id: string }>();
      for (const id of ids) {
        const task = await locateTask(db, id, flags.queue);
        tasks.set(task.task_id, task);
      }
      return [...tasks.values()];
    });
    try {
      return await followTasks(found, {
        read: (work) => this.read(work),
        pause: (ms) => this.pause(ms),
        now: () => this.io.now(),
        say: (line) => this.note(line),
        timeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1000,
      });
    } catch (error) {
      throw waitingInterrupted(error, ids);
    }
  }

  protected override exitCode(tasks: FollowedTask[]): number {
    return followedExitCode(tasks);
  }

  render(tasks: FollowedTask[]): Rendering {
    const open = tasks.filter((task) => task.timed_out).map((task) => task.task_id);
    const note = open.length > 0 ? stillGoing(open) : undefined;
    const [task] = tasks;
    if (task !== undefined && tasks.length === 1) {
      return {
        note,
        record: { 'Task ID': task.task_id, Name: task.task_name, State: task.state, Attempts: task.attempts },
        sections: outcomeSections(task),
        jsonResult: tasks,
      };
    }
    return {
      note,
      table: {
        columns: [
          { key: 'task_id', type: 'id' },
          { key: 'task_name', drop: 2 },
          { key: 'queue_name', label: 'QUEUE', drop: 3 },
          { key: 'state', type: 'state' },
          { key: 'attempts', type: 'number', drop: 1 },
          { key: 'result', type: 'json' },
          { key: 'failure_reason', label: 'FAILURE', type: 'json' },
        ],
        rows: tasks,
      },
      jsonResult: tasks,
    };
  }
}
