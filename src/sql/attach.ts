/** Attaches former partitions to their tables again. Statements run in the caller's transaction. */
import { partitionKeys, partitionedLettersSql, partitionsLock } from './description.js';
import { quoteIdent } from './identifiers.js';
import type { Queryable } from './queryable.js';
import type { Timestamp } from './values.js';

/** The four tables of one week, or of the default partitions. */
export interface WeekTable {
  partition: string;
  parent: string;
  /** `missing`: no such table. `detached`: a table of its own. `half`: its detaching broke off. `other`: not a partition of that table. */
  state: 'missing' | 'detached' | 'attached' | 'half' | 'other';
  /** Columns that one of the two tables has and the other lacks, or has with another type. */
  odd_columns: string[];
}

/** Finds the tables with the names of a week's partitions. Catalogs only. */
export async function readWeekTables(db: Queryable, queue: string, tag: string): Promise<WeekTable[]> {
  const { rows } = await db.query<WeekTable>(
    `select part.parent || '_' || $2 as partition, part.parent,
            case when c.oid is null then 'missing'
                 when i.inhparent is null and c.relkind = 'r' and not c.relispartition then 'detached'
                 when i.inhparent = p.oid then case when i.inhdetachpending then 'half' else 'attached' end
                 else 'other' end as state,
            array(select coalesce(x.attname, y.attname)::text
                    from (select a.attname, a.atttypid from pg_attribute a
                           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) x
                    full join (select a.attname, a.atttypid from pg_attribute a
                                where a.attrelid = p.oid and a.attnum > 0 and not a.attisdropped) y on x.attname = y.attname
                   where c.oid is not null and x.atttypid is distinct from y.atttypid
                   order by 1) as odd_columns
       from (select letter || '_' || $1::text as parent, place
               from unnest(${partitionedLettersSql}) with ordinality as l (letter, place)) part
       join pg_namespace n on n.nspname = 'absurd'
       join pg_class p on p.relnamespace = n.oid and p.relname = part.parent and p.relkind = 'p'
       left join pg_class c on c.relnamespace = n.oid and c.relname = part.parent || '_' || $2
       left join pg_inherits i on i.inhrelid = c.oid
      order by part.place`,
    [queue, tag],
  );
  return rows;
}

const inSchema = (table: string): string => `absurd.${quoteIdent(table)}`;
const keyOf = (parent: string): string => partitionKeys[parent.charAt(0) as keyof typeof partitionKeys];

/** Locks out sessions that create or detach partitions of the queue, and its workers, until the transaction ends. */
export async function lockWeek(db: Queryable, queue: string, tables: readonly WeekTable[]): Promise<void> {
  await db.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`${partitionsLock}${queue}`]);
  const names = tables.flatMap(({ parent, partition }) => [`only ${inSchema(parent)}`, inSchema(partition)]);
  const { rows } = await db.query<{ name: string }>(
    `select c.relname::text as name from pg_partitioned_table p join pg_class c on c.oid = p.partdefid
      where p.partrelid = any (array(select to_regclass(format('absurd.%I', n.name)) from unnest($1::text[]) as n (name)))`,
    [tables.map(({ parent }) => parent)],
  );
  await db.query(
    `lock table ${[...names, ...rows.map(({ name }) => inSchema(name))].join(', ')} in access exclusive mode`,
  );
}

/** A week of partitions: its bounds as ids and as times, and the tag in the names. */
export interface Week {
  tag: string;
  from_at: Timestamp;
  to_at: Timestamp;
  lower_bound: string;
  upper_bound: string;
}

const weekColumns = `
  absurd.partition_week_tag(w.at) as tag, w.at as from_at, w.at + interval '7 days' as to_at,
  absurd.uuidv7_floor(w.at)::text as lower_bound, absurd.uuidv7_floor(w.at + interval '7 days')::text as upper_bound`;

/** The weeks of the oldest and the newest id of a table; one row if they are the same, none for an empty table. */
export async function readWeeksOf(db: Queryable, { partition, parent }: WeekTable): Promise<Week[]> {
  const key = keyOf(parent);
  const end = (order: string): string =>
    `(select x.${key} as id from ${inSchema(partition)} x order by x.${key} ${order} limit 1)`;
  const { rows } = await db.query<Week>(
    `select ${weekColumns}
       from (
               -- An id can be older than the first whole week.
               select distinct greatest(absurd.week_bucket_utc(absurd.uuidv7_timestamp(e.id)), 'epoch') as at
               from (${end('asc')} union all ${end('desc')}) as e) as w
      order by w.at`,
  );
  return rows;
}

/** The week with that tag that is nearest to now: tags repeat every ten years. */
export async function readNearestWeek(db: Queryable, tag: string): Promise<Week | null> {
  const { rows } = await db.query<Week>(
    `select ${weekColumns}
       from (select absurd.week_bucket_utc(absurd.current_time()) + make_interval(days => 7 * i) as at
               from generate_series(-260, 260) as i) as w
      where absurd.partition_week_tag(w.at) = $1
      order by abs(extract(epoch from w.at - absurd.current_time())) limit 1`,
    [tag],
  );
  return rows[0] ?? null;
}

/** Moves the rows of that week from the default partition into the table; returns their number. */
export async function moveDefaultRows(db: Queryable, { partition, parent }: WeekTable, week: Week): Promise<number> {
  const { rows } = await db.query<{ name: string; columns: string[] }>(
    `select c.relname::text as name,
            array(select a.attname::text from pg_attribute a
                   where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
       from pg_partitioned_table p join pg_class c on c.oid = p.partdefid
      where p.partrelid = to_regclass(format('absurd.%I', $1::text))`,
    [parent],
  );
  const [found] = rows;
  if (!found) return 0;
  const list = found.columns.map(quoteIdent);
  const { rowCount } = await db.query(
    `with moved as (
       delete from ${inSchema(found.name)} d where d.${keyOf(parent)} >= $1::uuid and d.${keyOf(parent)} < $2::uuid returning d.*
     )
     insert into ${inSchema(partition)} (${list.join(', ')}) select ${list.map((name) => `moved.${name}`).join(', ')} from moved`,
    [week.lower_bound, week.upper_bound],
  );
  return rowCount ?? 0;
}

const uuid = /^[0-9a-f-]{36}$/;

/** Attaches a table for a week, or as the default partition (null). Its rows are checked by the server. */
export async function attachWeek(db: Queryable, { partition, parent }: WeekTable, week: Week | null): Promise<void> {
  const bounds = week && [week.lower_bound, week.upper_bound];
  // Bounds are no parameters in this statement.
  if (bounds?.some((bound) => !uuid.test(bound)) === true) throw new Error(`no bounds: ${bounds.join(', ')}`);
  const values = bounds ? `for values from ('${bounds[0]}') to ('${bounds[1]}')` : 'default';
  await db.query(`alter table ${inSchema(parent)} attach partition ${inSchema(partition)} ${values}`);
  const { rows } = await db.query<{ there: boolean }>(
    `select to_regprocedure('absurd._share_reading(text, text)') is not null as there`,
  );
  // A role that reads one partition directly needs rights on it.
  if (rows[0]?.there === true) await db.query('select absurd._share_reading($1, $2)', [parent, partition]);
}

/** Of these, the queues that are registered and partitioned: `queues` are the names that a partition's may begin with. */
export async function listPartitionedQueues(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ queue_name: string }>(
    // A schema before 0.4.0 has no column for it.
    `select q.queue_name from absurd.queues q where to_jsonb(q) ->> 'storage_mode' = 'partitioned' order by 1`,
  );
  return rows.map(({ queue_name: name }) => name);
}
