import { readBounded, type Unread } from '../../sql/bounded.js';
import type { Queryable } from '../../sql/queryable.js';
import { readStandingIn } from '../../sql/grants.js';
import { CliError, notPermitted } from '../cli/errors.js';
import { shown } from '../diagnosis/words.js';
import { severities, type Check, type Facts, type Finding, type Severity } from './check.js';
import { readFacts } from './facts.js';
import { flowChecks } from './flow.js';
import { rowChecks } from './rows.js';
import { schemaChecks } from './schema.js';
import { sessionChecks } from './sessions.js';
import { storageChecks } from './storage.js';
import { defaultThresholds, type Thresholds } from './thresholds.js';

/** Every check, in the order in which findings of the same weight are shown. */
export const checks: Check[] = [...schemaChecks, ...sessionChecks, ...flowChecks, ...rowChecks, ...storageChecks];
export const checkIds = checks.map((check) => check.id);

export interface DoctorFinding extends Finding {
  check: string;
  why: string;
}

export interface DoctorResult {
  database: string;
  /** Ids of the checks that were made. */
  checks: string[];
  /** The heaviest first. */
  findings: DoctorFinding[];
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
  /** For the metrics: the numbers that the findings came from. */
  facts: Facts;
}

/** Examines the database that `db` is connected to. Raises only where not even the catalogs answer. */
export function examine(db: Queryable, options: DoctorOptions): Promise<Examination> {
  const selected = checks.filter(
    ({ id }) => (!options.only?.length || options.only.includes(id)) && !options.skip?.includes(id),
  );
  const needs = new Set(selected.flatMap((check) => check.needs));
  return readBounded(db, options, async (reader) => {
    const facts = await readFacts(reader, needs, { ...defaultThresholds, ...options.thresholds });
    if (!facts) throw unreadable(reader.unread[0]);
    if (reader.unread.some(({ code }) => code === '42501')) facts.standing = await readStandingIn(reader);
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
  const weight = (finding: Finding): number => -severities.indexOf(finding.severity);
  const findings = selected
    .flatMap((check) => check.find(facts).map((finding) => ({ check: check.id, ...finding, why: check.why })))
    .sort((left, right) => weight(left) - weight(right));
  const count = (severity: Severity): number => findings.filter((finding) => finding.severity === severity).length;
  return {
    database: facts.schema.database,
    checks: selected.map((check) => check.id),
    findings,
    counts: { critical: count('critical'), warning: count('warning'), info: count('info') },
    unread: facts.unread,
  };
}
