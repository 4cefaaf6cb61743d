import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { readError } from '../lib/bulk/flags.js';
import { parseMoment } from '../lib/cli/time.js';
import { watchFlag } from '../lib/cli/watch.js';
import {
  acrossQueues,
  cutNote,
  drawState,
  filterFlags,
  latestFirst,
  listFlags,
  type Listed,
} from '../lib/cli/lists.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { taskStates } from '../sql/description.js';
import { listRunsOf, type RunFilter, type RunRow } from '../sql/lists.js';

export default class ListRuns extends BaseCommand<Listed<RunRow>> {
  static override summary = 'List runs, the latest claimed or available first';
  static override description = 'A run is one attempt at a task. dump-task shows all runs of a task.';
  static override examples = ['<%= config.bin %> list-runs -q mail --status running'];
  static override flags = {
    ...dbFlags,
    ...listFlags,
    ...filterFlags,
    watch: watchFlag,
    status: Flags.option({
      char: 's',
      options: taskStates,
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
      description: 'only runs in this state; may be repeated',
    })(),
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<Listed<RunRow>> {
    const { flags } = await this.parse(ListRuns);
    const filter: RunFilter = {
      states: flags.status ?? taskStates,
      taskName: flags['task-name'],
      since: parseMoment(flags.since, '--since'),
      until: parseMoment(flags.until, '--until'),
      error: flags.error === undefined ? undefined : readError(flags.error),
      worker: flags.worker,
      key: flags.key,
    };
    const look = (): Promise<Listed<RunRow>> =>
      this.readQueues(flags.queue, (reader, queues) =>
        acrossQueues(
          reader,
          queues,
          flags.limit,
          (queue, limit) => listRunsOf(reader.db, queue, filter, limit),
          (a, b) => latestFirst(a.available_at, b.available_at),
        ),
      );
    return flags.watch ? this.watch(look) : look();
  }

  render(list: Listed<RunRow>, { now }: RenderContext): Rendering {
    return {
      table: {
        columns: [
          { key: 'run_id', type: 'id' },
          { key: 'queue_name', label: 'QUEUE', drop: 4 },
          { key: 'task_name', label: 'NAME' },
          { key: 'attempt', type: 'number', drop: 2 },
          { key: 'state', type: 'state', draw: drawState(now) },
          { key: 'available_at', label: 'CLAIMED OR DUE', type: 'time', drop: 1 },
          { key: 'claimed_by', label: 'WORKER', drop: 3 },
          { key: 'claim_expires_at', label: 'LEASE UNTIL', type: 'time', drop: 5 },
          { key: 'task_id', type: 'id', drop: 6 },
          { key: 'failure_reason', label: 'FAILURE', type: 'json', drop: 7 },
          { key: 'wake_event', label: 'EVENT', drop: 5 },
        ],
        rows: list.rows,
        empty: 'No runs found',
        truncated: cutNote(list),
      },
    };
  }
}
