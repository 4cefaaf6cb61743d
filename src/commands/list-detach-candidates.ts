import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Column, RenderContext, Rendering } from '../lib/cli/output.js';
import { detachStatement, hasDefaultPartition, listDetachCandidates, type DetachCandidate } from '../sql/partitions.js';

type Candidate = DetachCandidate & { sql?: string };

interface Candidates {
  rows: Candidate[];
  showSql: boolean;
}

export default class ListDetachCandidates extends BaseCommand<Candidates> {
  static override summary = 'List old, empty partitions that may be detached';
  static override description =
    'Lists partitions of queues with detach_mode empty whose week ended before detach_min_age and that contain no rows.';
  static override examples = [
    '<%= config.bin %> list-detach-candidates',
    '<%= config.bin %> list-detach-candidates -q mail --show-sql',
  ];
  static override flags = {
    ...dbFlags,
    queue: Flags.string({ char: 'q', helpValue: 'QUEUE', description: 'only this queue' }),
    'show-sql': Flags.boolean({ description: 'also show the statement that detaches' }),
  };
  static declares: Declaration = {
    topic: 'QUEUES',
    needs: 'reader',
    samples: ['', '--show-sql'],
  };

  async execute(): Promise<Candidates> {
    const { flags } = await this.parse(ListDetachCandidates);
    const showSql = flags['show-sql'];
    const rows = await this.readQueues(flags.queue, async (reader, queues) => {
      const { db } = reader;
      const candidates: Candidate[] = (await reader.each(queues, (queue) => listDetachCandidates(db, queue))).flat();
      if (!showSql) return candidates;
      for (const candidate of candidates) {
        candidate.sql = `${detachStatement(candidate, !(await hasDefaultPartition(db, candidate.parent)))};`;
      }
      return candidates;
    });
    return { rows, showSql };
  }

  render({ rows, showSql }: Candidates, { tty, mode }: RenderContext): Rendering {
    const columns: Column[] = [
      { key: 'partition' },
      { key: 'queue', drop: 1 },
      { key: 'parent', drop: 2 },
      // A statement is there to be copied: it is never cut.
      ...(showSql ? [{ key: 'sql', type: 'id' } as const] : []),
    ];
    const empty =
      'No partition is old, empty and in a queue whose policy allows detaching (queue-policy --detach-mode empty)';
    // Scripts of the original read a header here, off a terminal too.
    if (!tty && mode === 'table' && rows.length > 0) {
      const header = Object.fromEntries(columns.map(({ key }) => [key, key]));
      return { table: { columns, rows: [header, ...rows] }, jsonResult: rows };
    }
    return { table: { columns, rows, empty }, jsonResult: rows };
  }
}
