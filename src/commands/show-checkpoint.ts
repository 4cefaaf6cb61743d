import * as Args from '@oclif/core/args';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { notFound } from '../lib/cli/errors.js';
import { nearest } from '../lib/cli/nearest.js';
import type { Rendering } from '../lib/cli/output.js';
import { locateTask } from '../lib/task/find-task.js';
import { checkpointNames, getCheckpoint, type CheckpointDetail } from '../sql/checkpoints.js';
import { command, hint } from '../lib/cli/hint.js';

type Shown = { queue_name: string; task_id: string } & CheckpointDetail;

export default class ShowCheckpoint extends BaseCommand<Shown> {
  static override summary = 'Print the whole saved result of a step as JSON';
  static override description =
    'Standard output gets only the JSON, with every digit as stored; --json adds the run that saved it, and the time.';
  static override examples = [
    '<%= config.bin %> show-checkpoint 019a32d3-8425-7ae2-a5af-2f17a6707666 charge-card',
    '<%= config.bin %> show-checkpoint 019a32d3-8425-7ae2-a5af-2f17a6707666 fetch-rows | jq length',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'id of a task or a run' }),
    step: Args.string({ required: true, description: 'name of the step; the second step of a name is name#2' }),
  };
  static override flags = { ...dbFlags, queue: queueFlag };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['<failed> <step>'],
  };

  async execute(): Promise<Shown> {
    const { args, flags } = await this.parse(ShowCheckpoint);
    return this.readRanges(async (db) => {
      const { queue_name, task_id } = await locateTask(db, args.id, flags.queue);
      const checkpoint = await getCheckpoint(db, queue_name, task_id, args.step);
      if (checkpoint !== undefined) return { queue_name, task_id, ...checkpoint };
      const suggestion = nearest(args.step, await checkpointNames(db, queue_name, task_id));
      const list = hint`${command('list-checkpoints', task_id)} shows what has finished`;
      throw notFound(
        `Task ${task_id} has no checkpoint "${args.step}"`,
        suggestion === undefined ? list : `did you mean "${suggestion}"?`,
        'checkpoint_not_found',
      );
    });
  }

  render(shown: Shown): Rendering {
    return { json: shown.state, name: shown.checkpoint_name };
  }
}
