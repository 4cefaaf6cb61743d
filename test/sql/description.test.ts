import {
  addedColumns,
  addedRegistryColumns,
  finishedStates,
  functionsByRevision,
  functionsByVersion,
  ownTables,
  partitionedLetters,
  partitionKeys,
  policyKeys,
  queueColumns,
  queueFunctionKinds,
  queueIndexes,
  queueLetters,
  queueTriggers,
  requiredLetters,
  taskStates,
  unfinishedStates,
  wakeupChannel,
} from '../../src/sql/description.js';
import { builtParts } from '../../src/lib/schema/migrate/script.js';
import { describe, expect, test, type TestDatabase } from '../support/database.js';

const column = async <T>(db: TestDatabase, sql: string): Promise<T[]> =>
  (await db.query<{ value: T }>(sql)).rows.map(({ value }) => value);
const sorted = (texts: readonly string[]): string[] => [...texts].sort();

// "plain" and "weeks", of the two storage modes, so that every part has a table to be on.
async function withQueues(db: TestDatabase): Promise<void> {
  await db.query(`select absurd.create_queue('plain'); select absurd.create_queue('weeks', 'partitioned')`);
}

describe('src/sql/description.ts says what the script makes', () => {
  test('tables', async ({ db }) => {
    await withQueues(db);
    const tables = await column<string>(
      db,
      `select c.relname::text as value from pg_class c
        where c.relnamespace = 'absurd'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`,
    );

    expect(sorted(tables)).toEqual(
      sorted([
        ...ownTables,
        ...requiredLetters.map((one) => `${one}_plain`),
        ...queueLetters.map((one) => `${one}_weeks`),
      ]),
    );
    const keys = await column<string>(
      db,
      `select left(c.relname, 1) || ' ' || pg_get_partkeydef(c.oid) as value from pg_class c
        where c.relnamespace = 'absurd'::regnamespace and c.relkind = 'p'`,
    );
    expect(sorted(keys)).toEqual(
      sorted(partitionedLetters.map((letter) => `${letter} RANGE (${partitionKeys[letter]})`)),
    );
  });

  test('columns', async ({ db }) => {
    await withQueues(db);
    const columns = await column<string>(
      db,
      `select left(c.relname, 1) || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) as value
         from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'absurd'::regnamespace and c.relname like '__weeks' and c.relkind in ('r', 'p')
          and a.attnum > 0 and not a.attisdropped`,
    );

    expect(sorted(columns)).toEqual(sorted(queueColumns.map((one) => `${one.letter}.${one.column} ${one.type}`)));
    expect(new Set(addedColumns.map((one) => `${one.letter} ${one.column}`))).toEqual(
      new Set(builtParts().tableParts.flatMap((one) => (one.kind === 'column' ? [`${one.letter} ${one.name}`] : []))),
    );
  });

  test('triggers', () => {
    const triggers = builtParts().tableParts.filter(({ kind }) => kind === 'trigger');

    expect(triggers.map(({ letter, name }) => ({ letter, name }))).toEqual(
      queueTriggers.map(({ letter, name }) => ({ letter, name })),
    );
  });

  test('indexes', async ({ db }) => {
    await withQueues(db);
    const definitions = `
      select c.relname || ' ' || substr(i.relname, length('?_weeks_') + 1) || ' '
             || regexp_replace(pg_get_indexdef(i.oid), '^.* USING btree ', '') as value
        from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class c on c.oid = x.indrelid
       where c.relnamespace = 'absurd'::regnamespace and c.relname like '__weeks' and not x.indisprimary
         and c.relkind in ('r', 'p')`;
    const made = await column<string>(db, definitions);
    for (const { letter, label } of queueIndexes) await db.query(`drop index absurd.${letter}_weeks_${label}`);
    for (const { letter, label, on } of queueIndexes)
      await db.query(`create index ${letter}_weeks_${label} on absurd.${letter}_weeks ${on}`);

    expect(sorted(await column<string>(db, definitions))).toEqual(sorted(made));
  });

  test('the registry and the policy', async ({ db }) => {
    const columns = await column<string>(
      db,
      `select a.attname::text as value from pg_attribute a
        where a.attrelid = 'absurd.queues'::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    );
    expect(columns).toEqual(['queue_name', 'created_at', ...addedRegistryColumns]);

    await db.query(`select absurd.create_queue('weeks', 'partitioned')`);
    for (const key of policyKeys) {
      await db.query(
        `select absurd.set_queue_policy('weeks', jsonb_build_object($1::text, to_jsonb(q) -> $1))
           from absurd.queues q`,
        [key],
      );
    }
  });

  test('functions', async ({ db }) => {
    await withQueues(db);
    const made = await column<string>(
      db,
      `select distinct p.proname::text as value from pg_proc p
        where p.pronamespace = 'absurd'::regnamespace and p.proname !~ '^_|:'`,
    );
    const described = [...Object.values(functionsByVersion), ...Object.values(functionsByRevision)].flat();
    // A function that is new belongs to the revision that the script brings.
    expect(sorted(made)).toEqual(sorted(described));
    expect(Math.max(...Object.keys(functionsByRevision).map(Number))).toBe(builtParts().revision);

    const ofQueue = await column<string>(
      db,
      `select substring(p.proname from '^([a-z]+):weeks$') as value from pg_proc p
        where p.pronamespace = 'absurd'::regnamespace and p.proname ~ ':weeks$'`,
    );
    expect(sorted(ofQueue)).toEqual(sorted(queueFunctionKinds));
  });

  test('states and the channel', async ({ db }) => {
    await withQueues(db);
    const checks = await column<string>(
      db,
      `select pg_get_constraintdef(n.oid) as value from pg_constraint n
        where n.contype = 'c' and n.conrelid in ('absurd.t_plain'::regclass, 'absurd.r_plain'::regclass)`,
    );

    expect(checks).toHaveLength(2);
    for (const check of checks)
      expect([...check.matchAll(/'(\w+)'/g)].map(([, state]) => state)).toEqual([...taskStates]);
    expect([...unfinishedStates, ...finishedStates]).toEqual(taskStates);
    expect(await column(db, `select pg_get_functiondef('absurd._notify_wakeup'::regproc) as value`)).toEqual([
      expect.stringContaining(`'${wakeupChannel}'`),
    ]);
  });
});
