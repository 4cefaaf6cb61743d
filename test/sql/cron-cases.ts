/**
 * next_times against two libraries, over random expressions, zones and moments, half of them near a change of the clocks. There
 * the libraries have rules of their own, and ours win: a local time that a change skips fires at the first instant after the
 * gap, and one that occurs twice fires the first time. So near a change the libraries find the local times, by a clock that is
 * never changed, and what those times are in the zone is computed here.
 */
import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import fc from 'fast-check';
import type { Connection } from '../support/database.js';

const names = [
  'UTC',
  'Europe/Vienna',
  'Europe/Dublin',
  'America/New_York',
  'America/St_Johns',
  'America/Sao_Paulo',
  'America/Santiago',
  'America/Caracas',
  'Asia/Kolkata',
  'Asia/Beirut',
  'Asia/Tehran',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Pacific/Chatham',
];

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const firstMs = Date.UTC(1999, 0, 1);
const lastMs = Date.UTC(2046, 0, 1);

/** A time in which the clocks of a zone stand still. */
interface Stretch {
  from: number;
  until: number;
  /** Milliseconds ahead of UTC. */
  offset: number;
}

class Zone {
  readonly stretches: Stretch[] = [];
  /** When the clocks change. */
  readonly changes: number[] = [];
  private readonly format: Intl.DateTimeFormat;

  constructor(readonly name: string) {
    this.format = new Intl.DateTimeFormat('en', { timeZone: name, timeZoneName: 'longOffset' });
    let from = -Infinity;
    for (let at = firstMs; at < lastMs; at += 4 * dayMs) {
      const next = at + 4 * dayMs;
      if (this.ask(at) === this.ask(next)) continue;
      let [before, after] = [at, next];
      while (after - before > 1000) {
        const middle = Math.floor((before + after) / 2000) * 1000;
        if (this.ask(middle) === this.ask(at)) before = middle;
        else after = middle;
      }
      this.stretches.push({ from, until: after, offset: this.ask(at) });
      this.changes.push(after);
      from = after;
    }
    this.stretches.push({ from, until: Infinity, offset: this.ask(lastMs) });
  }

  private ask(at: number): number {
    const name = this.format.formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value ?? '';
    const [, sign = '+', hours = '0', minutes = '0', seconds = '0'] =
      /GMT([+-])(\d+):(\d+)(?::(\d+))?/.exec(name) ?? [];
    return (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000;
  }

  /** What the clocks show, as the milliseconds of a UTC time that looks the same. */
  toLocal(at: number): number {
    return at + (this.stretches.find(({ until }) => at < until)?.offset ?? 0);
  }

  /** By the two rules. */
  toInstant(local: number): number {
    for (const { from, until, offset } of this.stretches) {
      const at = local - offset;
      if (at < from) return from;
      if (at < until) return at;
    }
    throw new Error('not a time');
  }

  /** Whether a clock changes within a day of that time. */
  changesNear(at: number): boolean {
    let [low, high] = [0, this.changes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.changes[middle] ?? 0) < at - dayMs) low = middle + 1;
      else high = middle;
    }
    return (this.changes[low] ?? Infinity) <= at + dayMs;
  }
}

/** Items that share no value, which one of the libraries refuses. */
function field(min: number, max: number): fc.Arbitrary<string> {
  const step = fc.integer({ min: 1, max: Math.min(15, max) });
  const items = fc
    .record({
      values: fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 6 }),
      ranges: fc.boolean(),
      by: fc.option(step, { nil: undefined }),
    })
    .map(({ values, ranges, by }) => {
      const sorted = values.toSorted((a, b) => a - b).map(String);
      if (!ranges) return sorted.join(',');
      const pairs = sorted.flatMap((low, i) => (i % 2 === 0 ? [[low, sorted[i + 1]]] : []));
      return pairs
        .map(([low, high]) => (high === undefined ? low : `${low}-${high}${by === undefined ? '' : `/${by}`}`))
        .join(',');
    });
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant('*') },
    { weight: 1, arbitrary: step.map((by) => `*/${by}`) },
    { weight: 3, arbitrary: items },
  );
}

// A step on the days would count as restricted in one library and not in the other.
const days = (min: number, max: number): fc.Arbitrary<string> =>
  field(min, max).map((one) => one.replace(/^\*\/\d+$/, '*'));

const expressions = fc.oneof(
  fc.tuple(field(0, 59), field(0, 23), days(1, 28), field(1, 12), days(0, 6)),
  // Those that have a time on most days, in the hours in which clocks change.
  fc.tuple(field(0, 59), field(0, 4), fc.constant('*'), fc.constant('*'), days(0, 6)),
);

const subjects = fc.record({
  cron: expressions.map((fields) => fields.join(' ')),
  zone: fc.constantFrom(...names),
});

const moments = fc.record({
  any: fc.integer({ min: Date.UTC(2000, 0, 1) / 1000, max: Date.UTC(2036, 0, 1) / 1000 }),
  /** Near the n-th change, if there is one, and so many seconds from it. */
  change: fc.nat({ max: 70 }),
  away: fc.integer({ min: -30 * 3600, max: 3 * 3600 }),
  near: fc.boolean(),
});

/** What a library says comes next; NaN where it gives up. */
type Next = (after: number) => number;

function cronerNext(cron: string, zone: string): Next {
  const job = new Cron(cron, { timezone: zone });
  return (after) => job.nextRun(new Date(after))?.getTime() ?? NaN;
}

function parserNext(cron: string, zone: string): Next {
  const parsed = CronExpressionParser.parse(cron, { tz: zone, currentDate: new Date(0) });
  return (after) => {
    parsed.reset(new Date(after));
    try {
      return parsed.next().getTime();
    } catch {
      // It loses its way where a zone skips midnight.
      return NaN;
    }
  };
}

/** The next instant by the rules, of the local times that a library finds where no clock is ever changed. */
function byRules(zone: Zone, nextLocal: Next, from: number): number {
  for (let local = zone.toLocal(from) - 1000; ;) {
    local = nextLocal(local);
    if (Number.isNaN(local)) return NaN;
    const at = zone.toInstant(local);
    if (at > from) return at;
  }
}

export interface Comparison {
  /** Cases in which all three were compared. */
  compared: number;
  /** Cases near a change of the clocks, and in how many of them a library has another rule. */
  nearChange: number;
  otherRule: { croner: number; parser: number };
  wrong: object[];
}

/** Asks the database in big batches while the libraries answer for the batch before. */
export async function compareNextTimes(
  db: Connection,
  { expressions: count, moments: each, seed }: { expressions: number; moments: number; seed: number },
): Promise<Comparison> {
  const zones = new Map(names.map((name) => [name, new Zone(name)]));
  const result: Comparison = { compared: 0, nearChange: 0, otherRule: { croner: 0, parser: 0 }, wrong: [] };
  const batchSize = Math.min(count, 150);
  const ask = async (batch: number) => {
    const some = fc.sample(subjects, { numRuns: batchSize, seed: seed + batch });
    const drawn = fc.sample(moments, { numRuns: batchSize * each, seed: seed - batch });
    const cases = some.flatMap((subject, i) => {
      const zone = zones.get(subject.zone) ?? new Zone(subject.zone);
      return drawn.slice(i * each, (i + 1) * each).map(({ any, change, away, near }) => {
        const at = zone.changes[change];
        return { ...subject, from: near && at !== undefined ? at + away * 1000 : any * 1000 };
      });
    });
    const { rows } = await db.query<{ at: Date | null }>(
      `select (select absurd.next_times(one.cron, one.zone, one.start, 1)) as at
         from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality as one (cron, zone, start, n)
        order by one.n`,
      [cases.map(({ cron }) => cron), cases.map(({ zone }) => zone), cases.map(({ from }) => new Date(from))],
    );
    return { some, cases, answers: rows.map(({ at }) => at?.getTime() ?? NaN) };
  };

  const batches = Math.ceil(count / batchSize);
  let asked = ask(0);
  for (let batch = 0; batch < batches; batch += 1) {
    const { some, cases, answers } = await asked;
    if (batch + 1 < batches) asked = ask(batch + 1);
    some.forEach(({ cron, zone: name }, i) => {
      const zone = zones.get(name) ?? new Zone(name);
      const [croner, parser] = [cronerNext(cron, name), parserNext(cron, name)];
      const [plainCroner, plainParser] = [cronerNext(cron, 'UTC'), parserNext(cron, 'UTC')];
      for (let n = i * each; n < (i + 1) * each; n += 1) {
        const { from } = cases[n] ?? { from: 0 };
        const ours = answers[n] ?? NaN;
        const said = { croner: croner(from), parser: parser(from) };
        result.compared += 1;
        let right = [said.croner, said.parser];
        if ([from, said.croner, said.parser, ours].some((at) => Number.isNaN(at) || zone.changesNear(at))) {
          right = [byRules(zone, plainCroner, from), byRules(zone, plainParser, from)];
          result.nearChange += 1;
          if (said.croner !== right[0]) result.otherRule.croner += 1;
          if (said.parser !== right[1]) result.otherRule.parser += 1;
        }
        if (right.some((at) => at !== ours)) {
          const text = (at: number): string => (Number.isNaN(at) ? 'none' : new Date(at).toISOString());
          result.wrong.push({ cron, zone: name, from: text(from), ours: text(ours), right: right.map(text) });
        }
      }
    });
    // The answer of the next batch arrives while this process computes; let it be read.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return result;
}
