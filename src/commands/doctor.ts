import * as Flags from '@oclif/core/flags';
import { dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { plural } from '../lib/diagnosis/words.js';
import { flat } from '../lib/doctor/causes.js';
import { severities, type DoctorFinding } from '../lib/doctor/check.js';
import type { Advice } from '../lib/cli/hint.js';
import { checkIds, examine, type DoctorResult } from '../lib/doctor/index.js';
import { openMetrics } from '../lib/doctor/openmetrics.js';
import { thresholdNames, thresholds, type Thresholds } from '../lib/doctor/thresholds.js';
import { exit, usageError } from '../lib/cli/errors.js';
import { harmless } from '../lib/cli/format/text.js';
import { watchFlag } from '../lib/cli/watch.js';
import { MetricsCommand } from '../lib/cli/metrics-command.js';
import { nearest } from '../lib/cli/nearest.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

const thresholdFlags = Object.fromEntries(
  thresholdNames.map((name) => {
    const { value, unit, about } = thresholds[name];
    return [
      name,
      wholeNumberFlag({
        min: name === 'window' ? 1 : 0,
        default: value,
        helpValue: unit,
        helpGroup: 'THRESHOLDS',
        description: about,
      }),
    ];
  }),
);

interface Examined {
  result: DoctorResult;
  failOn: (typeof severities)[number] | 'never';
  /** Whether a watched window shows it: that one shows the beginning of an answer. */
  watching: boolean;
  /** The answer as metrics, where they were asked for. */
  metrics: string | null;
}

export default class Doctor extends MetricsCommand<Examined> {
  static override summary = 'Find what is wrong with a database';
  static override description =
    'Read-only and bounded: each statement has a time limit, and none reads a whole queue. Exit code 1 on critical findings (--fail-on). docs/doctor.md explains every check.';
  static override examples = [
    '<%= config.bin %> doctor',
    '<%= config.bin %> doctor --fail-on warning --skip top-errors --json',
    '<%= config.bin %> doctor -o openmetrics',
  ];
  static override flags = {
    ...dbFlags,
    only: Flags.string({
      suggest: checkIds,
      multiple: true,
      delimiter: ',',
      helpValue: 'CHECK',
      description: 'run only these checks (repeat, or separate by commas)',
    }),
    skip: Flags.string({
      suggest: checkIds,
      multiple: true,
      delimiter: ',',
      helpValue: 'CHECK',
      description: 'skip these checks',
    }),
    'fail-on': Flags.option({
      options: [...severities, 'never'] as const,
      default: 'critical',
      description: 'lowest severity that makes the exit code 1',
    })(),
    watch: watchFlag,
    timeout: wholeNumberFlag({
      min: 1,
      default: 5,
      helpValue: 'SECONDS',
      description: 'time limit of a statement',
    }),
    ...thresholdFlags,
  };
  static declares: Declaration = {
    topic: 'WHEN SOMETHING IS STUCK',
    needs: 'reader',
    samples: ['--fail-on never'],
  };

  async execute(): Promise<Examined> {
    const { flags } = await this.parse(Doctor);
    const { only, skip, 'fail-on': failOn } = flags;
    for (const id of [...(only ?? []), ...(skip ?? [])]) {
      if (checkIds.includes(id)) continue;
      const suggestion = nearest(id, checkIds);
      throw usageError(
        `There is no check "${id}"`,
        suggestion === undefined ? `checks: ${checkIds.join(', ')}` : `did you mean ${suggestion}?`,
      );
    }
    if (only?.length && only.every((id) => skip?.includes(id)))
      throw usageError('No check is left to run: --skip names every check of --only');
    const chosen = Object.fromEntries(thresholdNames.map((name) => [name, Reflect.get(flags, name)])) as Thresholds;
    const look = async (): Promise<Examined> => {
      const options = { only, skip, thresholds: chosen, timeoutMs: flags.timeout * 1000 };
      const examination = await examine(await this.db(), options);
      const metrics = flags.output === 'openmetrics' ? openMetrics(examination) : null;
      return { result: examination.result, failOn, metrics, watching: flags.watch === true };
    };
    return flags.watch ? this.watch(look) : look();
  }

  /** The worst finding and the summary come last: that is what a terminal shows when it has printed everything. */
  render({ result, metrics, watching }: Examined, { next, mode }: RenderContext): Rendering {
    if (metrics !== null) return { text: metrics };
    const { critical, warning, info } = result.counts;
    const blocks = (watching ? result.findings : result.findings.toReversed()).map((finding) => block(finding, next));
    const made = `${plural(result.checks.length, 'check')} of database ${harmless(result.database)}`;
    const blind =
      result.hidden_sessions.length === 0
        ? ''
        : `This role cannot see the sessions of other roles: for a session that holds a lock, only its process id is known\n${result.hidden_sessions.map((step) => `  → ${next(step)}\n`).join('')}\n`;
    const nothing = blocks.length === 0;
    return {
      text: `${blind}${nothing ? `Nothing found: ${made}` : blocks.join('\n\n')}\n`,
      note: nothing ? [] : `${critical} critical, ${warning} warning, ${info} info in ${made}`,
      name: result.findings.map(({ check }) => check),
      // One line, or one row, a finding.
      jsonResult: mode === 'json' ? result : result.findings,
    };
  }

  protected override exitCode({ result: { findings }, failOn }: Examined): number {
    if (failOn === 'never') return exit.done;
    const least = severities.indexOf(failOn);
    return findings.some(({ severity }) => severities.indexOf(severity) >= least) ? exit.failed : exit.done;
  }
}

/** Consequences that are listed beneath a cause; more are counted. */
const listed = 5;

function block(
  { severity, check, queue, seen, why, mend, leads_to }: DoctorFinding,
  next: (advice: Advice) => string,
): string {
  const effects = flat(leads_to);
  const lines = effects
    .slice(0, listed)
    .map(
      (effect) => `    ${effect.check}${effect.queue === null ? '' : `  ${harmless(effect.queue)}`}: ${effect.seen}`,
    );
  const more = effects.length > listed ? [`    and ${effects.length - listed} more (--json lists them)`] : [];
  return [
    `${severity.toUpperCase()}  ${check}${queue === null ? '' : `  ${harmless(queue)}`}`,
    `  ${seen}`,
    `  ${why}`,
    ...(effects.length === 0 ? [] : ['  It leads to:', ...lines, ...more]),
    ...mend.map((step) => `  → ${next(step)}`),
  ].join('\n');
}
