/**
 * Conditions on what tasks hold: their parameters, headers, results and failures. Paths and values are parameters. The left side of a
 * comparison is `column #> path`, so that an index on that expression answers it.
 */
import { pastedIdent, pastedLiteral, runs, tasks } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

export const whereRoots = ['params', 'headers', 'result', 'failure'] as const;
export type WhereRoot = (typeof whereRoots)[number];

export type WhereCondition = { root: WhereRoot; path: string[] } & (
  | { how: 'exists' }
  /** Texts of JSON values, any of which it may be. */
  | { how: '=' | '!='; json: string[] }
  /** The text of a JSON number or string; values of another type are neither greater nor less. */
  | { how: '>' | '>=' | '<' | '<='; json: string; type: 'number' | 'string' }
  | { how: 'contains' | 'matches' | 'matches-any-case'; text: string }
);

const columns: Record<Exclude<WhereRoot, 'failure'>, string> = {
  ...{ params: 'params', headers: 'headers', result: 'completed_payload' },
};

/** The failure of the last attempt that failed. */
const failure = (queue: string): string =>
  `(select f.failure_reason
      from (select * from ${runs(queue)} o where o.task_id = t.task_id offset 0) f
     where f.state = 'failed'
     order by f.attempt desc
     limit 1)`;

/**
 * The conditions on a row `t` of the queue's tasks (its columns `params`, `headers`, `completed_payload` and `task_id` are read), all of
 * which must hold, and their values, which take the parameters from `first` on. Without a condition: `true`.
 */
export function whereSql(
  queue: string,
  conditions: readonly WhereCondition[],
  first: number,
): { sql: string; values: unknown[] } {
  const values: unknown[] = [];
  const parameter = (value: unknown, type: string): string => {
    values.push(value);
    return `$${first + values.length - 1}::${type}`;
  };
  const one = (condition: WhereCondition): string => {
    const root = condition.root === 'failure' ? failure(queue) : `t.${columns[condition.root]}`;
    const value = condition.path.length === 0 ? root : `(${root} #> ${parameter(condition.path, 'text[]')})`;
    switch (condition.how) {
      case 'exists':
        return `${value} is not null`;
      case '=':
        return `${value} = any (${parameter(condition.json, 'jsonb[]')})`;
      case '!=':
        return `${value} <> all (${parameter(condition.json, 'jsonb[]')})`;
      case 'contains':
        return `position(${parameter(condition.text, 'text')} in ${value} #>> '{}') > 0`;
      case 'matches':
        return `${value} #>> '{}' ~ ${parameter(condition.text, 'text')}`;
      case 'matches-any-case':
        return `${value} #>> '{}' ~* ${parameter(condition.text, 'text')}`;
      default:
        return `(${value} ${condition.how} ${parameter(condition.json, 'jsonb')}
                 and jsonb_typeof(${value}) = '${condition.type}')`;
    }
  };
  const sql = conditions.map(one).join('\n          and ');
  return { sql: sql === '' ? 'true' : sql, values };
}

/** Which tasks a search found, and how far back it looked. */
export interface WhereFound {
  /** The newest first. */
  task_ids: string[];
  /** When the oldest task that was looked at was spawned; null: every task of the queue was looked at. */
  back_to: Timestamp | null;
}

/** The newest tasks of a queue that the conditions take: of the newest `lookBack` tasks, at most `limit`. */
export async function findWhere(
  db: Queryable,
  queue: string,
  filter: { where: readonly WhereCondition[]; states: readonly string[]; taskName?: string },
  { lookBack, limit, before = null }: { lookBack: number; limit: number; before?: string | null },
): Promise<WhereFound> {
  // Ids are in the order in which tasks were spawned: a bound on them is a range of the primary key.
  const { rows: floors } = await db.query<{ task_id: string; back_to: Timestamp | null }>(
    `select o.task_id, absurd.uuidv7_timestamp(o.task_id) as back_to
       from (select x.task_id from ${tasks(queue)} x order by x.task_id desc offset $1 limit 1) o`,
    [lookBack - 1],
  );
  const [floor] = floors;
  const { sql, values } = whereSql(queue, filter.where, 6);
  const { rows } = await db.query<{ task_id: string }>(
    `select t.task_id
       from ${tasks(queue)} t
      where t.task_id >= $1::uuid
        and ($2::uuid is null or t.task_id < $2)
        and t.state = any ($3::text[])
        and ($4::text is null or t.task_name = $4)
        and ${sql}
      order by t.task_id desc
      limit $5`,
    [floor?.task_id ?? lowest, before, filter.states, filter.taskName ?? null, limit, ...values],
  );
  return { task_ids: rows.map(({ task_id: id }) => id), back_to: floor?.back_to ?? null };
}

const lowest = '00000000-0000-0000-0000-000000000000';

/** The statement that makes an index for a condition; undefined where none would help. */
export function whereIndex(
  queue: string,
  { root, path, how }: WhereCondition,
  partitioned: boolean,
): string | undefined {
  const comparable = ['=', '>', '>=', '<', '<='].includes(how);
  if (root === 'failure' || path.length === 0 || !comparable) return undefined;
  const keys = path.map((key) => `"${key.replace(/["\\]/g, (special) => `\\${special}`)}"`);
  const expression = `${columns[root]} #> ${pastedLiteral(`{${keys.join(',')}}`)}`;
  // PostgreSQL makes none concurrently on a partitioned table.
  return `create index ${partitioned ? '' : 'concurrently '}on absurd.${pastedIdent(`t_${queue}`)} ((${expression}))`;
}
