import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { counted } from '../lib/cli/format/text.js';
import { applyGrants, planFor, type GrantsPlan } from '../lib/grants/index.js';
import { kinds } from '../lib/grants/kinds.js';
import type { Wanted } from '../lib/grants/plan.js';
import { sightRole } from '../sql/sessions.js';
import type { Rendering } from '../lib/cli/output.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';

interface Granted extends GrantsPlan {
  applied: boolean;
}

export default class Grants extends BaseCommand<Granted> {
  static override summary = 'Print or grant the rights that a role needs to read, to work or to operate';
  static override description = [
    'reader: all commands that only read. worker: also the SDK, its workers and the commands on tasks and events. operator: also cleanup, queue-policy and cron, and membership in pg_read_all_stats, so that why and doctor see the sessions of other roles. Only the owner of the schema can create, upgrade and drop (docs/operations.md, Roles).',
    'Without --apply it prints a script for psql and changes nothing. --apply runs it in one transaction, needs a superuser or the owner of the tables, and is safe to repeat.',
  ].join('\n');
  static override examples = [
    '<%= config.bin %> grants reporting --as reader',
    '<%= config.bin %> grants app --as worker --queue mail --apply',
    '<%= config.bin %> grants app --as worker --new-queues | psql -f -',
  ];
  static override args = { role: Args.string({ required: true, description: 'an existing role' }) };
  static override flags = {
    ...changeFlags,
    as: Flags.option({ options: kinds, required: true, description: 'purpose of the role' })(),
    queue: Flags.string({
      char: 'q',
      multiple: true,
      helpValue: 'QUEUE',
      description: 'only this queue (repeat for more); default: all existing queues',
    }),
    'new-queues': Flags.boolean({
      description: 'also queues that the present owners of the tables create later (default privileges)',
      exclusive: ['queue'],
    }),
    apply: Flags.boolean({ description: 'run the statements instead of printing them' }),
    revoke: Flags.boolean({ description: 'revoke these rights instead' }),
  };
  static declares: Declaration = {
    topic: 'SCHEMA',
    needs: (flags) => (flags.includes('--apply') ? 'owner' : 'reader'),
    samples: ['<role> --as operator --apply', '<role> --as reader'],
  };

  async execute(): Promise<Granted> {
    const { args, flags } = await this.parse(Grants);
    const wanted: Wanted = {
      role: args.role,
      kind: flags.as,
      queues: flags.queue ?? [],
      newQueues: flags['new-queues'] ?? false,
      revoke: flags.revoke ?? false,
    };
    const applied = flags.apply ?? false;
    const plan = await (applied ? applyGrants(await this.db(), wanted) : this.read((db) => planFor(db, wanted)));
    return { ...plan, applied };
  }

  render(plan: Granted): Rendering {
    const { role, kind, statements, revoke, applied } = plan;
    const script = statements.map(({ statement, why }) => `${statement};  -- ${why}\n`).join('');
    const done = revoke ? `"${role}" is no ${kind} any more` : `"${role}" is ${article(kind)} now`;
    return {
      ...(applied ? {} : { text: script }),
      note: [
        ...(applied ? [`${done}: ${counted(statements.length, 'statement')}`] : []),
        ...plan.beyond.map(
          ({ statement, why }) =>
            `${applied ? 'Not run: only' : 'Only'} a superuser, or a role with admin option on ${sightRole}, may run: ${statement};  -- ${why}`,
        ),
        ...advice(plan),
      ],
      name: statements.map(({ statement }) => statement),
      jsonResult: statements,
    };
  }
}

const article = (kind: string): string => `${kind === 'operator' ? 'an' : 'a'} ${kind}`;

function advice({ role, kind, newQueues, revoke, superuser }: GrantsPlan): Advice[] {
  if (revoke) return [];
  const again = command('grants', role, { as: kind });
  return [
    ...(superuser ? [`"${role}" is a superuser and needs no grants`] : []),
    ...(newQueues ? [] : [hint`Queues created later are not included: ${again} again then, or with --new-queues now`]),
  ];
}
