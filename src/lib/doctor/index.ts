import { readBounded, type Unread } from '../../sql/bounded.js';
import type { Queryable } from '../../sql/queryable.js';
import { readStandingIn } from '../../sql/grants.js';
import { pastedIdent } from '../../sql/identifiers.js';
import { sightRole } from '../../sql/sessions.js';
import { CliError, notPermitted } from '../cli/errors.js';
import { hint, type Advice } from '../cli/hint.js';
import { grantCommand } from '../grants/hint.js';
import { shown } from '../diagnosis/words.js';
import { byCause, unreliable } from './causes.js';
import { severities, type Check, type DoctorFinding, type Facts, type Severity } from './check.js';
import { readFacts } from './facts.js';
import { flowChecks } from './flow.js';
import { rowChecks } from './rows.js';
import { schemaChecks } from './schema.js';
import { sessionChecks } from './sessions.js';
import { storageChecks } from './storage.js';
import { workerChecks } from './workers.js';
import { vacuumChecks } from './vacuum.js';
import { defaultThresholds, type Thresholds } from './thresholds.js';

export type { DoctorFinding } from './check.js';

/** Every check, in the order in which findings of the same severity are shown. */
export const checks: Check[] = [
  ...schemaChecks,
  ...sessionChecks,
  ...flowChecks,
  ...rowChecks,
  ...workerChecks,
  ...vacuumChecks,
  ...storageChecks,
];
export const checkIds = checks.map((check) => check.id);

export interface DoctorResult {
  database: string;
  /** Ids of the checks that ran. */
  checks: string[];
  /** One for each cause, most severe first, with its consequences in `leads_to`. */
  findings: DoctorFinding[];
  /** Checks that report nothing because the clock is stopped. */
  unreliable: string[];
  /** False if other roles' sessions are hidden from this role; null if no check asked. */
  sees_sessions: boolean | null;
  /** The commands that let it see them; empty if it does. */
  hidden_sessions: Advice[];
  counts: Record<Severity, number>;
  unread: Unread[];
}

export interface DoctorOptions {
  only?: string[];
  skip?: string[];
  thresholds?: Partial<Thresholds>;
  timeoutMs: number;
}

export interface Examination {
  result: DoctorResult;
  /** For the metrics: the figures behind the findings. */
  facts: Facts;
}

/** Examines the database of `db`. Raises only if not even the catalogs can be read. */
export function examine(db: Queryable, options: DoctorOptions): Promise<Examination> {
  const selected = checks.filter(
    ({ id }) => (!options.only?.length || options.only.includes(id)) && !options.skip?.includes(id),
  );
  const needs = new Set(selected.flatMap((check) => check.needs));
  return readBounded(db, options, async (reader) => {
    const facts = await readFacts(reader, needs, { ...defaultThresholds, ...options.thresholds });
    if (!facts) throw unreadable(reader.unread[0]);
    if (
      reader.unread.some(({ code }) => code === '42501') ||
      facts.survey.some((table) => table.filtered) ||
      facts.sight?.sees_sessions === false
    )
      facts.standing = await readStandingIn(reader);
    return { facts, result: judge(selected, facts) };
  });
}

/** Not even the catalogs, or the list of queues, could be read: nothing was examined. */
function unreadable(first: Unread | undefined): CliError {
  const message = `Could not read ${first?.what ?? 'the catalogs'}: ${shown(first?.reason ?? 'unknown')}`;
  return first?.code === '42501' ? notPermitted(message) : new CliError(message);
}

/** The rules over the facts: pure. */
export function judge(selected: Check[], facts: Facts): DoctorResult {
  const weight = ({ severity }: DoctorFinding): number => -severities.indexOf(severity);
  const findings = byCause(
    selected.flatMap((check) => check.find(facts).map((finding) => ({ check: check.id, ...finding, why: check.why }))),
  ).sort((left, right) => weight(left) - weight(right));
  const count = (severity: Severity): number => findings.filter((finding) => finding.severity === severity).length;
  const made = selected.map((check) => check.id);
  return {
    database: facts.schema.database,
    checks: made,
    findings,
    counts: { critical: count('critical'), warning: count('warning'), info: count('info') },
    unreliable: unreliable(made, findings),
    sees_sessions: facts.sight?.sees_sessions ?? null,
    hidden_sessions:
      facts.sight?.sees_sessions === false && facts.standing !== null
        ? [
            // A right of the server: it can be granted even if tables are locked.
            `as a superuser: psql: grant ${sightRole} to ${pastedIdent(facts.sight.me)}`,
            hint`or all that an operator needs: ${grantCommand(facts.standing, 'operator')}`,
          ]
        : [],
    unread: facts.unread,
  };
}
