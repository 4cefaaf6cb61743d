/**
 * The program: finds the command that was typed and runs it. Commands are named here, in the order in which help shows
 * them within a topic, and loaded only when they run.
 */
import { readFileSync } from 'node:fs';
import type { CommandClass } from './lib/cli/base-command.js';
import type { CommandSpec } from './lib/cli/completion/spec.js';
import type { Topic } from './lib/cli/help.js';
import type { Io } from './lib/cli/io.js';
import { nearest } from './lib/cli/nearest.js';

/** A module of src/commands. All else about a command, its topic too, is declared by the command itself. */
type Load = () => Promise<{ default: CommandClass }>;

const commands = new Map<string, Load>(
  Object.entries({
    demo: () => import('./commands/demo.js'),
    dev: () => import('./commands/dev.js'),
    init: () => import('./commands/init.js'),
    migrate: () => import('./commands/migrate.js'),
    'schema-version': () => import('./commands/schema-version.js'),
    uninstall: () => import('./commands/uninstall.js'),
    grants: () => import('./commands/grants.js'),
    'create-queue': () => import('./commands/create-queue.js'),
    'list-queues': () => import('./commands/list-queues.js'),
    'drop-queue': () => import('./commands/drop-queue.js'),
    'queue-policy': () => import('./commands/queue-policy.js'),
    'ensure-partitions': () => import('./commands/ensure-partitions.js'),
    'list-partitions': () => import('./commands/list-partitions.js'),
    'list-detach-candidates': () => import('./commands/list-detach-candidates.js'),
    'attach-partition': () => import('./commands/attach-partition.js'),
    'detach-candidate': () => import('./commands/detach-candidate.js'),
    'pause-queue': () => import('./commands/pause-queue.js'),
    'resume-queue': () => import('./commands/resume-queue.js'),
    cleanup: () => import('./commands/cleanup.js'),
    maintain: () => import('./commands/maintain.js'),
    cron: () => import('./commands/cron.js'),
    'spawn-task': () => import('./commands/spawn-task.js'),
    'spawn-tasks': () => import('./commands/spawn-tasks.js'),
    'list-tasks': () => import('./commands/list-tasks.js'),
    'show-tree': () => import('./commands/show-tree.js'),
    'dump-task': () => import('./commands/dump-task.js'),
    'show-timeline': () => import('./commands/show-timeline.js'),
    'retry-task': () => import('./commands/retry-task.js'),
    'cancel-task': () => import('./commands/cancel-task.js'),
    'wake-task': () => import('./commands/wake-task.js'),
    'emit-event': () => import('./commands/emit-event.js'),
    'await-task': () => import('./commands/await-task.js'),
    'fork-task': () => import('./commands/fork-task.js'),
    'export-task': () => import('./commands/export-task.js'),
    'import-task': () => import('./commands/import-task.js'),
    'create-schedule': () => import('./commands/create-schedule.js'),
    'list-schedules': () => import('./commands/list-schedules.js'),
    'show-schedule': () => import('./commands/show-schedule.js'),
    'pause-schedule': () => import('./commands/pause-schedule.js'),
    'resume-schedule': () => import('./commands/resume-schedule.js'),
    'trigger-schedule': () => import('./commands/trigger-schedule.js'),
    'backfill-schedule': () => import('./commands/backfill-schedule.js'),
    'drop-schedule': () => import('./commands/drop-schedule.js'),
    'sync-schedules': () => import('./commands/sync-schedules.js'),
    why: () => import('./commands/why.js'),
    doctor: () => import('./commands/doctor.js'),
    top: () => import('./commands/top.js'),
    'queue-stats': () => import('./commands/queue-stats.js'),
    dashboard: () => import('./commands/dashboard.js'),
    'list-workers': () => import('./commands/list-workers.js'),
    'list-runs': () => import('./commands/list-runs.js'),
    'list-waits': () => import('./commands/list-waits.js'),
    'list-events': () => import('./commands/list-events.js'),
    'list-operations': () => import('./commands/list-operations.js'),
    'list-checkpoints': () => import('./commands/list-checkpoints.js'),
    'show-event': () => import('./commands/show-event.js'),
    'show-checkpoint': () => import('./commands/show-checkpoint.js'),
    work: () => import('./commands/work.js'),
    'install-skill': () => import('./commands/install-skill.js'),
    completion: () => import('./commands/completion.js'),
  }),
);

async function load(name: string, from: Load): Promise<CommandClass> {
  const command = (await from()).default;
  command.id = name;
  return command;
}

/** Every command, in the order in which help shows them: for the build, and for tests. */
export const loadCommands = (): Promise<CommandClass[]> =>
  Promise.all([...commands].map(([name, from]) => load(name, from)));

/**
 * What the build writes beside the bundle, so that help need not load every command to say what it is for. Run from the
 * sources, there is no such file and the commands are asked.
 */
const summariesFile = 'topics.json';

/** Every command's name and summary, by topic: for the build. */
export async function topicSummaries(): Promise<Topic[]> {
  const { topics } = await import('./lib/cli/declaration.js');
  const all = await loadCommands();
  return topics.map((title) => ({
    title,
    commands: all.filter(({ declares }) => declares.topic === title).map(({ id, summary }) => ({ id, summary })),
  }));
}

/** What the build writes beside it, for completion. */
const specsFile = 'completion.json';

/** Every command as completion knows it: for the build, and from the sources. */
export async function commandSpecs(): Promise<CommandSpec[]> {
  const { commandSpec } = await import('./lib/cli/completion/spec.js');
  return (await loadCommands()).map(commandSpec);
}

/** The description of the dashboard's API: for the docs. */
export async function dashboardApi(version: string): Promise<object> {
  return (await import('./lib/dashboard/openapi.js')).openApi(version);
}

async function allSpecs(): Promise<CommandSpec[]> {
  try {
    return JSON.parse(readFileSync(new URL(specsFile, import.meta.url), 'utf8')) as CommandSpec[];
  } catch {
    return commandSpecs();
  }
}

async function allTopics(): Promise<Topic[]> {
  try {
    return JSON.parse(readFileSync(new URL(summariesFile, import.meta.url), 'utf8')) as Topic[];
  } catch {
    return await topicSummaries();
  }
}

/** Flags of the connection may come before the command, as with psql: they move behind its name. */
function reorder(argv: string[]): string[] {
  const leading: string[] = [];
  let rest = argv;
  for (let word = rest[0]; word?.startsWith('-'); word = rest[0]) {
    if (/^(--(database|host|port|user|output)|-[dhpUo])$/.test(word) && rest.length > 2) {
      leading.push(...rest.slice(0, 2));
      rest = rest.slice(2);
    } else if (
      /^(--(database|host|port|user|output)=.*|-[dhpUo].+|--verbose|-v|--json)$/.test(word) &&
      rest.length > 1
    ) {
      leading.push(word);
      rest = rest.slice(1);
    } else break;
  }
  return leading.length > 0 && rest[0] !== undefined ? [rest[0], ...leading, ...rest.slice(1)] : argv;
}

const asksForHelp = (args: string[]): boolean => {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).includes('--help');
};

/** Runs one command line (without `node` and the script) and returns the exit code. Nothing is thrown. */
export async function main(argv: string[], io: Io, version = 'unknown'): Promise<number> {
  const [name, ...args] = reorder(argv);
  if (argv[0] === '__complete')
    return (await import('./lib/cli/completion/complete.js')).complete(argv.slice(1), io, allSpecs);
  const { commandHelp, programHelp } = await import('./lib/cli/help.js');
  if (name === '--version' || name === 'version') {
    io.out(`absurdctl ${version}\n`);
    return 0;
  }
  const topic = name === 'help' ? args[0] : name;
  if (topic === undefined || ['-h', '--help', 'help'].includes(topic)) {
    io.out(programHelp(io, await allTopics()));
    return 0;
  }
  const from = commands.get(topic);
  if (from === undefined) {
    const suggestion = nearest(topic, [...commands.keys()]);
    const { CliError, exit } = await import('./lib/cli/errors.js');
    const hint = suggestion === undefined ? 'absurdctl --help lists the commands' : `did you mean ${suggestion}?`;
    const { reportError } = await import('./lib/cli/report.js');
    const error = new CliError(`There is no command "${topic}"`, {
      exitCode: exit.usage,
      code: 'unknown_command',
      hint,
    });
    reportError(io, error, args.includes('--json'));
    return exit.usage;
  }
  const command = await load(topic, from);
  if (name === 'help' || asksForHelp(args)) {
    io.out(commandHelp(io, command));
    return 0;
  }
  return new command(args, io).run();
}
