-- =================================================================================================
-- ABSURD: durable execution on nothing but Postgres
--
-- One script that installs the schema "absurd" into an empty database and upgrades any released
-- schema since 0.0.8 in place. It can run again at any time, in a transaction or not, as one
-- multi-statement query or through psql. It needs PostgreSQL 14 or later, no extension and no
-- superuser: a role that may create a schema (or owns this one) is enough. It prints nothing,
-- leaves no setting behind. If there is nothing to do, it takes no lock that a worker would notice.
--
-- WORDS
--   queue       a namespace with its own tables: t_<queue>, r_, c_, e_, w_ and, partitioned, i_
--   task        one durable workflow instance                                             (t_)
--   run         one attempt at a task                                                     (r_)
--   checkpoint  the saved JSON result of one step of a task                               (c_)
--   event       a named, cached JSON signal within a queue; the first emission wins       (e_)
--   wait        a run's registration for an event                                         (w_)
--   lease       a worker's right to a run until claim_expires_at; also called a claim
--
-- CONTENTS
--    1  Schema and registry     the guard, the schema, the table of queues
--    2  Time and ids            the clock that tests can freeze, UUIDv7, weeks
--    3  Guards                  what names, settings and runs must satisfy
--    4  Queues                  their tables as data, made and upgraded from one list
--    5  Queue functions         why spawn, claim, complete and save are made per queue
--    6  Spawn                   tasks and their first runs
--    7  Claim                   sweeps first, then work for a worker
--    8  Finish                  complete, sleep, fail, retry, cancel
--    9  Lease                   workers extend their claims
--   10  Checkpoints             the results of steps
--   11  Events                  await and emit
--   12  Cleanup                 finished tasks and old events are deleted
--   13  Partitions              weeks of a partitioned queue
--   14  Cron                    the same chores on pg_cron
--   15  Wake-ups                NOTIFY for the workers of a queue that has them on
--   16  Pauses                  queues that hand out no work for a while
--   17  Schedules               tasks spawned at the times of a cron expression or an interval
--   18  Families                parents and children, and runs that wait for tasks
--   19  Workers and operations  a list of workers, and a log of operators' commands
--   20  Version                 the contract's and our own; existing queues brought up to date
--
-- STATES of tasks and runs
--
--      spawn_task ---> pending <------ timeout, emit_event ------ sleeping
--                         |                                          ^
--                         | claim_task         schedule_run,         |
--                         v                    await_event           |
--                      running --------------------------------------+
--                       |   |
--       complete_run    |   |   fail_run, or an expired lease
--                       v   v
--              completed     failed (the run)
--                                 |--- attempts left: a next run, pending or sleeping
--                                 |--- none left: failed (the task); retry_task gives another
--
--      wake_task ends a sleep: the run can be claimed now.
--      Any unfinished task --- cancel_task, max_delay, max_duration ---> cancelled
--      completed, failed and cancelled are terminal; only retry_task leaves one of them (failed).
--
-- LOCK ORDER
--   The event, then runs in the order of their ids, then tasks in the order of their ids. A call
--   that finishes a run locks the run, then its task; cancel_task locks the unfinished runs of the
--   task, then the task; await_event and emit_event lock the event, then runs, then tasks. A claim
--   and its sweeps never wait for a row: they skip locked ones.
--
-- VOLATILITY
--   A function of the contract has the contract's. Of the others, one that reads and is volatile
--   needs a snapshot of its own: its caller has waited for a lock, or has changed what it reads.
--
-- SQLSTATES
--   AB001  the task has been cancelled            (a worker stops quietly)
--   AB002  the run has already failed             (a worker stops quietly)
--   AB003  the retry_strategy cannot be used      (refused at spawn; a stored one ends its task)
--   22023  invalid_parameter_value                a bad argument
--   P0002  no_data_found                          no such queue, task or run
--   55000  object_not_in_prerequisite_state       it exists, but in the wrong state
--   55P03  lock_not_available                     a table stayed busy during an upgrade
--   42P07  duplicate_table                        a queue's name collides with another's tables
--   40001  serialization_failure                  a race was lost: try again
--   0A000  feature_not_supported                  pg_cron, or the server's version, is missing
-- =================================================================================================


-- =================================================================================================
-- 1. SCHEMA AND REGISTRY
-- First the guard: an older script must not replace the functions of a newer one. Then the schema
-- and absurd.queues, the only table that all queues share. Every step looks in the catalogs before
-- it alters anything, because even a no-op "add column if not exists" locks the table.
-- =================================================================================================

-- [part registry chapter]
do $install$
declare
  v_script_revision constant integer := 2;
  v_revision integer;
  v_function text;
begin
  -- Two installs at once would collide on the same catalog rows: the second waits for the first.
  perform pg_advisory_xact_lock(hashtextextended('absurd.install', 0));

  if current_setting('server_version_num')::integer < 140000 then
    raise exception 'Absurd needs PostgreSQL 14 or later, this server is %',
        current_setting('server_version') using errcode = 'feature_not_supported';
  end if;

  if to_regnamespace('absurd') is null then
    create schema absurd;
  end if;

  if to_regprocedure('absurd.get_schema_revision()') is not null then
    execute 'select absurd.get_schema_revision()' into v_revision;
    if v_revision > v_script_revision then
      raise exception 'The schema has revision %, this script brings only revision %',
          v_revision, v_script_revision
        using
          errcode = 'object_not_in_prerequisite_state',
          hint = 'Use the newer release that installed it: a schema is never downgraded.';
    end if;
  end if;

  -- The results of a private function may change with a revision, and "create or replace" refuses
  -- that. Functions that a trigger or an index needs stay, and keep their parameters and results.
  if v_revision < v_script_revision then
    for v_function in
      select p.oid::regprocedure::text
      from pg_catalog.pg_proc as p
      where p.pronamespace = to_regnamespace('absurd')
        and starts_with(p.proname, '_')
        and not exists (
          select 1
          from pg_catalog.pg_depend as d
          where d.refclassid = 'pg_catalog.pg_proc'::regclass
            and d.refobjid = p.oid
            and d.deptype = 'n'
        )
    loop
      execute format('drop function %1$s', v_function);
    end loop;
  end if;
end;
$install$;

create or replace function absurd.current_time ()
  returns timestamptz language sql volatile as $$
-- The engine's clock: the setting absurd.fake_now if it is set and not blank (tests and operators
-- freeze time with it), else the time of day.
--   Returns  now.
--   Raises   22007 if the setting is not a time.
  select
    case
      when btrim(current_setting('absurd.fake_now', true), E' \t\r\n') <> ''
        then current_setting('absurd.fake_now', true)::timestamptz
      else clock_timestamp()
    end
$$;

-- [part registry]
do $install$
declare
  v_column record;
begin
  if to_regclass('absurd.queues') is null then
    create table absurd.queues (
      queue_name text primary key,
      created_at timestamptz not null default absurd.current_time()
    );
  end if;

  for v_column in
    select wanted.name, wanted.definition
    from (
      values
        (1, 'storage_mode', $def$text not null default 'unpartitioned'
          check (storage_mode in ('unpartitioned', 'partitioned'))$def$),
        (2, 'default_partition', $def$text not null default 'enabled'
          check (default_partition in ('enabled', 'disabled'))$def$),
        (3, 'partition_lookahead', $def$interval not null default '28 days'
          check (partition_lookahead >= interval '0')$def$),
        (4, 'partition_lookback', $def$interval not null default '1 day'
          check (partition_lookback >= interval '0')$def$),
        (5, 'cleanup_ttl', $def$interval not null default '30 days'
          check (cleanup_ttl >= interval '0')$def$),
        (6, 'cleanup_limit', $def$integer not null default 1000
          check (cleanup_limit >= 1)$def$),
        (7, 'detach_mode', $def$text not null default 'none'
          check (detach_mode in ('none', 'empty'))$def$),
        (8, 'detach_min_age', $def$interval not null default '30 days'
          check (detach_min_age >= interval '0')$def$)
    ) as wanted (position, name, definition)
    where not exists (
      select 1
      from pg_catalog.pg_attribute as a
      where a.attrelid = to_regclass('absurd.queues')
        and a.attname = wanted.name
        and not a.attisdropped
    )
    order by wanted.position
  loop
    execute format(
      'alter table absurd.queues add column %1$I %2$s', v_column.name, v_column.definition
    );
  end loop;
end;
$install$;
-- [end registry]
-- [end registry chapter]


-- =================================================================================================
-- 2. TIME AND IDS
-- absurd.current_time() is in chapter 1, because the registry's defaults need it. Ids are UUIDv7,
-- so that they sort by the time they were made and a week of them is one range, which is a
-- partition of chapter 13. All weeks are ISO weeks in UTC.
-- =================================================================================================

do $install$
declare
  v_native boolean := to_regprocedure('pg_catalog.uuidv7()') is not null;
begin
  execute format(
    'create or replace function absurd.portable_uuidv7 () returns uuid language %1$s as %2$L',
    case when v_native then 'sql' else 'plpgsql' end,
    $doc$
-- A new UUIDv7: the server's own where it has one (PostgreSQL 18), else 48 bits of milliseconds
-- from absurd.current_time() and random bits. The installation decides which of the two.
$doc$ || case when v_native then 'select pg_catalog.uuidv7()' else $body$
declare
  v_millis bigint := floor(extract(epoch from absurd.current_time()) * 1000);
  v_bytes bytea := uuid_send(gen_random_uuid());
begin
  v_bytes := overlay(v_bytes placing substring(int8send(v_millis) from 3) from 1 for 6);
  v_bytes := set_byte(v_bytes, 6, (get_byte(v_bytes, 6) & 15) | 112);
  return encode(v_bytes, 'hex')::uuid;
end;
$body$ end
  );
end;
$install$;

create or replace function absurd.uuidv7_timestamp (p_id uuid)
  returns timestamptz language plpgsql immutable as $$
-- The moment inside a UUIDv7, to the millisecond.
--   Returns  null if the id is not of version 7.
declare
  v_hex text := replace(p_id::text, '-', '');
  v_millis bigint;
begin
  if p_id is null or substr(v_hex, 13, 1) <> '7' then
    return null;
  end if;

  v_millis := ('x' || substr(v_hex, 1, 12))::bit(48)::bigint;
  -- Hours, not days: a day is not always 24 hours in the session's time zone.
  return timestamptz 'epoch' + make_interval(
    hours => (v_millis / 3600000)::integer, secs => (v_millis % 3600000) / 1000.0
  );
end;
$$;

create or replace function absurd.uuidv7_floor (p_ts timestamptz)
  returns uuid language plpgsql immutable as $$
-- The lowest UUIDv7 of a moment's millisecond: the bound between two partitions.
--   Raises   22023 outside 0 .. 2^48 - 1 milliseconds since 1970.
declare
  v_millis numeric := floor(extract(epoch from p_ts) * 1000);
begin
  if p_ts is null then
    return null;
  end if;

  if v_millis not between 0 and 281474976710655 then
    raise exception 'Timestamp % is outside the range of a UUIDv7', p_ts
      using errcode = 'invalid_parameter_value';
  end if;

  return (substr(encode(int8send(v_millis::bigint), 'hex'), 5, 12) || '70008000000000000000')::uuid;
end;
$$;

create or replace function absurd.week_bucket_utc (p_ts timestamptz)
  returns timestamptz language sql immutable as $$
-- The Monday 00:00 UTC at or before a moment: the start of its ISO week.
  select date_trunc('week', p_ts at time zone 'UTC') at time zone 'UTC'
$$;

create or replace function absurd.partition_week_tag (p_ts timestamptz)
  returns text language sql immutable as $$
-- The tag of a moment's ISO week in partition names: the last digit of the ISO year and the week,
-- so that 2024-01-01 gives 401. Tags repeat every ten years.
  select
    right(to_char(p_ts at time zone 'UTC', 'IYYY'), 1)
    || to_char(p_ts at time zone 'UTC', 'IW')
$$;


-- =================================================================================================
-- 3. GUARDS
-- Rules that many functions share, each in one place. Queue names are any text of 1 to 57 bytes and
-- are used raw inside quoted identifiers. Settings in JSON are read defensively: those of one task
-- must never make the claim of another task raise an error.
-- =================================================================================================

create or replace function absurd.validate_queue_name (p_queue_name text)
  returns text language plpgsql volatile as $$
-- Checks a queue name. Nothing is trimmed, and white space is a legal name.
--   Returns  the name.
--   Raises   22023 when it is null, empty, or longer than 57 bytes.
begin
  if p_queue_name is null or p_queue_name = '' then
    raise exception 'Queue name must be provided' using errcode = 'invalid_parameter_value';
  end if;

  if octet_length(convert_to(p_queue_name, 'UTF8')) > 57 then
    raise exception 'Queue name "%" is too long (% bytes)',
        p_queue_name, octet_length(convert_to(p_queue_name, 'UTF8'))
      using
        errcode = 'invalid_parameter_value',
        hint = 'A queue name has at most 57 bytes of UTF-8.';
  end if;

  return p_queue_name;
end;
$$;

create or replace function absurd._require_queue (p_queue_name text)
  returns absurd.queues language plpgsql volatile as $$
-- Checks that a queue exists. This also keeps the server from cutting a name that is too long to
-- that of another queue's tables.
--   Returns  its row of the registry.
--   Raises   22023 for an illegal name, P0002 for an unknown queue.
declare
  v_queue absurd.queues;
begin
  select q.*
  into v_queue
  from absurd.queues as q
  where q.queue_name = p_queue_name;

  if not found then
    perform absurd.validate_queue_name(p_queue_name);
    raise exception 'Queue "%" does not exist', p_queue_name
      using
        errcode = 'no_data_found',
        hint = format('Create it with: select absurd.create_queue(%L)', p_queue_name);
  end if;

  return v_queue;
end;
$$;

create or replace function absurd._require_text (p_value text, p_what text)
  returns void language plpgsql immutable as $$
-- Checks that a text argument is neither null nor blank.
--   Raises   22023 when it is null or blank.
begin
  if p_value is null or btrim(p_value, E' \t\r\n') = '' then
    raise exception '% must be provided', p_what using errcode = 'invalid_parameter_value';
  end if;
end;
$$;

create or replace function absurd._require_object (p_value jsonb, p_what text)
  returns jsonb language plpgsql immutable as $$
-- Checks that a JSON argument is an object.
--   Returns  it; null and JSON null become {}.
--   Raises   22023 for anything else.
begin
  if p_value is null or p_value = 'null' then
    return '{}';
  end if;

  if jsonb_typeof(p_value) <> 'object' then
    raise exception '% must be a JSON object, not %', p_what, jsonb_typeof(p_value)
      using errcode = 'invalid_parameter_value';
  end if;

  return p_value;
end;
$$;

-- [part trigger functions]
create or replace function absurd._read_seconds (p_value jsonb)
  returns double precision language sql immutable as $$
-- Reads a JSON number of seconds, whatever was stored. JSON has numbers that are too small for a
-- double precision, and the cast would refuse them: they count as 0.
--   Returns  seconds, at most a hundred years; null unless it is a number >= 0.
  select
    case
      when jsonb_typeof(p_value) = 'number' and p_value::numeric >= 0 then
        case
          when p_value::numeric < 1e-50 then 0
          else least(p_value::numeric, 3155760000)::double precision
        end
    end
$$;

create or replace function absurd._cancel_due (
  p_cancellation jsonb, p_enqueue_at timestamptz, p_first_started_at timestamptz, p_state text
)
  returns timestamptz language sql immutable as $$
-- When a task's own cancellation settings end it: max_delay counts from enqueue_at until the task
-- first starts, max_duration from its first start.
--   Returns  the time; null if never, or if the settings cannot be read.
  select
    case
      when p_state in ('completed', 'failed', 'cancelled') then null
      when jsonb_typeof(p_cancellation) <> 'object' then null
      when p_first_started_at is null then
        p_enqueue_at + make_interval(secs => absurd._read_seconds(p_cancellation -> 'max_delay'))
      else
        p_first_started_at
        + make_interval(secs => absurd._read_seconds(p_cancellation -> 'max_duration'))
    end
$$;
-- [end trigger functions]

create or replace function absurd._read_strategy_number (p_value jsonb, p_default double precision)
  returns double precision language plpgsql immutable as $$
-- Reads a number of a retry strategy, which may be a JSON number or the text of one.
--   Returns  it, or p_default when it is absent or JSON null. A number too small for a double
--            precision is 0, one too large is infinite.
--   Raises   class 22 when it is not a number.
declare
  v_text text := p_value #>> '{}';
begin
  return coalesce(v_text::double precision, p_default);
exception
  when numeric_value_out_of_range then
    return case when abs(v_text::numeric) < 1 then 0 else double precision 'infinity' end;
end;
$$;

create or replace function absurd.retry_delay_seconds (p_strategy jsonb, p_attempt integer)
  returns double precision language plpgsql immutable as $$
-- How many seconds a failed attempt waits for the next one, by the task's retry strategy:
-- none, fixed {base_seconds 60}, exponential {base_seconds 30, factor 2, max_seconds 86400}.
--   p_strategy  null: no delay
--   p_attempt   the attempt that failed, from 1; null and less are 1
--   Returns     the delay, 0 to 86400.
--   Raises      AB003 when the strategy cannot be used.
declare
  v_kind text := coalesce(p_strategy ->> 'kind', 'none');
  v_base double precision;
  v_factor double precision;
  v_max double precision;
begin
  if p_strategy is null then
    return 0;
  elsif jsonb_typeof(p_strategy) <> 'object' then
    raise exception 'retry_strategy must be a JSON object' using errcode = 'AB003';
  elsif v_kind not in ('none', 'fixed', 'exponential') then
    raise exception 'Unsupported retry strategy kind "%"', v_kind using errcode = 'AB003';
  elsif v_kind = 'none' then
    return 0;
  end if;

  v_base := absurd._read_strategy_number(
    p_strategy -> 'base_seconds', case v_kind when 'fixed' then 60 else 30 end
  );
  -- NaN is greater than any other number, here and below.
  if v_base not between 0 and 86400 then
    raise exception 'retry_strategy.base_seconds must be between 0 and 86400'
      using errcode = 'AB003';
  elsif v_kind = 'fixed' then
    return v_base;
  end if;

  v_factor := absurd._read_strategy_number(p_strategy -> 'factor', 2);
  if v_factor < 0 or v_factor >= 'infinity' then
    raise exception 'retry_strategy.factor must be a finite non-negative number'
      using errcode = 'AB003';
  end if;

  v_max := absurd._read_strategy_number(p_strategy -> 'max_seconds', 86400);
  if v_max not between 0 and 86400 then
    raise exception 'retry_strategy.max_seconds must be between 0 and 86400'
      using errcode = 'AB003';
  end if;

  return absurd._exponential_delay(v_base, v_factor, v_max, greatest(coalesce(p_attempt, 1), 1));
exception
  when data_exception then
    raise exception 'retry_strategy contains an invalid number' using errcode = 'AB003';
end;
$$;

create or replace function absurd._exponential_delay (
  p_base double precision, p_factor double precision, p_max double precision, p_attempt integer
)
  returns double precision language plpgsql immutable as $$
-- The least of base * factor ^ (attempt - 1) and max.
--   Returns  p_max if the power overflows, 0 if it underflows.
begin
  if p_base = 0 then
    return 0;
  end if;
  return least(p_base * power(p_factor, p_attempt - 1), p_max);
exception
  when numeric_value_out_of_range then
    return case when p_factor < 1 then 0 else p_max end;
end;
$$;

create or replace function absurd._next_attempt_at (
  p_strategy jsonb, p_attempt integer, p_now timestamptz
)
  returns timestamptz language plpgsql immutable as $$
-- The time of a task's next attempt by its stored retry strategy. Older clients could store one
-- that cannot be used: it fails its own task, and must not break the claim of another.
--   Returns  the time; null if the strategy cannot be used.
begin
  return p_now + make_interval(secs => absurd.retry_delay_seconds(p_strategy, p_attempt));
exception
  when sqlstate 'AB003' then
    return null;
end;
$$;

create or replace function absurd._lock_run (
  p_queue_name text, p_run_id uuid, p_allowed text[], p_scope text default 'run',
  p_task_id uuid default null, out task_id uuid, out attempt integer, out run_state text,
  out task_state text, out wake_event text, out event_payload jsonb, out available_at timestamptz
)
  language plpgsql volatile as $$
-- Locks a run, or raises the error that its worker must get.
--   p_allowed  the states of the run that the caller can use; null for all, also of cancelled tasks
--   p_scope    run: the run's state decides; task: a cancelled task refuses its runs, too;
--              step: like task, and the run must be one of p_task_id
--   Returns    what callers decide by.
--   Raises     P0002 unknown queue or run, 22023 a run of another task, AB001 cancelled, AB002
--              failed, 55000 any other state that p_allowed does not name.
--   Locks      the run.
declare
  v_rows bigint;
  v_code text;
  v_message text;
begin
  perform absurd._require_queue(p_queue_name);

  execute format($sql$
    select r.task_id, r.attempt, r.state, r.wake_event, r.event_payload, r.available_at
    from absurd.%1$I as r
    where r.run_id = $1
    for update
  $sql$, 'r_' || p_queue_name)
  into task_id, attempt, run_state, wake_event, event_payload, available_at using p_run_id;
  get diagnostics v_rows = row_count;

  if v_rows = 0 then
    raise exception 'Run "%" not found in queue "%"', p_run_id, p_queue_name
      using errcode = 'no_data_found';
  elsif p_scope = 'step' and task_id is distinct from p_task_id then
    raise exception 'Run "%" does not belong to task "%"', p_run_id, p_task_id
      using errcode = 'invalid_parameter_value';
  end if;

  -- A statement of its own, after the lock: a session that cancels the task holds the run, so this
  -- one sees what that session did.
  execute format('select t.state from absurd.%1$I as t where t.task_id = $1', 't_' || p_queue_name)
  into task_state using task_id;

  if p_scope <> 'run' and task_state = 'cancelled' and p_allowed is not null then
    select * into v_code, v_message from absurd._refusal(p_run_id, 'cancelled');
  elsif run_state <> all (p_allowed) then
    select * into v_code, v_message from absurd._refusal(p_run_id, run_state);
  end if;
  if v_code is not null then
    raise exception '%', v_message using errcode = v_code;
  end if;
end;
$$;


-- =================================================================================================
-- 4. QUEUES
-- A queue is a row of the registry and its tables. _queue_parts lists every table, index, column
-- and trigger that a queue has to have, as data; creating a queue and upgrading one are the same
-- loop over that list. Parts that exist are not touched, and their tables are not locked. Additions
-- to the contract: t_<queue>.cancel_due, and indexes that keep the cost of claims and cleanup
-- independent of the size of the queue. Our functions compute cancel_due themselves, so that it is
-- right where ordinary triggers do not fire (session_replication_role); two triggers compute it for
-- rows that other clients write. A generated column would need no triggers, but to add one rewrites
-- the whole table under an exclusive lock; to add a plain column takes a moment. And a change of
-- _cancel_due would rewrite all tables again.
-- =================================================================================================

create or replace function absurd._lock_queue_shape (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Keeps other sessions from making or dropping the same queue until the end of the transaction: two
-- that change a function of it at once would collide on its catalog row. An install holds the first
-- of the two locks alone, because it makes the functions of all queues.
--   Locks    no table: only sessions that make or drop a queue, or install, wait.
begin
  perform pg_advisory_xact_lock_shared(hashtextextended('absurd.install', 0));
  perform pg_advisory_xact_lock(hashtextextended('absurd.functions:' || p_queue_name, 0));
end;
$$;

create or replace function absurd._lock_tables (p_tables text[], p_mode text)
  returns void language plpgsql volatile as $$
-- Locks several tables at once, or none. Workers take their tables in various orders, so waiting
-- for one while holding another could deadlock with them; this tries again instead.
--   p_tables  quoted names with their schema
--   p_mode    a lock mode, such as 'access exclusive'
--   Raises    55P03 when they stay busy for lock_timeout (10 s if that is not set).
--   Locks     the tables, to the end of the transaction.
declare
  v_patience interval := nullif(current_setting('lock_timeout')::interval, interval '0');
  v_deadline timestamptz := clock_timestamp() + coalesce(v_patience, interval '10 seconds');
begin
  if coalesce(cardinality(p_tables), 0) = 0 then
    return;
  end if;

  loop
    begin
      execute format(
        'lock table %1$s in %2$s mode nowait', array_to_string(p_tables, ', '), p_mode
      );
      return;
    exception
      when lock_not_available then
        if clock_timestamp() > v_deadline then
          raise exception 'Could not lock % in time', array_to_string(p_tables, ', ')
            using
              errcode = 'lock_not_available',
              hint = 'A long transaction holds them: find it in pg_stat_activity, or try later.';
        end if;
    end;
    perform pg_sleep(0.005 + random() * 0.015);
  end loop;
end;
$$;

-- [part trigger functions]
create or replace function absurd._set_cancel_due ()
  returns trigger language plpgsql volatile as $$
-- Keeps t_<queue>.cancel_due for a task that is inserted with cancellation settings.
begin
  new.cancel_due := absurd._cancel_due(
    new.cancellation, new.enqueue_at, new.first_started_at, new.state
  );
  return new;
end;
$$;

create or replace function absurd._repair_cancel_due ()
  returns trigger language plpgsql volatile as $$
-- Corrects t_<queue>.cancel_due after an update. An after-trigger, because a before-trigger would
-- lock and log every row that is updated, also the many without cancellation settings. A partition
-- is written through its table, on which the roles that work on the queue have their rights.
begin
  execute format(
    'update %1$s set cancel_due = $1 where task_id = $2',
    coalesce(pg_partition_root(tg_relid), tg_relid)::regclass
  )
  using
    absurd._cancel_due(new.cancellation, new.enqueue_at, new.first_started_at, new.state),
    new.task_id;
  return null;
end;
$$;
-- [end trigger functions]

create or replace function absurd._queue_parts (p_queue_name text, p_storage_mode text)
  returns table (
    ordinal integer, kind text, part_name text, table_name text, statement text
  ) language plpgsql stable as $$
-- Everything that a queue consists of, in the order in which it is made.
--   Returns  a row a part: its kind (table, column, index, trigger), its own name, the table it
--            belongs to, and the statement that makes it.
declare
  v_partitioned boolean := p_storage_mode = 'partitioned';
begin
  return query
  select
    part.ordinal,
    part.kind,
    case
      when part.kind = 'index' then part.table_letter || '_' || p_queue_name || '_' || part.label
      else coalesce(part.label, part.table_letter || '_' || p_queue_name)
    end,
    part.table_letter || '_' || p_queue_name,
    format(
      case part.kind
        when 'index' then 'create index %2$I on absurd.%1$I '
        when 'column' then 'alter table absurd.%1$I add column ' || part.label || ' '
        else ''
      end || part.template,
      part.table_letter || '_' || p_queue_name,
      part.table_letter || '_' || p_queue_name || '_' || part.label,
      case
        when not v_partitioned then 'with (fillfactor = 70)'
        when part.table_letter in ('t', 'c') then 'partition by range (task_id)'
        else 'partition by range (run_id)'
      end,
      case when not v_partitioned then ' unique' end,
      case when v_partitioned then 'partition by range (run_id)' end
    )
  from (
    values
      -- [part queue parts]
      (10, 'table', 't', null, $ddl$
        create table absurd.%1$I (
          task_id uuid primary key,
          task_name text not null,
          params jsonb not null,
          headers jsonb,
          retry_strategy jsonb,
          max_attempts integer,
          cancellation jsonb,
          enqueue_at timestamptz not null default absurd.current_time(),
          first_started_at timestamptz,
          state text not null check (
            state in ('pending', 'running', 'sleeping', 'completed', 'failed', 'cancelled')
          ),
          attempts integer not null default 0,
          last_attempt_run uuid,
          completed_payload jsonb,
          cancelled_at timestamptz,
          idempotency_key text%4$s
        ) %3$s
      $ddl$),
      (11, 'column', 't', 'cancel_due', 'timestamptz'),
      -- Every claim looks for due tasks, and most tasks are never due.
      (12, 'index', 't', 'due', '(cancel_due) where cancel_due is not null'),
      -- Cleanup takes the oldest first: cancelled tasks by this one, the others by r_<queue>_end.
      (13, 'index', 't', 'can', '(cancelled_at) where cancelled_at is not null'),
      (14, 'trigger', 't', 'set_cancel_due', $ddl$
        create trigger set_cancel_due
          before insert on absurd.%1$I
          for each row
          when (new.cancellation is not null)
          execute function absurd._set_cancel_due()
      $ddl$),
      (15, 'trigger', 't', 'repair_cancel_due', $ddl$
        create trigger repair_cancel_due
          after update of cancellation, enqueue_at, first_started_at, state on absurd.%1$I
          for each row
          when (
            (new.cancellation is not null or new.cancel_due is not null)
            and new.cancel_due is distinct from absurd._cancel_due(
              new.cancellation, new.enqueue_at, new.first_started_at, new.state
            )
          )
          execute function absurd._repair_cancel_due()
      $ddl$),
      (16, 'column', 't', 'parent_task_id', 'uuid'),
      (17, 'column', 't', 'parent_queue', 'text'),
      (18, 'column', 't', 'awaited', 'boolean'),
      (19, 'index', 't', 'par', '(parent_task_id) where parent_task_id is not null'),
      (20, 'trigger', 't', 'note_task_end', $ddl$
        create trigger note_task_end
          after update of state on absurd.%1$I
          for each row
          when (
            new.awaited
            and new.state in ('completed', 'failed', 'cancelled')
            and old.state is distinct from new.state
          )
          execute function absurd._note_task_end()
      $ddl$),
      (21, 'table', 'r', null, $ddl$
        create table absurd.%1$I (
          run_id uuid primary key,
          task_id uuid not null,
          attempt integer not null,
          state text not null check (
            state in ('pending', 'running', 'sleeping', 'completed', 'failed', 'cancelled')
          ),
          claimed_by text,
          claim_expires_at timestamptz,
          available_at timestamptz not null,
          wake_event text,
          event_payload jsonb,
          started_at timestamptz,
          completed_at timestamptz,
          failed_at timestamptz,
          result jsonb,
          failure_reason jsonb,
          created_at timestamptz not null default absurd.current_time()
        ) %3$s
      $ddl$),
      (22, 'index', 'r', 'sai', '(state, available_at)'),
      (23, 'index', 'r', 'ti', '(task_id)'),
      (24, 'index', 'r', 'cei', $ddl$(claim_expires_at)
        where state = 'running' and claim_expires_at is not null$ddl$),
      -- For the claim: exactly the waiting runs, in exactly the order of the claim.
      (25, 'index', 'r', 'rdy', $ddl$(available_at, run_id)
        where state in ('pending', 'sleeping')$ddl$),
      (26, 'index', 'r', 'end', $ddl$((coalesce(completed_at, failed_at)))
        where state in ('completed', 'failed')$ddl$),
      (30, 'table', 'c', null, $ddl$
        create table absurd.%1$I (
          task_id uuid not null,
          checkpoint_name text not null,
          state jsonb,
          status text not null default 'committed',
          owner_run_id uuid,
          updated_at timestamptz not null default absurd.current_time(),
          primary key (task_id, checkpoint_name)
        ) %3$s
      $ddl$),
      (31, 'column', 'c', 'started_at', 'timestamptz'),
      (40, 'table', 'e', null, $ddl$
        create table absurd.%1$I (
          event_name text primary key,
          payload jsonb,
          emitted_at timestamptz not null default absurd.current_time()
        )
      $ddl$),
      (41, 'index', 'e', 'eai', '(emitted_at)'),
      (50, 'table', 'w', null, $ddl$
        create table absurd.%1$I (
          task_id uuid not null,
          run_id uuid not null,
          step_name text not null,
          event_name text not null,
          timeout_at timestamptz,
          created_at timestamptz not null default absurd.current_time(),
          primary key (run_id, step_name)
        ) %5$s
      $ddl$),
      (51, 'index', 'w', 'eni', '(event_name)'),
      (52, 'index', 'w', 'ti', '(task_id)'),
      (60, 'table', 'i', null, $ddl$
        create table absurd.%1$I (
          idempotency_key text primary key,
          task_id uuid not null
        )
      $ddl$),
      (61, 'index', 'i', 'ti', '(task_id)')
      -- [end queue parts]
  ) as part (ordinal, kind, table_letter, label, template)
  where part.table_letter <> 'i' or v_partitioned
  order by part.ordinal;
end;
$$;

create or replace function absurd._has_queue_part (p_kind text, p_part_name text, p_table_name text)
  returns boolean language plpgsql volatile as $$
-- Whether a part of a queue exists, by the catalogs alone. Volatile: a caller that creates parts
-- must see them.
--   Returns  true when it is; false when it has to be made (an invalid index counts as missing).
--   Raises   42P07 when its name is taken by something else: the tables of one queue can have the
--            names of another's partitions or indexes ("a" partitioned has a table t_a_d).
declare
  v_table oid := to_regclass(format('absurd.%I', p_table_name));
  v_part oid := to_regclass(format('absurd.%I', p_part_name));
  v_fits boolean;
begin
  if p_kind = 'column' then
    return exists (
      select 1
      from pg_catalog.pg_attribute as a
      where a.attrelid = v_table and a.attname = p_part_name and not a.attisdropped
    );
  elsif p_kind = 'trigger' then
    return exists (
      select 1
      from pg_catalog.pg_trigger as g
      where g.tgrelid = v_table and g.tgname = p_part_name
    );
  end if;

  if v_part is null then
    return false;
  end if;

  if p_kind = 'table' then
    select c.relkind in ('r', 'p') and not c.relispartition
    into v_fits
    from pg_catalog.pg_class as c
    where c.oid = v_part;
  else
    select i.indrelid = v_table
    into v_fits
    from pg_catalog.pg_index as i
    where i.indexrelid = v_part;
  end if;

  if v_fits is distinct from true then
    raise exception 'The name absurd.% is taken by something that is not part of this queue',
        quote_ident(p_part_name)
      using
        errcode = 'duplicate_table',
        hint = 'Another queue''s partitions or indexes have it: choose another queue name.';
  end if;

  return p_kind = 'table' or (
    select i.indisvalid
    from pg_catalog.pg_index as i
    where i.indexrelid = v_part
  );
end;
$$;

create or replace function absurd.ensure_queue_tables (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Creates the parts that a queue lacks: all parts of a new queue, later additions of an old one.
--   Raises   42P07 for a name that is taken, 55P03 when the tables stay busy.
--   Locks    nothing when nothing is missing; else the tables that lack something, all at once.
declare
  v_storage_mode text;
  v_old_tables text[];
  v_backfill boolean := false;
  v_part record;
begin
  perform absurd.validate_queue_name(p_queue_name);
  perform absurd._lock_queue_shape(p_queue_name);
  v_storage_mode := coalesce(
    (select q.storage_mode from absurd.queues as q where q.queue_name = p_queue_name),
    'unpartitioned'
  );

  select array_agg(distinct format('absurd.%I', missing.table_name))
  into v_old_tables
  from absurd._queue_parts(p_queue_name, v_storage_mode) as missing
  where not absurd._has_queue_part(missing.kind, missing.part_name, missing.table_name)
    and to_regclass(format('absurd.%I', missing.table_name)) is not null;
  perform absurd._lock_tables(v_old_tables, 'access exclusive');

  for v_part in
    select part.kind, part.part_name, part.statement
    from absurd._queue_parts(p_queue_name, v_storage_mode) as part
    where not absurd._has_queue_part(part.kind, part.part_name, part.table_name)
    order by part.ordinal
  loop
    if v_part.kind = 'index' and to_regclass(format('absurd.%I', v_part.part_name)) is not null then
      execute format('drop index absurd.%1$I', v_part.part_name);
    end if;
    execute v_part.statement;
    -- The index, too: migrate builds it when everything else exists.
    v_backfill := v_backfill
      or v_part.part_name in ('repair_cancel_due', 't_' || p_queue_name || '_due');
  end loop;

  if v_backfill and format('absurd.%I', 't_' || p_queue_name) = any (v_old_tables) then
    perform absurd._backfill_cancel_due(p_queue_name);
  end if;

  -- Functions that exist stay as they are: if they were made again, every session would have to
  -- plan them again.
  if absurd._lacks_queue_function(p_queue_name) then
    perform absurd._make_queue_functions(p_queue_name, v_storage_mode);
  end if;

  if v_storage_mode = 'partitioned' then
    perform absurd.ensure_partitions(p_queue_name);
  end if;
end;
$$;

create or replace function absurd._backfill_cancel_due (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Computes cancel_due for the tasks of a queue that did not have the column until now.
--   Locks    the tasks with cancellation settings.
begin
  execute format($sql$
    update absurd.%1$I as t
    set cancel_due = absurd._cancel_due(t.cancellation, t.enqueue_at, t.first_started_at, t.state)
    where t.cancellation is not null and t.state in ('pending', 'running', 'sleeping')
  $sql$, 't_' || p_queue_name);
end;
$$;

create or replace function absurd.create_queue (p_queue_name text, p_storage_mode text)
  returns void language plpgsql volatile as $$
-- Creates a queue, or does nothing when it exists in the same mode.
--   p_storage_mode  unpartitioned or partitioned
--   Raises          22023 for an illegal name or mode, 55000 when it exists in the other mode,
--                   42P07 when its tables' names are taken.
declare
  v_storage_mode text;
begin
  perform absurd.validate_queue_name(p_queue_name);
  perform absurd._lock_queue_shape(p_queue_name);

  if p_storage_mode is null or p_storage_mode not in ('unpartitioned', 'partitioned') then
    raise exception 'Storage mode must be unpartitioned or partitioned, not %',
        coalesce(p_storage_mode, 'null') using errcode = 'invalid_parameter_value';
  end if;

  insert into absurd.queues as q (queue_name, storage_mode)
  values (p_queue_name, p_storage_mode)
  on conflict (queue_name) do nothing;

  select q.storage_mode
  into v_storage_mode
  from absurd.queues as q
  where q.queue_name = p_queue_name;

  if v_storage_mode is distinct from p_storage_mode then
    raise exception 'Queue "%" already exists with storage mode %', p_queue_name, v_storage_mode
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = 'The mode is chosen once: drop the queue, or choose another name.';
  end if;

  perform absurd.ensure_queue_tables(p_queue_name);
end;
$$;

create or replace function absurd.create_queue (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Creates an unpartitioned queue: see the other form.
begin
  perform absurd.create_queue(p_queue_name, 'unpartitioned');
end;
$$;

create or replace function absurd.drop_queue (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Drops a queue with all it holds. A queue that does not exist, or has a name that is illegal
-- today, is not an error.
--   Raises   55P03 when its tables stay busy.
--   Locks    out sessions that make or drop the same queue; the queue's tables.
declare
  v_table_names text[];
  v_tables text[];
  v_function text;
begin
  perform absurd._lock_queue_shape(p_queue_name);
  perform absurd._unschedule_queue_jobs(p_queue_name);

  -- Compared with the names in the catalog: a name that is too long is not cut to that of another
  -- queue.
  select
    array_agg(c.relname order by c.relname),
    array_agg(format('absurd.%I', c.relname) order by c.relname)
  into v_table_names, v_tables
  from pg_catalog.pg_class as c
  where c.relnamespace = to_regnamespace('absurd')
    and c.relname = any (
      array(
        select left_part || '_' || p_queue_name
        from unnest(array['t', 'r', 'c', 'e', 'w', 'i']) as left_part
      )
    )
    and c.relkind in ('r', 'p')
    and not c.relispartition;

  perform absurd._lock_tables(v_tables, 'access exclusive');
  if v_tables is not null then
    execute format('drop table %1$s', array_to_string(v_tables, ', '));
  end if;

  for v_function in
    select p.oid::regprocedure::text
    from pg_catalog.pg_proc as p
    where p.pronamespace = to_regnamespace('absurd')
      and p.proname in (
        select made.kind || ':' || p_queue_name from absurd._queue_templates() as made
      )
  loop
    execute format('drop function %1$s', v_function);
  end loop;

  delete from absurd.queue_pauses as p
  where p.queue_name = p_queue_name;
  delete from absurd.workers as w
  where w.queue_name = p_queue_name;
  delete from absurd.queues as q
  where q.queue_name = p_queue_name;
end;
$$;

create or replace function absurd.list_queues ()
  returns table (queue_name text) language plpgsql volatile as $$
-- All queues, ordered by name.
begin
  return query
  select q.queue_name
  from absurd.queues as q
  order by q.queue_name;
end;
$$;

create or replace function absurd.get_queue_policy (p_queue_name text)
  returns table (
    queue_name text, storage_mode text, default_partition text, partition_lookahead interval,
    partition_lookback interval, cleanup_ttl interval, cleanup_limit integer, detach_mode text,
    detach_min_age interval
  ) language plpgsql volatile as $$
-- A queue's policy.
--   Returns  one row; none for an unknown queue.
begin
  return query
  select
    q.queue_name, q.storage_mode, q.default_partition, q.partition_lookahead, q.partition_lookback,
    q.cleanup_ttl, q.cleanup_limit, q.detach_mode, q.detach_min_age
  from absurd.queues as q
  where q.queue_name = p_queue_name;
end;
$$;

create or replace function absurd._require_policy_values (p_policy jsonb)
  returns void language plpgsql immutable as $$
-- Checks that the values of a policy have the right JSON type; the registry's constraints check the
-- values themselves.
--   Raises   22023 for a limit that is no number, or anything else that is no string.
declare
  v_key text;
  v_value jsonb;
begin
  for v_key, v_value in
    select policy.key, policy.value
    from jsonb_each(p_policy) as policy
  loop
    if jsonb_typeof(v_value) = 'string' and v_key <> 'default_partition'
      or jsonb_typeof(v_value) = 'number' and v_key = 'cleanup_limit'
      or v_key = 'default_partition' and v_value in ('"enabled"', '"disabled"')
    then
      continue;
    end if;

    raise exception 'Bad queue policy: % cannot be %', v_key, v_value
      using errcode = 'invalid_parameter_value';
  end loop;
end;
$$;

create or replace function absurd.set_queue_policy (p_queue_name text, p_policy jsonb)
  returns void language plpgsql volatile as $$
-- Changes a queue's policy.
--   p_policy  an object with any of default_partition, partition_lookahead, partition_lookback,
--             cleanup_ttl, cleanup_limit, detach_mode, detach_min_age; null is {}
--   Raises    22023 for an unknown key or a bad value, P0002 for an unknown queue, 55000 for a
--             default partition that holds rows or a queue that has none.
--   Locks     the queue's row; the default partitions if they are dropped.
declare
  v_policy jsonb := absurd._require_object(p_policy, 'Policy');
  v_queue absurd.queues := absurd._require_queue(p_queue_name);
  v_key text;
begin
  for v_key in
    select k.name
    from jsonb_object_keys(v_policy) as k (name)
    where k.name not in (
      'default_partition',
      'partition_lookahead',
      'partition_lookback',
      'cleanup_ttl',
      'cleanup_limit',
      'detach_mode',
      'detach_min_age'
    )
  loop
    raise exception 'Unknown queue policy "%"', v_key using errcode = 'invalid_parameter_value';
  end loop;

  perform absurd._require_policy_values(v_policy);
  if v_policy ? 'default_partition' and v_queue.storage_mode <> 'partitioned' then
    raise exception 'Queue "%" is not partitioned and has no default partition', p_queue_name
      using errcode = 'object_not_in_prerequisite_state';
  end if;

  begin
    update absurd.queues as q
    set
      default_partition = changed.default_partition,
      partition_lookahead = changed.partition_lookahead,
      partition_lookback = changed.partition_lookback,
      cleanup_ttl = changed.cleanup_ttl,
      cleanup_limit = changed.cleanup_limit,
      detach_mode = changed.detach_mode,
      detach_min_age = changed.detach_min_age
    from jsonb_populate_record(v_queue, v_policy) as changed
    where q.queue_name = p_queue_name;
  exception
    when check_violation or not_null_violation or data_exception then
      raise exception 'Bad queue policy %: %', v_policy, sqlerrm
        using errcode = 'invalid_parameter_value';
  end;

  -- Weeks that cannot be made are refused here, rather than by every later ensure_partitions.
  if v_policy ?| array['partition_lookahead', 'partition_lookback'] then
    perform 1 from absurd._wanted_partitions(p_queue_name);
  end if;

  if v_policy ->> 'default_partition' = 'disabled' then
    perform absurd._drop_default_partitions(p_queue_name);
  elsif v_policy ? 'default_partition' then
    perform absurd.ensure_partitions(p_queue_name);
  end if;
end;
$$;


-- =================================================================================================
-- 5. QUEUE FUNCTIONS
-- Every queue has its own tables, and SQL that is built at every call is planned at every call,
-- which is the largest cost of such an engine. So the calls that limit throughput have a function
-- for each queue, with static SQL: "spawn:<queue>", "claim:<queue>" and the others that
-- _queue_templates lists. The public functions only call them. They are made with the queue and
-- again by every installation, dropped with the queue, and made on the spot if one is missing.
--
-- A template is a text for format(), and all use the same numbers: %1$I the function, %2$s its
-- settings, %3$I t_<queue>, %4$I r_, %5$I c_, %6$I e_, %7$I w_, %8$I i_, %9$L the queue's name.
--
-- PostgreSQL cuts names after 63 bytes. A queue name has at most 57, so the kind and its colon have
-- 6: five letters, as in "claim:". A longer kind would give two queues one function.
--
-- A cached plan outlives the moment that it was made for: one made while the queue was empty must
-- not scan a million rows later. So these functions plan once, and only in a way that is right for
-- any size: nested loops over indexes. That is what their SET clauses say; they end with the call.
-- In a table that was empty when it was vacuumed, a look-up by key and a walk through the index
-- cost the same. cpu_tuple_cost makes the walk cost more; enable_material = off keeps its rows from
-- being stored, which would make it cheap again.
-- They leave search_path alone: triggers that others put on these tables run inside and may rely on
-- it. All names of our own have their schema anyway.
--
-- Their bodies hold the queue's name, which may have any characters, also dollar signs. So the tags
-- around a body are longer than a name.
-- =================================================================================================

create or replace function absurd._queue_templates (p_storage_mode text default 'unpartitioned')
  returns table (kind text, template text) language plpgsql immutable as $$
-- The functions of a queue: the beginning of the name, and the template of the statement.
begin
  return query
  values
    ('spawn', absurd._spawn_template(p_storage_mode)),
    ('claim', absurd._claim_template()),
    ('done', absurd._complete_template()),
    ('ends', absurd._complete_many_template()),
    ('save', absurd._save_template()),
    ('keep', absurd._save_many_template()),
    ('load', absurd._load_template()),
    ('emit', absurd._emit_template());
end;
$$;

create or replace function absurd._make_queue_functions (p_queue_name text, p_storage_mode text)
  returns void language plpgsql volatile
  set quote_all_identifiers = off
  set search_path = ''
as $$
-- Makes the functions of a queue. The SET clauses give them the same text in every session: %I
-- follows quote_all_identifiers.
--   Locks    nothing that a worker would notice.
declare
  v_function record;
  v_settings constant text := $settings$
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_sort = off
    set enable_material = off
    set cpu_tuple_cost = 1
    set jit = off
  $settings$;
begin
  for v_function in
    select made.kind, made.template
    from absurd._queue_templates(p_storage_mode) as made
  loop
    execute format(
      v_function.template, v_function.kind || ':' || p_queue_name, v_settings, 't_' || p_queue_name,
      'r_' || p_queue_name, 'c_' || p_queue_name, 'e_' || p_queue_name, 'w_' || p_queue_name,
      'i_' || p_queue_name, p_queue_name
    );
  end loop;
end;
$$;

create or replace function absurd._lacks_queue_function (p_queue_name text)
  returns boolean language sql volatile as $$
-- Whether one of a queue's functions is missing.
  select bool_or(to_regproc('absurd.' || quote_ident(made.kind || ':' || p_queue_name)) is null)
  from absurd._queue_templates() as made
$$;

create or replace function absurd._queue_function (p_kind text, p_queue_name text)
  returns text language plpgsql volatile as $$
-- The quoted name of a queue's function. If the function is missing, it is made first.
--   p_kind   one of _queue_templates
--   Raises   22023 for an illegal queue name, P0002 for an unknown queue.
declare
  v_name text := 'absurd.' || quote_ident(p_kind || ':' || p_queue_name);
  v_queue absurd.queues;
begin
  -- The server would cut a name that is too long to the name of another queue's function.
  if octet_length(p_queue_name) <= 57 and to_regproc(v_name) is not null then
    return v_name;
  end if;

  perform absurd._require_queue(p_queue_name);
  perform absurd.validate_queue_name(p_queue_name);
  perform absurd._lock_queue_shape(p_queue_name);
  -- Checked again: it may have been dropped while this session waited.
  v_queue := absurd._require_queue(p_queue_name);
  perform absurd._make_queue_functions(v_queue.queue_name, v_queue.storage_mode);
  return v_name;
end;
$$;


-- =================================================================================================
-- 6. SPAWN
-- A spawn inserts a task and its first run, both pending. With an idempotency key, the first caller
-- makes the task and the others get the same one. The key is unique in t_<queue>; a partitioned
-- queue reserves it in i_<queue>. So N racing callers make one task.
-- =================================================================================================

create or replace function absurd._spawn_options (
  p_options jsonb, out headers jsonb, out retry_strategy jsonb, out max_attempts integer,
  out cancellation jsonb, out idempotency_key text, out start_at timestamptz,
  out parent_task_id uuid, out parent_queue text
)
  language plpgsql volatile as $$
-- Reads and checks the options of a spawn.
--   p_options  headers, retry_strategy, max_attempts, cancellation, idempotency_key, and ours:
--              start_at or delay_seconds, parent; others are ignored, null is {}
--   Returns    them as columns; JSON null counts as absent, except for retry_strategy.
--   Raises     22023 for options that are no object, max_attempts below 1, cancellation settings
--              that are not numbers of seconds >= 0; AB003 for a retry_strategy that cannot be
--              used.
declare
  v_options jsonb := absurd._require_object(p_options, 'Options');
  v_limit jsonb := nullif(p_options -> 'max_attempts', 'null');
  v_key text;
begin
  if v_options = '{}' then
    return;
  end if;

  headers := nullif(v_options -> 'headers', 'null');
  retry_strategy := v_options -> 'retry_strategy';
  cancellation := nullif(v_options -> 'cancellation', 'null');
  idempotency_key := v_options ->> 'idempotency_key';
  max_attempts := absurd._read_attempts(v_limit);
  start_at := absurd._read_start(v_options);
  if nullif(v_options -> 'parent', 'null') is not null then
    parent_task_id := absurd._read_parent(v_options -> 'parent');
    parent_queue := v_options #>> '{parent,queue}';
  end if;

  if retry_strategy is not null then
    perform absurd.retry_delay_seconds(retry_strategy, 1);
  end if;

  if cancellation is null then
    return;
  end if;
  perform absurd._require_object(cancellation, 'Option cancellation');
  foreach v_key in array array['max_delay', 'max_duration'] loop
    if nullif(cancellation -> v_key, 'null') is not null
      and absurd._read_seconds(cancellation -> v_key) is null
    then
      raise exception 'Option cancellation.% must be a number of seconds >= 0, not %',
          v_key, cancellation -> v_key using errcode = 'invalid_parameter_value';
    end if;
  end loop;
end;
$$;

create or replace function absurd._read_start (p_options jsonb)
  returns timestamptz language plpgsql volatile as $$
-- Reads when a task is to start.
--   Returns  the moment of start_at, or that many seconds from now of delay_seconds; null for now,
--            which a moment in the past is as well.
--   Raises   22023 for both at once, and for values that are neither a time nor a number >= 0.
declare
  v_start_at jsonb := nullif(p_options -> 'start_at', 'null');
  v_delay jsonb := nullif(p_options -> 'delay_seconds', 'null');
  v_now timestamptz;
  v_start timestamptz;
begin
  if v_start_at is null and v_delay is null then
    return null;
  elsif v_start_at is not null and v_delay is not null then
    raise exception 'Use either start_at or delay_seconds, not both'
      using errcode = 'invalid_parameter_value';
  end if;

  v_now := absurd.current_time();
  if v_delay is not null then
    if absurd._read_seconds(v_delay) is null then
      raise exception 'Option delay_seconds must be a number of seconds >= 0, not %', v_delay
        using errcode = 'invalid_parameter_value';
    end if;
    v_start := v_now + make_interval(secs => absurd._read_seconds(v_delay));
  else
    begin
      v_start := case jsonb_typeof(v_start_at) when 'string' then v_start_at #>> '{}' end;
    exception
      when data_exception then
        v_start := null;
    end;
    if v_start is null or not isfinite(v_start) then
      raise exception 'Option start_at must be a time such as "2026-01-02T15:04:05Z", not %',
          v_start_at using errcode = 'invalid_parameter_value';
    end if;
  end if;
  return nullif(greatest(v_start, v_now), v_now);
end;
$$;

create or replace function absurd._read_parent (p_parent jsonb)
  returns uuid language plpgsql immutable as $$
-- Reads the parent of a task.
--   Returns  its id; the queue, which may be absent for the child's own, is read by the caller.
--   Raises   22023 unless it is an object with a task_id.
begin
  if jsonb_typeof(p_parent) = 'object' and p_parent ->> 'task_id' is not null then
    return (p_parent ->> 'task_id')::uuid;
  end if;
  raise invalid_text_representation;
exception
  when invalid_text_representation then
    raise exception 'Option parent must be {"queue": ..., "task_id": ...}, not %', p_parent
      using errcode = 'invalid_parameter_value';
end;
$$;

create or replace function absurd._read_attempts (p_value jsonb)
  returns integer language plpgsql immutable as $$
-- Reads a limit of attempts.
--   Returns  it; null when absent.
--   Raises   22023 unless it is a whole number >= 1.
declare
  v_text text := p_value #>> '{}';
begin
  if p_value is null or p_value = 'null' then
    return null;
  end if;

  if jsonb_typeof(p_value) in ('number', 'string') and v_text ~ '^[0-9]{1,10}([.]0+)?$'
    and v_text::numeric between 1 and 2147483647
  then
    return v_text::numeric::integer;
  end if;

  raise exception 'max_attempts must be a whole number of at least 1, not %', p_value
    using errcode = 'invalid_parameter_value';
end;
$$;

create or replace function absurd._spawned_before (p_queue_name text, p_idempotency_key text)
  returns table (
    task_id uuid, run_id uuid, attempt integer, created boolean
  ) language plpgsql volatile as $$
-- The task that already has an idempotency key, as a spawn returns it.
--   Raises   40001 when it vanished meanwhile.
declare
  v_keyed text := 't.idempotency_key = $1';
begin
  if to_regclass(format('absurd.%I', 'i_' || p_queue_name)) is not null then
    v_keyed := format(
      't.task_id = (select i.task_id from absurd.%1$I as i where i.idempotency_key = $1)',
      'i_' || p_queue_name
    );
  end if;

  return query execute format($sql$
    select t.task_id, t.last_attempt_run, t.attempts, false
    from absurd.%1$I as t
    where %2$s
  $sql$, 't_' || p_queue_name, v_keyed)
  using p_idempotency_key;

  if not found then
    raise exception 'The task with idempotency key "%" is gone or not visible yet',
        p_idempotency_key
      using
        errcode = 'serialization_failure',
        hint = 'It was cleaned up, or spawned by a concurrent transaction: try again.';
  end if;
end;
$$;

create or replace function absurd._spawn_template (p_storage_mode text)
  returns text language sql immutable as $template$
-- The template of "spawn:<queue>": inserts a task and its first run, or finds the task that has
-- the key.
select $create$
create or replace function absurd.%1$I (
  p_task_name text,
  p_params jsonb,
  p_headers jsonb,
  p_retry_strategy jsonb,
  p_max_attempts integer,
  p_cancellation jsonb,
  p_idempotency_key text
)
  returns table (
    task_id uuid,
    run_id uuid,
    attempt integer,
    created boolean
  )
  language plpgsql
  volatile
  %2$s
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
#variable_conflict use_column
declare
  v_now timestamptz := absurd.current_time();
  v_task_id uuid := absurd.portable_uuidv7();
  v_run_id uuid := absurd.portable_uuidv7();
  v_cancel_due timestamptz;
begin
  if p_cancellation is not null then
    v_cancel_due := absurd._cancel_due(p_cancellation, v_now, null, 'pending');
  end if;

  if p_idempotency_key is null then
    insert into absurd.%3$I (
      task_id, task_name, params, headers, retry_strategy, max_attempts,
      cancellation, cancel_due, enqueue_at, state, attempts, last_attempt_run
    )
    values (
      v_task_id, p_task_name, p_params, p_headers, p_retry_strategy, p_max_attempts,
      p_cancellation, v_cancel_due, v_now, 'pending', 1, v_run_id
    );
  else$create$ || case p_storage_mode when 'partitioned' then $create$
    insert into absurd.%8$I as i (idempotency_key, task_id)
    values (p_idempotency_key, v_task_id)
    on conflict (idempotency_key) do nothing;
    if not found then
      return query select * from absurd._spawned_before(%9$L, p_idempotency_key);
      return;
    end if;$create$ else '' end || $create$
    insert into absurd.%3$I (
      task_id, task_name, params, headers, retry_strategy, max_attempts, cancellation,
      cancel_due, enqueue_at, state, attempts, last_attempt_run, idempotency_key
    )
    values (
      v_task_id, p_task_name, p_params, p_headers, p_retry_strategy, p_max_attempts,
      p_cancellation, v_cancel_due, v_now, 'pending', 1, v_run_id, p_idempotency_key
    )$create$ || case p_storage_mode when 'partitioned' then '' else $create$
    on conflict (idempotency_key) do nothing$create$ end || $create$;
    if not found then
      return query select * from absurd._spawned_before(%9$L, p_idempotency_key);
      return;
    end if;
  end if;

  insert into absurd.%4$I (run_id, task_id, attempt, state, available_at, created_at)
  values (v_run_id, v_task_id, 1, 'pending', v_now, v_now);

  return query select v_task_id, v_run_id, 1, true;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.spawn_task (
  p_queue_name text, p_task_name text, p_params jsonb, p_options jsonb default '{}'
)
  returns table (
    task_id uuid, run_id uuid, attempt integer, created boolean
  ) language plpgsql volatile as $$
-- Starts a task.
--   p_params   any JSON; null becomes JSON null
--   p_options  see _spawn_options
--   Returns    the task and its run; with a key that exists, that task, its last run and attempts,
--              created false, and nothing is written.
--   Raises     22023 for a blank name or bad options, AB003 for a retry_strategy that cannot be
--              used, P0002 for an unknown queue, 40001 when the keyed task vanished in a race.
declare
  v_function text := absurd._queue_function('spawn', p_queue_name);
  v_options record;
begin
  perform absurd._require_text(p_task_name, 'Task name');
  v_options := absurd._spawn_options(p_options);

  if v_options.start_at is not null or v_options.parent_task_id is not null then
    -- Not the hot path: spawn_tasks takes all options.
    return query
    select *
    from absurd.spawn_tasks(
      p_queue_name,
      jsonb_build_array(
        jsonb_build_object(
          'task_name', p_task_name, 'params', coalesce(p_params, 'null'), 'options', p_options
        )
      )
    );
    return;
  end if;

  return query execute format('select * from %1$s($1, $2, $3, $4, $5, $6, $7)', v_function)
  using
    p_task_name,
    coalesce(p_params, 'null'),
    v_options.headers,
    v_options.retry_strategy,
    v_options.max_attempts,
    v_options.cancellation,
    v_options.idempotency_key;
end;
$$;

create or replace function absurd.spawn_tasks (p_queue_name text, p_tasks jsonb)
  returns table (
    task_id uuid, run_id uuid, attempt integer, created boolean
  ) language plpgsql volatile as $$
-- Starts many tasks, each with the semantics of spawn_task. An addition to the contract.
--   p_tasks  an array of {task_name, params, options}
--   Returns  a row a task, in the order of the array.
--   Raises   as spawn_task, for the first bad element; then no task is started.
#variable_conflict use_column
declare
  v_queue absurd.queues := absurd._require_queue(p_queue_name);
  v_item record;
begin
  if p_tasks is null or jsonb_typeof(p_tasks) <> 'array' then
    raise exception 'Tasks must be a JSON array' using errcode = 'invalid_parameter_value';
  end if;
  perform absurd._require_text(item.value ->> 'task_name', 'Task name')
  from jsonb_array_elements(p_tasks) as item;
  perform absurd._require_parents(p_queue_name, p_tasks);

  for v_item in
    execute format(
      $sql$
        with item as materialized (
          select
            element.ordinality,
            absurd.portable_uuidv7() as task_id,
            absurd.portable_uuidv7() as run_id,
            absurd.current_time() as now,
            element.value ->> 'task_name' as task_name,
            coalesce(element.value -> 'params', 'null') as params,
            option.*
          from jsonb_array_elements($1) with ordinality as element
          cross join lateral absurd._spawn_options(element.value -> 'options') as option
        ),
        %3$s
        new_task as (
          insert into absurd.%1$I (
            task_id, task_name, params, headers, retry_strategy, max_attempts, cancellation,
            cancel_due, enqueue_at, state, attempts, last_attempt_run, idempotency_key,
            parent_task_id, parent_queue
          )
          select
            item.task_id, item.task_name, item.params, item.headers, item.retry_strategy,
            item.max_attempts, item.cancellation,
            absurd._cancel_due(
              item.cancellation, coalesce(item.start_at, item.now), null, 'pending'
            ),
            -- A delayed task enters the queue when it starts: max_delay counts from then.
            coalesce(item.start_at, item.now),
            case when item.start_at is null then 'pending' else 'sleeping' end,
            1, item.run_id, item.idempotency_key, item.parent_task_id,
            case when item.parent_task_id is not null then coalesce(item.parent_queue, $2) end
          from item
          %4$s
          -- In the order of the keys, so that two batches with the same keys cannot deadlock.
          order by item.idempotency_key, item.ordinality
          %5$s
          returning task_id
        ),
        new_run as (
          insert into absurd.%2$I (run_id, task_id, attempt, state, available_at, created_at)
          select
            item.run_id, item.task_id, 1,
            case when item.start_at is null then 'pending' else 'sleeping' end,
            coalesce(item.start_at, item.now), item.now
          from item
          where item.task_id in (select new_task.task_id from new_task)
        )
        select
          item.task_id,
          item.run_id,
          item.idempotency_key,
          item.task_id in (select new_task.task_id from new_task) as created
        from item
        order by item.ordinality
      $sql$,
      't_' || p_queue_name,
      'r_' || p_queue_name,
      case
        when v_queue.storage_mode = 'partitioned' then format($sql$
          new_key as (
            insert into absurd.%1$I (idempotency_key, task_id)
            select item.idempotency_key, item.task_id
            from item
            where item.idempotency_key is not null
            order by item.idempotency_key, item.ordinality
            on conflict (idempotency_key) do nothing
            returning task_id
          ),
        $sql$, 'i_' || p_queue_name)
      end,
      case
        when v_queue.storage_mode = 'partitioned' then 'where item.idempotency_key is null'
          || ' or item.task_id in (select new_key.task_id from new_key)'
      end,
      case
        when v_queue.storage_mode <> 'partitioned' then 'on conflict (idempotency_key) do nothing'
      end
    )
    using p_tasks, p_queue_name
  loop
    if v_item.created then
      return query select v_item.task_id, v_item.run_id, 1, true;
    else
      return query
      select * from absurd._spawned_before(p_queue_name, v_item.idempotency_key);
    end if;
  end loop;
end;
$$;


create or replace function absurd._require_parents (p_queue_name text, p_tasks jsonb)
  returns void language plpgsql volatile as $$
-- Checks that the parents of tasks exist.
--   Raises   P0002 for one that does not.
declare
  v_parent record;
begin
  for v_parent in
    select distinct
      coalesce(item.value #>> '{options,parent,queue}', p_queue_name) as queue_name,
      absurd._read_parent(item.value #> '{options,parent}') as task_id
    from jsonb_array_elements(p_tasks) as item
    where nullif(item.value #> '{options,parent}', 'null') is not null
  loop
    if not exists (select 1 from absurd.get_task_result(v_parent.queue_name, v_parent.task_id)) then
      raise exception 'Parent task "%" not found in queue "%"',
          v_parent.task_id, v_parent.queue_name using errcode = 'no_data_found';
    end if;
  end loop;
end;
$$;


-- =================================================================================================
-- 7. CLAIM
-- A claim first sweeps: it cancels tasks that are due and fails runs whose lease has expired. Then
-- it hands out the runs that are ready, oldest first. Every row is taken with "skip locked": an
-- idle transaction that holds one task never holds up another. Each search uses a partial index
-- that holds only the rows that it looks for, so a million finished or waiting tasks do not make a
-- claim slower.
-- =================================================================================================

create or replace function absurd._claim_template ()
  returns text language sql immutable as $template$
-- The template of "claim:<queue>".
select $create$
create or replace function absurd.%1$I (
  p_worker_id text,
  p_claim_timeout integer,
  p_quantity integer
)
  returns table (
    run_id uuid,
    task_id uuid,
    attempt integer,
    task_name text,
    params jsonb,
    retry_strategy jsonb,
    max_attempts integer,
    headers jsonb,
    wake_event text,
    event_payload jsonb
  )
  language plpgsql
  volatile
  %2$s
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
#variable_conflict use_column
declare
  v_now timestamptz := absurd.current_time();
  v_some_due boolean;
  v_some_expired boolean;
  v_gated boolean;
begin
  select
    exists (select 1 from absurd.%3$I as t where t.cancel_due <= v_now),
    exists (
      select 1
      from absurd.%4$I as r
      where r.state = 'running' and r.claim_expires_at <= v_now
    ),
    exists (select 1 from absurd.claim_gates as g where g.queue_name = %9$L)
  into v_some_due, v_some_expired, v_gated;

  if v_some_due then
    perform absurd._cancel_due_tasks(%9$L, v_now);
  end if;
  if v_some_expired then
    perform absurd._fail_expired_runs(%9$L, v_now, p_quantity);
  end if;
  if v_gated then
    if absurd._pass_claim_gate(%9$L, v_now) then
      return;
    end if;
    -- Tasks that a schedule has just spawned can be claimed at once.
    v_now := absurd.current_time();
  end if;

  return query
  with candidate as materialized (
    select
      r.run_id, r.task_id, r.attempt, r.available_at, r.wake_event, r.event_payload, t.task_name,
      t.params, t.retry_strategy, t.max_attempts, t.headers
    from absurd.%4$I as r
    join absurd.%3$I as t on t.task_id = r.task_id
    where r.state in ('pending', 'sleeping')
      and r.available_at <= v_now
      and t.state in ('pending', 'sleeping', 'running')
      and (t.cancel_due is null or t.cancel_due > v_now)
    order by r.available_at, r.run_id
    limit p_quantity
    for update of r, t skip locked
  ),
  claimed_run as (
    update absurd.%4$I as r
    set
      state = 'running',
      claimed_by = p_worker_id,
      claim_expires_at = v_now + make_interval(secs => p_claim_timeout),
      started_at = v_now,
      available_at = v_now
    -- By array, not by a join: a join's plan could depend on the size of the table.
    where r.run_id = any (array(select candidate.run_id from candidate))
  ),
  claimed_task as (
    update absurd.%3$I as t
    set
      state = 'running',
      attempts = greatest(t.attempts, candidate.attempt),
      first_started_at = coalesce(t.first_started_at, v_now),
      last_attempt_run = candidate.run_id,
      cancel_due = case
        when t.cancellation is not null then absurd._cancel_due(
          t.cancellation, t.enqueue_at, coalesce(t.first_started_at, v_now), 'running'
        )
      end
    from candidate
    where t.task_id = any (array(select candidate.task_id from candidate))
      and t.task_id = candidate.task_id
  ),
  timed_out_wait as (
    delete from absurd.%7$I as w
    where w.run_id = any (array(select candidate.run_id from candidate))
      and w.timeout_at <= v_now
  )
  select
    candidate.run_id, candidate.task_id, candidate.attempt, candidate.task_name, candidate.params,
    candidate.retry_strategy, candidate.max_attempts, candidate.headers, candidate.wake_event,
    candidate.event_payload
  from candidate
  order by candidate.available_at, candidate.run_id;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.claim_task (
  p_queue_name text, p_worker_id text, p_claim_timeout integer default 30, p_qty integer default 1
)
  returns table (
    run_id uuid, task_id uuid, attempt integer, task_name text, params jsonb, retry_strategy jsonb,
    max_attempts integer, headers jsonb, wake_event text, event_payload jsonb
  ) language plpgsql volatile as $$
-- Claims runs for a worker.
--   p_worker_id      blank becomes "worker"
--   p_claim_timeout  the lease in seconds; null is 30, 0 or less is no lease
--   p_qty            how many at the most; at least 1
--   Returns          a row a claimed run, in the order of the claim: oldest available_at first,
--                    then by run_id.
--   Raises           P0002 for an unknown queue.
--   Locks            the runs and tasks it takes; it waits for none.
declare
  v_function text := absurd._queue_function('claim', p_queue_name);
begin
  return query execute format('select * from %1$s($1, $2, $3)', v_function)
  using
    coalesce(nullif(btrim(p_worker_id, E' \t\r\n'), ''), 'worker'),
    case when coalesce(p_claim_timeout, 30) > 0 then coalesce(p_claim_timeout, 30) end,
    greatest(coalesce(p_qty, 1), 1);
end;
$$;

create or replace function absurd._cancel_due_tasks (p_queue_name text, p_now timestamptz)
  returns void language plpgsql volatile
  set enable_sort = on
as $$
-- Cancels tasks whose max_delay or max_duration has passed, up to a thousand in each claim; the
-- claim itself skips the rest. The claim plans without sorts. Here that would mean a walk through
-- all runs in the order of their ids, so this function may sort.
--   Locks    their unfinished runs, then the tasks; locked rows are left for the next claim.
declare
  v_task_ids uuid[];
  v_run_ids uuid[];
begin
  execute format($sql$
    select array(
      select t.task_id
      from absurd.%1$I as t
      where t.cancel_due <= $1
      order by t.cancel_due
      limit 1000
    )
  $sql$, 't_' || p_queue_name)
  into v_task_ids using p_now;

  execute format($sql$
    select array(
      select r.run_id
      from absurd.%1$I as r
      where r.task_id = any ($1) and r.state in ('pending', 'running', 'sleeping')
      order by r.run_id
      for update skip locked
    )
  $sql$, 'r_' || p_queue_name)
  into v_run_ids using v_task_ids;

  execute format($sql$
    select array(
      select t.task_id
      from absurd.%1$I as t
      where t.task_id = any ($1)
        and t.cancel_due <= $3
        and not exists (
          select 1
          from absurd.%2$I as r
          where r.task_id = t.task_id
            and r.state in ('pending', 'running', 'sleeping')
            and r.run_id <> all ($2)
        )
      order by t.task_id
      for update of t skip locked
    )
  $sql$, 't_' || p_queue_name, 'r_' || p_queue_name)
  into v_task_ids using v_task_ids, v_run_ids, p_now;

  perform absurd._cancel_tasks(p_queue_name, v_task_ids, p_now);
end;
$$;

create or replace function absurd._fail_expired_runs (
  p_queue_name text, p_now timestamptz, p_quantity integer
)
  returns void language plpgsql volatile as $$
-- Fails runs whose lease has expired, oldest first, so that their tasks get another attempt.
--   Locks    the runs, then their tasks; locked rows are left for the next claim.
declare
  v_run record;
begin
  for v_run in
    execute format($sql$
      select r.run_id, r.task_id, r.attempt, r.claimed_by, r.claim_expires_at
      from absurd.%1$I as r
      join absurd.%2$I as t on t.task_id = r.task_id
      where r.state = 'running' and r.claim_expires_at <= $1
      order by r.claim_expires_at, r.run_id
      limit $2
      for update of r, t skip locked
    $sql$, 'r_' || p_queue_name, 't_' || p_queue_name)
    using p_now, p_quantity
  loop
    perform absurd._fail_locked_run(
      p_queue_name,
      v_run.run_id,
      v_run.task_id,
      v_run.attempt,
      jsonb_strip_nulls(
        jsonb_build_object(
          'name', '$ClaimTimeout',
          'message', 'The worker did not finish the run, or extend its lease, in time',
          'workerId', v_run.claimed_by,
          'claimExpiredAt', v_run.claim_expires_at,
          'attempt', v_run.attempt
        )
      ),
      null,
      p_now
    );
  end loop;
end;
$$;


-- =================================================================================================
-- 8. FINISH
-- The end of a run, and its effect on the task: complete_run, schedule_run (it sleeps), fail_run
-- (another attempt, or the end), retry_task, cancel_task and wake_task. All of them lock the run
-- first and the task second. complete_run is on the hot path and has a function for each queue;
-- complete_runs takes many runs at once.
-- =================================================================================================

create or replace function absurd._complete_template ()
  returns text language sql immutable as $template$
-- The template of "done:<queue>": completes a running run and its task.
select $create$
create or replace function absurd.%1$I (
  p_run_id uuid,
  p_state jsonb
)
  returns void
  language plpgsql
  volatile
  %2$s
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
declare
  v_task_id uuid;
begin
  update absurd.%4$I as r
  set state = 'completed', completed_at = absurd.current_time(), result = p_state
  where r.run_id = p_run_id and r.state = 'running'
  returning r.task_id into v_task_id;

  if not found then
    perform absurd._refuse_completion(%9$L, p_run_id);
  end if;

  update absurd.%3$I as t
  set state = 'completed', completed_payload = p_state, cancel_due = null
  where t.task_id = v_task_id;

  delete from absurd.%7$I as w
  where w.run_id = p_run_id;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd._refuse_completion (p_queue_name text, p_run_id uuid)
  returns void language plpgsql volatile as $$
-- Raises why a run cannot be completed.
--   Raises   AB001, AB002, 55000 by the run's state, P0002 for an unknown run, 40001 when the run
--            is running after all (another transaction changed it meanwhile).
declare
  v_run record := absurd._lock_run(p_queue_name, p_run_id, '{running}');
begin
  raise exception 'Run "%" was changed by another transaction', p_run_id
    using errcode = 'serialization_failure', hint = 'Try again.';
end;
$$;

create or replace function absurd.complete_run (
  p_queue_name text, p_run_id uuid, p_state jsonb default null
)
  returns void language plpgsql volatile as $$
-- Completes a run and its task.
--   p_state  the result, any JSON; null is stored as null
--   Raises   AB001 cancelled, AB002 failed, 55000 not currently running, P0002 unknown run or
--            queue.
--   Locks    the run, then the task.
begin
  execute format('select %1$s($1, $2)', absurd._queue_function('done', p_queue_name))
  using p_run_id, p_state;
end;
$$;

create or replace function absurd._complete_many_template ()
  returns text language sql immutable as $template$
-- The template of "ends:<queue>": completes those of many runs that are running, and their tasks.
select $create$
create or replace function absurd.%1$I (
  p_run_ids uuid[],
  p_states jsonb[]
)
  returns uuid[]
  language plpgsql
  volatile
  %2$s
  -- Rows are locked in the order of their ids: without a sort, that would be a walk through all
  -- rows.
  set enable_sort = on
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
declare
  v_now timestamptz := absurd.current_time();
  v_finished uuid[];
begin
  with item as (
    select distinct on (element.run_id)
      element.run_id,
      element.state
    from unnest(p_run_ids, p_states) with ordinality as element (run_id, state, ordinality)
    order by element.run_id, element.ordinality
  ),
  locked_run as materialized (
    select r.run_id, item.state
    from item
    join absurd.%4$I as r on r.run_id = item.run_id
    where r.state = 'running'
    order by r.run_id
    for update of r
  ),
  finished_run as (
    update absurd.%4$I as r
    set state = 'completed', completed_at = v_now, result = locked_run.state
    from locked_run
    where r.run_id = locked_run.run_id
    returning r.task_id, r.result
  ),
  locked_task as materialized (
    select t.task_id, finished_run.result
    from finished_run
    join absurd.%3$I as t on t.task_id = finished_run.task_id
    order by t.task_id
    for update of t
  ),
  finished_task as (
    update absurd.%3$I as t
    set state = 'completed', completed_payload = locked_task.result, cancel_due = null
    from locked_task
    where t.task_id = locked_task.task_id
  ),
  forgotten_wait as (
    delete from absurd.%7$I as w
    where w.run_id = any (array(select locked_run.run_id from locked_run))
  )
  select coalesce(array_agg(locked_run.run_id), '{}')
  into v_finished
  from locked_run;

  return v_finished;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.complete_runs (p_queue_name text, p_runs jsonb)
  returns table (run_id uuid, error_code text, error_message text) language plpgsql volatile as $$
-- Completes many runs at once, each with the semantics of complete_run. An addition to the
-- contract.
--   p_runs   an array of {run_id, state}; of two for the same run the first one counts
--   Returns  a row a run, in the order of the array: error_code is null when it is completed, else
--            the SQLSTATE that complete_run would have raised, with its message.
--   Raises   22023 when p_runs is not an array, P0002 for an unknown queue.
--   Locks    the runs, then the tasks, each in the order of their ids.
#variable_conflict use_column
declare
  v_run_ids uuid[];
  v_states jsonb[];
  v_finished uuid[];
begin
  perform absurd._require_queue(p_queue_name);
  perform absurd._require_array(p_runs, 'Runs');

  select
    array_agg((element.value ->> 'run_id')::uuid order by element.ordinality),
    array_agg(element.value -> 'state' order by element.ordinality)
  into v_run_ids, v_states
  from jsonb_array_elements(p_runs) with ordinality as element;

  execute format('select %1$s($1, $2)', absurd._queue_function('ends', p_queue_name))
  into v_finished using v_run_ids, v_states;

  if cardinality(v_finished) = cardinality(v_run_ids) then
    return query
    select element.run_id, null::text, null::text
    from unnest(v_run_ids) with ordinality as element (run_id, ordinality)
    order by element.ordinality;
    return;
  end if;

  return query execute format($sql$
    select item.run_id, refusal.error_code, refusal.error_message
    from (
      select
        element.run_id,
        element.ordinality,
        row_number() over (partition by element.run_id order by element.ordinality) as mention
      from unnest($1) with ordinality as element (run_id, ordinality)
    ) as item
    left join absurd.%1$I as r on r.run_id = item.run_id
    left join lateral absurd._refusal(item.run_id, r.state) as refusal
      on (item.mention = 1 and item.run_id = any ($2)) is not true
    order by item.ordinality
  $sql$, 'r_' || p_queue_name)
  using v_run_ids, v_finished;
end;
$$;

create or replace function absurd._require_array (p_value jsonb, p_what text)
  returns void language plpgsql immutable as $$
-- Checks that a JSON argument is an array.
--   Raises   22023 when it is not.
begin
  if p_value is null or jsonb_typeof(p_value) <> 'array' then
    raise exception '% must be a JSON array', p_what using errcode = 'invalid_parameter_value';
  end if;
end;
$$;

create or replace function absurd._refusal (
  p_run_id uuid, p_state text, out error_code text, out error_message text
)
  language plpgsql immutable as $$
-- Why a worker may not do something with a run, for _lock_run and for batches, which do not raise.
--   p_state  the run's state by now; null is unknown, running was something else a moment ago
--   Returns  the SQLSTATE and the message.
begin
  if p_state is null then
    error_code := 'P0002';
    error_message := format('Run "%s" not found', p_run_id);
  elsif p_state = 'cancelled' then
    error_code := 'AB001';
    error_message := 'Task has been cancelled';
  elsif p_state = 'failed' then
    error_code := 'AB002';
    error_message := format('Run "%s" has already failed', p_run_id);
  elsif p_state = 'running' then
    error_code := '40001';
    error_message := format('Run "%s" was changed by another transaction', p_run_id);
  else
    error_code := '55000';
    error_message := format('Run "%s" is not currently running: it is %s', p_run_id, p_state);
  end if;
end;
$$;

create or replace function absurd.schedule_run (
  p_queue_name text, p_run_id uuid, p_wake_at timestamptz
)
  returns void language plpgsql volatile as $$
-- Puts a running run, and its task, to sleep until a moment.
--   Raises   22023 without a moment, AB001 cancelled, AB002 failed, 55000 not currently running,
--            P0002 unknown run or queue.
--   Locks    the run, then the task.
declare
  v_run record := absurd._lock_run(p_queue_name, p_run_id, '{running}');
begin
  if p_wake_at is null then
    raise exception 'A time to wake up must be provided' using errcode = 'invalid_parameter_value';
  end if;

  execute format($sql$
    update absurd.%1$I as r
    set
      state = 'sleeping',
      available_at = $2,
      claimed_by = null,
      claim_expires_at = null,
      wake_event = null
    where r.run_id = $1
  $sql$, 'r_' || p_queue_name)
  using p_run_id, p_wake_at;
  perform absurd._set_task_state(p_queue_name, v_run.task_id, 'sleeping');
end;
$$;

create or replace function absurd._set_task_state (p_queue_name text, p_task_id uuid, p_state text)
  returns void language plpgsql volatile as $$
-- Gives an unfinished task the state of its run.
--   p_state  sleeping or failed
--   Locks    the task.
begin
  execute format($sql$
    update absurd.%1$I as t
    set state = $2, cancel_due = case when $2 <> 'failed' then t.cancel_due end
    where t.task_id = $1 and t.state in ('pending', 'running', 'sleeping')
  $sql$, 't_' || p_queue_name)
  using p_task_id, p_state;
end;
$$;

create or replace function absurd.fail_run (
  p_queue_name text, p_run_id uuid, p_reason jsonb, p_retry_at timestamptz default null
)
  returns void language plpgsql volatile as $$
-- Fails a run. Its task gets another attempt while its limit allows one, at p_retry_at or after the
-- delay of its retry strategy; it is cancelled instead when max_duration would be reached by then.
-- A retry strategy that cannot be used fails the task for good; with p_retry_at it is not read.
--   p_reason    any JSON, by custom {name, message, stack}
--   p_retry_at  when to try again; never before now
--   Raises      AB001 cancelled, AB002 failed already, 55000 neither running nor sleeping,
--               P0002 unknown run or queue.
--   Locks       the run, then the task.
declare
  v_run record := absurd._lock_run(p_queue_name, p_run_id, '{running,sleeping}');
begin
  perform absurd._fail_locked_run(
    p_queue_name,
    p_run_id,
    v_run.task_id,
    v_run.attempt,
    p_reason,
    p_retry_at,
    absurd.current_time()
  );
end;
$$;

create or replace function absurd._fail_locked_run (
  p_queue_name text, p_run_id uuid, p_task_id uuid, p_attempt integer, p_reason jsonb,
  p_retry_at timestamptz, p_now timestamptz
)
  returns void language plpgsql volatile as $$
-- The work of fail_run, and of the claim's sweep, on a run that is locked and may be failed.
--   Locks    the task.
declare
  v_task record;
  v_attempt integer;
  v_retry_at timestamptz;
  v_available_at timestamptz;
begin
  execute format($sql$
    update absurd.%1$I as r
    set state = 'failed', failed_at = $2, failure_reason = $3, wake_event = null
    where r.run_id = $1
  $sql$, 'r_' || p_queue_name)
  using p_run_id, p_now, p_reason;
  perform absurd._delete_waits(p_queue_name, array[p_run_id]);

  execute format('select t.* from absurd.%1$I as t where t.task_id = $1 for update',
    't_' || p_queue_name)
  into v_task using p_task_id;

  if v_task.state is null or v_task.state in ('completed', 'failed', 'cancelled') then
    return;
  end if;

  v_attempt := greatest(p_attempt, v_task.attempts);
  v_retry_at := coalesce(
    p_retry_at, absurd._next_attempt_at(v_task.retry_strategy, v_attempt, p_now)
  );
  v_available_at := greatest(v_retry_at, p_now);

  if v_attempt >= v_task.max_attempts or v_retry_at is null then
    perform absurd._set_task_state(p_queue_name, p_task_id, 'failed');
  elsif v_available_at >= absurd._cancel_due(
    v_task.cancellation, v_task.enqueue_at, v_task.first_started_at, 'running'
  ) and v_task.first_started_at is not null then
    perform absurd._cancel_tasks(p_queue_name, array[p_task_id], p_now);
  else
    perform absurd._start_attempt(
      p_queue_name, p_task_id, v_attempt + 1, v_available_at, p_now, v_task.max_attempts
    );
  end if;
end;
$$;

create or replace function absurd._start_attempt (
  p_queue_name text, p_task_id uuid, p_attempt integer, p_available_at timestamptz,
  p_now timestamptz, p_max_attempts integer
)
  returns uuid language plpgsql volatile as $$
-- Gives a locked task its next run.
--   p_available_at  when it may be claimed: in the future it sleeps until then
--   Returns         the new run.
declare
  v_run_id uuid := absurd.portable_uuidv7();
  v_state text := case when p_available_at > p_now then 'sleeping' else 'pending' end;
begin
  execute format($sql$
    insert into absurd.%1$I (run_id, task_id, attempt, state, available_at, created_at)
    values ($1, $2, $3, $4, $5, $6)
  $sql$, 'r_' || p_queue_name)
  using v_run_id, p_task_id, p_attempt, v_state, p_available_at, p_now;

  execute format($sql$
    update absurd.%1$I as t
    set
      state = $2,
      attempts = $3,
      last_attempt_run = $4,
      max_attempts = $5,
      cancel_due = case
        when t.cancellation is not null
          then absurd._cancel_due(t.cancellation, t.enqueue_at, t.first_started_at, $2)
      end
    where t.task_id = $1
  $sql$, 't_' || p_queue_name)
  using p_task_id, v_state, p_attempt, v_run_id, p_max_attempts;
  return v_run_id;
end;
$$;

create or replace function absurd._delete_waits (p_queue_name text, p_run_ids uuid[])
  returns void language plpgsql volatile as $$
-- Deletes the waits of runs.
begin
  execute format('delete from absurd.%1$I as w where w.run_id = any ($1)', 'w_' || p_queue_name)
  using p_run_ids;
end;
$$;

create or replace function absurd.retry_task (
  p_queue_name text, p_task_id uuid, p_options jsonb default '{}'
)
  returns table (
    task_id uuid, run_id uuid, attempt integer, created boolean
  ) language plpgsql volatile as $$
-- Gives a failed task another attempt, or starts a new task with the same inputs.
--   p_options  spawn_new (boolean), max_attempts (in place it must exceed the attempts so far;
--              default: the limit, or the attempts so far, plus 1; spawn_new copies the limit)
--   Returns    the task, its new run and attempt; created is true for a new task.
--   Raises     P0002 unknown task or queue, 55000 not currently failed, 22023 bad options, AB003
--              for a stored retry_strategy that spawn_new cannot copy.
--   Locks      the task.
declare
  v_options jsonb := absurd._require_object(p_options, 'Options');
  v_max_attempts integer := absurd._read_attempts(v_options -> 'max_attempts');
  v_task record := absurd._lock_failed_task(p_queue_name, p_task_id);
  v_now timestamptz := absurd.current_time();
begin
  if coalesce(nullif(v_options -> 'spawn_new', 'null'), 'false') not in ('true', 'false') then
    raise exception 'Option spawn_new must be true or false, not %', v_options -> 'spawn_new'
      using errcode = 'invalid_parameter_value';
  end if;

  if v_options -> 'spawn_new' = 'true' then
    return query
    select *
    from absurd.spawn_task(
      p_queue_name,
      v_task.task_name,
      v_task.params,
      jsonb_build_object(
        'headers', v_task.headers,
        'max_attempts', coalesce(v_max_attempts, v_task.max_attempts),
        'cancellation', absurd._readable_cancellation(v_task.cancellation)
      ) || case
        when v_task.retry_strategy is null then '{}'
        else jsonb_build_object('retry_strategy', v_task.retry_strategy)
      end
    );
    return;
  end if;

  v_max_attempts := coalesce(v_max_attempts, coalesce(v_task.max_attempts, v_task.attempts) + 1);
  if v_max_attempts <= v_task.attempts then
    raise exception 'max_attempts (%) must be greater than current attempts (%)',
        v_max_attempts, v_task.attempts using errcode = 'invalid_parameter_value';
  end if;

  return query
  select
    p_task_id,
    absurd._start_attempt(
      p_queue_name, p_task_id, v_task.attempts + 1, v_now, v_now, v_max_attempts
    ),
    v_task.attempts + 1,
    false;
end;
$$;

create or replace function absurd._readable_cancellation (p_cancellation jsonb)
  returns jsonb language sql immutable as $$
-- The valid part of stored cancellation settings: a spawn would refuse the rest.
--   Returns  the object, max_delay and max_duration only if they are numbers of seconds; null
--            if nothing is left.
  select
    case
      when jsonb_typeof(p_cancellation) = 'object' then (
        select jsonb_object_agg(setting.key, setting.value)
        from jsonb_each(p_cancellation) as setting
        where setting.key not in ('max_delay', 'max_duration')
          or absurd._read_seconds(setting.value) is not null
      )
    end
$$;

create or replace function absurd._lock_failed_task (
  p_queue_name text, p_task_id uuid, out task_name text, out params jsonb, out headers jsonb,
  out retry_strategy jsonb, out cancellation jsonb, out max_attempts integer, out attempts integer
)
  language plpgsql volatile as $$
-- Locks a task that is to be retried.
--   Returns  its inputs and attempts.
--   Raises   P0002 unknown task or queue, 55000 not currently failed.
--   Locks    the task.
declare
  v_state text;
begin
  perform absurd._require_queue(p_queue_name);

  execute format($sql$
    select
      t.task_name, t.params, t.headers, t.retry_strategy, t.cancellation, t.max_attempts,
      t.attempts, t.state
    from absurd.%1$I as t
    where t.task_id = $1
    for update
  $sql$, 't_' || p_queue_name)
  into task_name, params, headers, retry_strategy, cancellation, max_attempts, attempts, v_state
  using p_task_id;

  if v_state is null then
    raise exception 'Task "%" not found in queue "%"', p_task_id, p_queue_name
      using errcode = 'no_data_found';
  end if;

  if v_state <> 'failed' then
    raise exception 'Task "%" is not currently failed: it is %', p_task_id, v_state
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = 'Only a failed task can be retried.';
  end if;
end;
$$;

create or replace function absurd.cancel_task (p_queue_name text, p_task_id uuid)
  returns void language plpgsql volatile as $$
-- Cancels a task. On a terminal task it does nothing.
--   Raises   P0002 unknown task or queue.
--   Locks    the task's unfinished runs in the order of their ids, then the task.
begin
  perform absurd._require_queue(p_queue_name);
  -- If a run fails while this session waits for its lock, the task gets a new run, which is not
  -- locked yet. Locking it now, while the task is locked, would be the wrong order: release all
  -- locks and start over.
  loop
    begin
      exit when absurd._try_cancel_task(p_queue_name, p_task_id);
      -- 40001 serialization_failure: caught below, it undoes the locks
      raise exception 'start over' using errcode = 'serialization_failure';
    exception
      when serialization_failure then
        if current_setting('transaction_isolation') <> 'read committed' then
          raise;
        end if;
    end;
  end loop;
end;
$$;

create or replace function absurd._try_cancel_task (p_queue_name text, p_task_id uuid)
  returns boolean language plpgsql volatile as $$
-- One try at cancelling a task.
--   Returns  false when the task got a run that is not locked: the caller must start over.
--   Raises   P0002 unknown task.
--   Locks    the task's unfinished runs, then the task.
declare
  v_run_ids uuid[];
  v_state text;
  v_new_run boolean;
begin
  execute format($sql$
    select array(
      select r.run_id
      from absurd.%1$I as r
      where r.task_id = $1 and r.state in ('pending', 'running', 'sleeping')
      order by r.run_id
      for update
    )
  $sql$, 'r_' || p_queue_name)
  into v_run_ids using p_task_id;

  execute format(
    'select t.state from absurd.%1$I as t where t.task_id = $1 for update', 't_' || p_queue_name
  )
  into v_state using p_task_id;

  if v_state is null then
    raise exception 'Task "%" not found in queue "%"', p_task_id, p_queue_name
      using errcode = 'no_data_found';
  elsif v_state in ('completed', 'failed', 'cancelled') then
    return true;
  end if;

  execute format($sql$
    select exists (
      select 1
      from absurd.%1$I as r
      where r.task_id = $1
        and r.state in ('pending', 'running', 'sleeping')
        and r.run_id <> all ($2)
    )
  $sql$, 'r_' || p_queue_name)
  into v_new_run using p_task_id, v_run_ids;

  if not v_new_run then
    perform absurd._cancel_tasks(p_queue_name, array[p_task_id], absurd.current_time());
  end if;
  return not v_new_run;
end;
$$;

create or replace function absurd._cancel_tasks (
  p_queue_name text, p_task_ids uuid[], p_now timestamptz
)
  returns void language plpgsql volatile as $$
-- Cancels tasks that are locked, with their unfinished runs and their waits.
begin
  execute format($sql$
    update absurd.%1$I as r
    set state = 'cancelled', claimed_by = null, claim_expires_at = null
    where r.task_id = any ($1) and r.state in ('pending', 'running', 'sleeping')
  $sql$, 'r_' || p_queue_name)
  using p_task_ids;

  execute format($sql$
    update absurd.%1$I as t
    set state = 'cancelled', cancelled_at = coalesce(t.cancelled_at, $2), cancel_due = null
    where t.task_id = any ($1)
  $sql$, 't_' || p_queue_name)
  using p_task_ids, p_now;

  execute format('delete from absurd.%1$I as w where w.task_id = any ($1)', 'w_' || p_queue_name)
  using p_task_ids;
end;
$$;

create or replace function absurd.get_task_result (p_queue_name text, p_task_id uuid)
  returns table (
    task_id uuid, state text, result jsonb, failure_reason jsonb
  ) language plpgsql volatile as $$
-- How a task ended.
--   Returns  its state; the result only when completed, the last run's failure_reason only when
--            failed. No row for an unknown task.
--   Raises   P0002 for an unknown queue.
begin
  perform absurd._require_queue(p_queue_name);

  return query execute format($sql$
    select
      t.task_id,
      t.state,
      case when t.state = 'completed' then t.completed_payload end,
      case
        when t.state = 'failed' then (
          select r.failure_reason
          from absurd.%2$I as r
          where r.run_id = t.last_attempt_run
        )
      end
    from absurd.%1$I as t
    where t.task_id = $1
  $sql$, 't_' || p_queue_name, 'r_' || p_queue_name)
  using p_task_id;
end;
$$;


create or replace function absurd.wake_task (
  p_queue_name text, p_task_id uuid, p_as_timeout boolean default false
)
  returns boolean language plpgsql volatile as $$
-- Ends the sleep, delay or backoff of a task, so that it can be claimed now. A run that waits for
-- an event continues to wait, unless p_as_timeout ends the wait. An addition to the contract.
--   p_as_timeout  end a wait for an event as well, as its timeout would
--   Returns       whether it did something; false for a task that is not asleep, or due already.
--   Raises        P0002 unknown queue or task.
--   Locks         the run.
declare
  v_now timestamptz := absurd.current_time();
  v_task record;
  v_run record;
begin
  perform absurd._require_queue(p_queue_name);

  execute format(
    'select t.task_id, t.last_attempt_run from absurd.%1$I as t where t.task_id = $1',
    't_' || p_queue_name
  )
  into v_task using p_task_id;
  if v_task.task_id is null then
    raise exception 'Task "%" not found in queue "%"', p_task_id, p_queue_name
      using errcode = 'no_data_found';
  elsif v_task.last_attempt_run is null then
    return false;
  end if;

  v_run := absurd._lock_run(p_queue_name, v_task.last_attempt_run, null);
  if v_run.run_state not in ('pending', 'sleeping')
    or v_run.task_state not in ('pending', 'sleeping')
    or v_run.available_at <= v_now
  then
    return false;
  end if;

  if v_run.wake_event is null then
    perform absurd._end_sleep(p_queue_name, p_task_id, v_run.available_at, v_now);
  elsif coalesce(p_as_timeout, false) then
    execute format($sql$
      update absurd.%1$I as w
      set timeout_at = $3
      where w.run_id = $1 and w.event_name = $2
    $sql$, 'w_' || p_queue_name)
    using v_task.last_attempt_run, v_run.wake_event, v_now;
  else
    return false;
  end if;

  execute format(
    'update absurd.%1$I as r set available_at = $2 where r.run_id = $1', 'r_' || p_queue_name
  )
  using v_task.last_attempt_run, v_now;
  return true;
end;
$$;

create or replace function absurd._end_sleep (
  p_queue_name text, p_task_id uuid, p_until timestamptz, p_now timestamptz
)
  returns void language plpgsql volatile as $$
-- Changes the end of a sleep in its checkpoint; otherwise a worker would put the run to sleep
-- again. Clients save that time as text, in UTC, just before the run goes to sleep: the latest
-- checkpoint with this value belongs to the sleep, and an earlier one is the result of a step.
declare
  v_form constant text := 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"';
begin
  if not isfinite(p_until) then
    return;
  end if;

  execute format($sql$
    with sleep as (
      select c.checkpoint_name
      from absurd.%1$I as c
      where c.task_id = $1
        and c.state #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[.][0-9]{3,6}Z$'
        and c.state #>> '{}' collate "C" between $2 and $3
      order by c.updated_at desc, c.checkpoint_name
      limit 1
    )
    update absurd.%1$I as c
    set state = to_jsonb($4)
    from sleep
    where c.task_id = $1 and c.checkpoint_name = sleep.checkpoint_name
  $sql$, 'c_' || p_queue_name)
  -- A worker computes the time by its own clock, so the two can be some seconds apart.
  using p_task_id,
    to_char((p_until - interval '5 seconds') at time zone 'UTC', v_form),
    to_char((p_until + interval '5 seconds') at time zone 'UTC', v_form),
    to_char(p_now at time zone 'UTC', v_form);
end;
$$;


-- =================================================================================================
-- 9. LEASE
-- A claim is a lease: it ends at claim_expires_at unless the worker extends it, with a checkpoint
-- or with extend_claim. _lock_run (chapter 3) alone decides what a worker may still do with a run.
-- =================================================================================================

create or replace function absurd.extend_claim (
  p_queue_name text, p_run_id uuid, p_extend_by integer
)
  returns void language plpgsql volatile as $$
-- Sets the lease of a running run to now plus some seconds. A run that was claimed without a lease
-- never expires and stays so.
--   Raises   22023 extend_by must be > 0, before anything else; AB001 cancelled, AB002 failed,
--            55000 not currently running, P0002 unknown run or queue.
--   Locks    the run.
begin
  if p_extend_by is null or p_extend_by <= 0 then
    raise exception 'extend_by must be > 0' using errcode = 'invalid_parameter_value';
  end if;

  perform absurd._lock_run(p_queue_name, p_run_id, '{running}', 'task');

  execute format($sql$
    update absurd.%1$I as r
    set claim_expires_at = absurd.current_time() + make_interval(secs => $2)
    where r.run_id = $1 and r.claim_expires_at is not null
  $sql$, 'r_' || p_queue_name)
  using p_run_id, p_extend_by;
end;
$$;


-- =================================================================================================
-- 10. CHECKPOINTS
-- A checkpoint is the result of a finished step, so that a later attempt continues after it. An
-- earlier attempt, which may not know that it was superseded, never overwrites a checkpoint of a
-- later one. Saving a checkpoint can extend the lease. It is on the hot path and has a function for
-- each queue.
-- =================================================================================================

create or replace function absurd._save_template ()
  returns text language sql immutable as $template$
-- The template of "save:<queue>": extends the lease, checks that the run may still write, and
-- writes.
select $create$
create or replace function absurd.%1$I (
  p_task_id uuid,
  p_step_name text,
  p_state jsonb,
  p_run_id uuid,
  p_extend_claim_by integer
)
  returns void
  language plpgsql
  volatile
  %2$s
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
declare
  v_now timestamptz := absurd.current_time();
  v_task_id uuid;
  v_attempt integer;
  v_task_state text;
begin
  if p_extend_claim_by > 0 then
    update absurd.%4$I as r
    set claim_expires_at = v_now + make_interval(secs => p_extend_claim_by)
    where r.run_id = p_run_id
      and r.state = 'running'
      and r.claim_expires_at is not null
    returning
      r.task_id,
      r.attempt,
      (select t.state from absurd.%3$I as t where t.task_id = r.task_id)
    into v_task_id, v_attempt, v_task_state;
  end if;

  if v_task_id is distinct from p_task_id or v_task_state = 'cancelled' then
    v_attempt := (
      absurd._lock_run(%9$L, p_run_id, '{pending,running,sleeping,completed}', 'step', p_task_id)
    ).attempt;
  end if;

  insert into absurd.%5$I as c (
    task_id, checkpoint_name, state, status, owner_run_id, updated_at
  )
  values (p_task_id, p_step_name, p_state, 'committed', p_run_id, v_now)
  on conflict (task_id, checkpoint_name) do update
  set
    state = excluded.state,
    status = excluded.status,
    owner_run_id = excluded.owner_run_id,
    updated_at = excluded.updated_at
  where c.owner_run_id is null
    or c.owner_run_id = excluded.owner_run_id
    or coalesce(
      (select r.attempt from absurd.%4$I as r where r.run_id = c.owner_run_id), 0
    ) <= v_attempt;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.set_task_checkpoint_state (
  p_queue_name text, p_task_id uuid, p_step_name text, p_state jsonb, p_owner_run uuid,
  p_extend_claim_by integer default null
)
  returns void language plpgsql volatile as $$
-- Saves the result of a step. A checkpoint that a later attempt owns stays as it is.
--   p_state            any JSON; null is stored and counts as done
--   p_owner_run        the run that worked on the step
--   p_extend_claim_by  seconds from now for the lease of a running run that has one; also when the
--                      write is skipped; null, 0 and less leave the lease alone
--   Raises             22023 blank step, AB001 cancelled task, AB002 failed run, P0002 unknown run
--                      or queue.
--   Locks              the run.
begin
  perform absurd._require_text(p_step_name, 'Step name');
  execute format(
    'select %1$s($1, $2, $3, $4, $5)', absurd._queue_function('save', p_queue_name)
  )
  using p_task_id, p_step_name, p_state, p_owner_run, p_extend_claim_by;
end;
$$;

create or replace function absurd._save_many_template ()
  returns text language sql immutable as $template$
-- The template of "keep:<queue>": saves many checkpoints, and reports an error for each one that it
-- cannot save.
select $create$
create or replace function absurd.%1$I (
  p_checkpoints jsonb
)
  returns table (
    task_id uuid,
    step_name text,
    error_code text,
    error_message text
  )
  language plpgsql
  volatile
  %2$s
  -- Rows are locked in the order of their ids: that sort must not become a walk through all.
  set enable_sort = on
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
#variable_conflict use_column
declare
  v_now timestamptz := absurd.current_time();
  v_only jsonb := case jsonb_array_length(p_checkpoints) when 1 then p_checkpoints -> 0 end;
  v_attempt integer;
begin
  -- One alone, of a run that holds its lease: what "save" does.
  if (v_only ->> 'extend_claim_by')::integer > 0
    and btrim(v_only ->> 'step_name', E' \t\r\n') <> ''
  then
    update absurd.%4$I as r
    set claim_expires_at =
      v_now + make_interval(secs => (v_only ->> 'extend_claim_by')::integer)
    where r.run_id = (v_only ->> 'owner_run')::uuid
      and r.task_id = (v_only ->> 'task_id')::uuid
      and r.state = 'running'
      and r.claim_expires_at is not null
      and exists (
        select 1
        from absurd.%3$I as t
        where t.task_id = r.task_id
          and t.state <> 'cancelled'
      )
    returning r.attempt into v_attempt;
  end if;
  if v_attempt is not null then
    insert into absurd.%5$I as c (
      task_id, checkpoint_name, state, status, owner_run_id, updated_at, started_at
    )
    values (
      (v_only ->> 'task_id')::uuid, v_only ->> 'step_name', v_only -> 'state', 'committed',
      (v_only ->> 'owner_run')::uuid, v_now,
      least((v_only ->> 'started_at')::timestamptz, v_now)
    )
    on conflict (task_id, checkpoint_name) do update
    set
      state = excluded.state,
      status = excluded.status,
      owner_run_id = excluded.owner_run_id,
      updated_at = excluded.updated_at,
      started_at = excluded.started_at
    where c.owner_run_id is null
      or c.owner_run_id = excluded.owner_run_id
      or coalesce(
        (select r.attempt from absurd.%4$I as r where r.run_id = c.owner_run_id),
        0
      ) <= v_attempt;
    return query
    select (v_only ->> 'task_id')::uuid, v_only ->> 'step_name', null::text, null::text;
    return;
  end if;

  -- First the locks, then a query with a snapshot of its own, which sees changes that were made
  -- meanwhile.
  perform 1
  from absurd.%4$I as r
  where r.run_id = any (
    array(
      select (element.value ->> 'owner_run')::uuid
      from jsonb_array_elements(p_checkpoints) as element
    )
  )
  order by r.run_id
  for update;

  return query
  with item as materialized (
    select
      element.ordinality,
      (element.value ->> 'task_id')::uuid as task_id,
      element.value ->> 'step_name' as step_name,
      element.value -> 'state' as state,
      (element.value ->> 'owner_run')::uuid as run_id,
      (element.value ->> 'extend_claim_by')::integer as extend_by,
      (element.value ->> 'started_at')::timestamptz as started_at,
      case
        when btrim(element.value ->> 'step_name', E' \t\r\n') <> '' is not true then '22023'
        when r.run_id is null then 'P0002'
        when r.task_id is distinct from (element.value ->> 'task_id')::uuid then '22023'
        when t.state = 'cancelled' then 'AB001'
        when r.state = 'failed' then 'AB002'
      end as error_code
    from jsonb_array_elements(p_checkpoints) with ordinality as element
    -- "offset 0": looked up by its key, whatever the queue held when this was planned.
    left join lateral (
      select run.run_id, run.task_id, run.state
      from absurd.%4$I as run
      where run.run_id = (element.value ->> 'owner_run')::uuid
      offset 0
    ) as r on true
    left join lateral (
      select task.state
      from absurd.%3$I as task
      where task.task_id = r.task_id
      offset 0
    ) as t on true
  ),
  extended_run as (
    update absurd.%4$I as r
    set claim_expires_at = v_now + make_interval(secs => extension.seconds)
    from (
      select item.run_id, max(item.extend_by) as seconds
      from item
      where item.error_code is null and item.extend_by > 0
      group by item.run_id
    ) as extension
    where r.run_id = extension.run_id
      and r.state = 'running'
      and r.claim_expires_at is not null
  ),
  saved_checkpoint as (
    insert into absurd.%5$I as c (
      task_id, checkpoint_name, state, status, owner_run_id, updated_at, started_at
    )
    select distinct on (item.task_id, item.step_name)
      item.task_id,
      item.step_name,
      item.state,
      'committed',
      item.run_id,
      v_now,
      -- If the worker's clock is ahead, the step would start after its end.
      least(item.started_at, v_now)
    from item
    where item.error_code is null
    order by item.task_id, item.step_name, item.ordinality desc
    on conflict (task_id, checkpoint_name) do update
    set
      state = excluded.state,
      status = excluded.status,
      owner_run_id = excluded.owner_run_id,
      updated_at = excluded.updated_at,
      started_at = excluded.started_at
    where c.owner_run_id is null
      or c.owner_run_id = excluded.owner_run_id
      or coalesce(
        (select r.attempt from absurd.%4$I as r where r.run_id = c.owner_run_id), 0
      ) <= (select r.attempt from absurd.%4$I as r where r.run_id = excluded.owner_run_id)
  )
  select
    item.task_id,
    item.step_name,
    item.error_code,
    case item.error_code
      when '22023' then 'Step name must be provided, and the run must be of the task'
      when 'P0002' then format('Run "%%s" not found', item.run_id)
      when 'AB001' then 'Task has been cancelled'
      when 'AB002' then format('Run "%%s" has already failed', item.run_id)
    end
  from item
  order by item.ordinality;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.set_task_checkpoint_states (
  p_queue_name text, p_checkpoints jsonb
)
  returns table (
    task_id uuid, step_name text, error_code text, error_message text
  ) language plpgsql volatile as $$
-- Saves many checkpoints at once, each with the semantics of set_task_checkpoint_state. An addition
-- to the contract.
--   p_checkpoints  an array of {task_id, step_name, state, owner_run, extend_claim_by, started_at};
--                  of two for the same step the last one counts; started_at may be absent
--   Returns        a row a checkpoint, in the order of the array: error_code is null when it is
--                  saved, else the SQLSTATE that the single call would have raised.
--   Raises         22023 when p_checkpoints is not an array, P0002 for an unknown queue.
--   Locks          the runs in the order of their ids.
begin
  perform absurd._require_queue(p_queue_name);
  perform absurd._require_array(p_checkpoints, 'Checkpoints');

  return query execute format(
    'select * from %1$s($1)', absurd._queue_function('keep', p_queue_name)
  )
  using p_checkpoints;
end;
$$;

create or replace function absurd.get_task_checkpoint_state (
  p_queue_name text, p_task_id uuid, p_step_name text, p_include_pending boolean default false
)
  returns table (
    checkpoint_name text, state jsonb, status text, owner_run_id uuid, updated_at timestamptz
  ) language plpgsql volatile as $$
-- One checkpoint of a task.
--   p_include_pending  also one that is not committed
--   Returns            a row, or none.
--   Raises             P0002 unknown queue.
begin
  perform absurd._require_queue(p_queue_name);

  return query execute format($sql$
    select c.checkpoint_name, c.state, c.status, c.owner_run_id, c.updated_at
    from absurd.%1$I as c
    where c.task_id = $1
      and c.checkpoint_name = $2
      and (c.status = 'committed' or $3)
  $sql$, 'c_' || p_queue_name)
  using p_task_id, p_step_name, coalesce(p_include_pending, false);
end;
$$;

create or replace function absurd.get_task_checkpoint_states (
  p_queue_name text, p_task_id uuid, p_run_id uuid
)
  returns table (
    checkpoint_name text, state jsonb, status text, owner_run_id uuid, updated_at timestamptz
  ) language plpgsql volatile as $$
-- The committed checkpoints of a task that a run may see: not those that a later attempt owns.
--   Returns  the checkpoints, oldest first.
--   Raises   P0002 unknown queue or run, 22023 when the run does not belong to the task.
declare
  v_run_task_id uuid;
begin
  perform absurd._require_queue(p_queue_name);

  execute format('select r.task_id from absurd.%1$I as r where r.run_id = $1',
    'r_' || p_queue_name)
  into v_run_task_id using p_run_id;

  if v_run_task_id is null then
    raise exception 'Run "%" not found in queue "%"', p_run_id, p_queue_name
      using errcode = 'no_data_found';
  elsif v_run_task_id is distinct from p_task_id then
    raise exception 'Run "%" does not belong to task "%"', p_run_id, p_task_id
      using errcode = 'invalid_parameter_value';
  end if;

  return query
  select seen.checkpoint_name, seen.state, 'committed'::text, seen.owner_run_id, seen.updated_at
  from absurd.get_run_checkpoints(p_queue_name, array[p_run_id]) as seen
  order by seen.updated_at, seen.checkpoint_name;
end;
$$;

create or replace function absurd._load_template ()
  returns text language sql immutable as $template$
-- The template of "load:<queue>": the committed checkpoints that runs may see.
select $create$
create or replace function absurd.%1$I (
  p_run_ids uuid[]
)
  returns table (
    run_id uuid,
    checkpoint_name text,
    state jsonb,
    owner_run_id uuid,
    updated_at timestamptz
  )
  language plpgsql
  volatile
  %2$s
  -- Few rows are sorted, and no index has this order.
  set enable_sort = on
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
#variable_conflict use_column
begin
  return query
  select r.run_id, c.checkpoint_name, c.state, c.owner_run_id, c.updated_at
  from (select distinct unnest(p_run_ids) as run_id) as asked
  -- "offset 0": looked up by its key, whatever the queue held when this was planned. To walk
  -- through an empty table looks cheaper than a hundred look-ups.
  cross join lateral (
    select run.run_id, run.task_id, run.attempt
    from absurd.%4$I as run
    where run.run_id = asked.run_id
    offset 0
  ) as r
  cross join lateral (
    select saved.checkpoint_name, saved.state, saved.owner_run_id, saved.updated_at
    from absurd.%5$I as saved
    where saved.task_id = r.task_id
      and saved.status = 'committed'
    offset 0
  ) as c
  where coalesce(
    (select owner.attempt from absurd.%4$I as owner where owner.run_id = c.owner_run_id),
    0
  ) <= r.attempt
  order by r.run_id, c.updated_at, c.checkpoint_name;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.get_run_checkpoints (p_queue_name text, p_run_ids uuid[])
  returns table (
    run_id uuid, checkpoint_name text, state jsonb, owner_run_id uuid, updated_at timestamptz
  ) language plpgsql volatile as $$
-- The result of get_task_checkpoint_states for many runs in one call. An addition to the contract.
--   Returns  a row a checkpoint and run, oldest first within each run; unknown runs have none.
--   Raises   P0002 unknown queue.
begin
  perform absurd._require_queue(p_queue_name);

  return query execute format(
    'select * from %1$s($1)', absurd._queue_function('load', p_queue_name)
  )
  using p_run_ids;
end;
$$;


-- =================================================================================================
-- 11. EVENTS
-- An event is a row: awaited, its payload is SQL null and its time 'epoch'; emitted, it keeps its
-- first payload (an emitted null is JSON null). await_event locks that row shared before it reads
-- it, and emit_event locks it exclusively, so no order of the two loses a wake-up.
-- =================================================================================================

create or replace function absurd.await_event (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_step_name text, p_event_name text,
  p_timeout integer default null
)
  returns table (should_suspend boolean, payload jsonb) language plpgsql volatile as $$
-- Waits for an event as a step of a task, or takes what was emitted already. In this order: a
-- checkpoint of the step answers at once; an emitted event is stored as that checkpoint; a wake-up
-- by this event's timeout is answered with nothing; else the run goes to sleep.
--   p_timeout  seconds; null: no limit
--   Returns    should_suspend, and the payload: SQL null only for a suspension or a timeout.
--   Raises     22023 blank event or step, negative timeout; P0002 unknown run or queue; AB001
--              cancelled task; AB002 failed run; 55000 run not running.
--   Locks      the event shared, then the run, then the task.
declare
  v_run record;
  v_checkpoint record;
  v_payload jsonb;
  v_timeout_at timestamptz;
begin
  perform absurd._require_text(p_event_name, 'Event name');
  if p_timeout < 0 then
    raise exception 'Timeout must not be negative, it is %', p_timeout
      using errcode = 'invalid_parameter_value';
  end if;
  perform absurd._require_text(p_step_name, 'Step name');
  perform absurd._require_queue(p_queue_name);

  select c.state
  into v_checkpoint
  from absurd.get_task_checkpoint_state(p_queue_name, p_task_id, p_step_name, true) as c;
  if found then
    return query select false, coalesce(v_checkpoint.state, 'null');
    return;
  end if;

  v_payload := absurd._lock_event(p_queue_name, p_event_name);
  v_run := absurd._lock_run(p_queue_name, p_run_id, '{running}', 'step', p_task_id);

  if v_payload is not null then
    perform absurd._save_wait(p_queue_name, p_task_id, p_run_id, p_step_name, v_payload, null);
    return query select false, v_payload;
  elsif v_run.wake_event = p_event_name and v_run.event_payload is null then
    perform absurd._forget_wake_up(p_queue_name, p_run_id);
    return query select false, null::jsonb;
  else
    v_timeout_at := absurd.current_time() + make_interval(secs => p_timeout);
    execute format($sql$
      insert into absurd.%1$I as w (task_id, run_id, step_name, event_name, timeout_at, created_at)
      values ($1, $2, $3, $4, $5, absurd.current_time())
      on conflict (run_id, step_name) do update
      set
        task_id = excluded.task_id,
        event_name = excluded.event_name,
        timeout_at = excluded.timeout_at,
        created_at =
          case w.event_name when excluded.event_name then w.created_at else excluded.created_at end
    $sql$, 'w_' || p_queue_name)
    using p_task_id, p_run_id, p_step_name, p_event_name, v_timeout_at;
    perform absurd._suspend_run(
      p_queue_name, p_task_id, p_run_id, coalesce(v_timeout_at, 'infinity'), p_event_name
    );
    return query select true, null::jsonb;
  end if;
end;
$$;

create or replace function absurd._lock_event (p_queue_name text, p_event_name text)
  returns jsonb language plpgsql volatile as $$
-- Locks an event for a caller that awaits it. If the event has no row yet, it gets one.
--   Returns  the payload; null when it was not emitted yet.
--   Locks    the event, shared: runs that await the same event do not block each other.
declare
  v_event record;
begin
  -- At most twice, unless cleanup deletes the row between the two statements.
  loop
    execute format(
      'select e.event_name, e.payload from absurd.%1$I as e where e.event_name = $1 for share',
      'e_' || p_queue_name
    )
    into v_event using p_event_name;
    exit when v_event.event_name is not null;

    execute format($sql$
      insert into absurd.%1$I (event_name, payload, emitted_at)
      values ($1, null, 'epoch')
      on conflict (event_name) do nothing
    $sql$, 'e_' || p_queue_name)
    using p_event_name;
  end loop;
  return v_event.payload;
end;
$$;

create or replace function absurd._forget_wake_up (p_queue_name text, p_run_id uuid)
  returns void language plpgsql volatile as $$
-- Clears the wake-up of a run that has learned of its timeout.
begin
  execute format(
    'update absurd.%1$I as r set wake_event = null where r.run_id = $1', 'r_' || p_queue_name
  )
  using p_run_id;
end;
$$;

create or replace function absurd._suspend_run (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_until timestamptz, p_event_name text
)
  returns void language plpgsql volatile as $$
-- Puts a run that waits to sleep, and its task.
--   p_event_name  the event of which it learns the timeout when it wakes; null for none
--   Locks    the task.
begin
  execute format($sql$
    update absurd.%1$I as r
    set
      state = 'sleeping',
      claimed_by = null,
      claim_expires_at = null,
      available_at = $2,
      wake_event = $3,
      event_payload = null
    where r.run_id = $1
  $sql$, 'r_' || p_queue_name)
  using p_run_id, p_until, p_event_name;
  perform absurd._set_task_state(p_queue_name, p_task_id, 'sleeping');
end;
$$;

create or replace function absurd._emit_template ()
  returns text language sql immutable as $template$
-- The template of "emit:<queue>": keeps an event, and wakes the runs that wait for it.
select $create$
create or replace function absurd.%1$I (
  p_event_name text,
  p_payload jsonb
)
  returns void
  language plpgsql
  volatile
  %2$s
  -- Rows are locked in the order of their ids: that sort must not become a walk through all.
  set enable_sort = on
as $a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
declare
  v_now timestamptz := absurd.current_time();
  v_run_ids uuid[];
  v_late_ids uuid[];
begin
  insert into absurd.%6$I as e (event_name, payload, emitted_at)
  values (p_event_name, p_payload, v_now)
  on conflict (event_name) do update
  set payload = excluded.payload, emitted_at = excluded.emitted_at
  where e.payload is null;

  if not found then
    return;
  end if;

  v_run_ids := array(
    select w.run_id
    from absurd.%7$I as w
    where w.event_name = p_event_name
      and (w.timeout_at is null or w.timeout_at > v_now)
  );

  if cardinality(v_run_ids) > 0 then
    v_run_ids := array(
      with locked_run as materialized (
        select r.run_id, r.state
        from absurd.%4$I as r
        where r.run_id = any (v_run_ids)
        order by r.run_id
        for update
      )
      select locked_run.run_id
      from locked_run
      where locked_run.state = 'sleeping'
    );

    insert into absurd.%5$I as c (
      task_id, checkpoint_name, state, status, owner_run_id, updated_at, started_at
    )
    select distinct on (w.task_id, w.step_name)
      w.task_id, w.step_name, p_payload, 'committed', w.run_id, v_now, w.created_at
    from absurd.%7$I as w
    where w.event_name = p_event_name
      and w.run_id = any (v_run_ids)
      and (w.timeout_at is null or w.timeout_at > v_now)
    order by w.task_id, w.step_name, w.run_id desc
    on conflict (task_id, checkpoint_name) do update
    set
      state = excluded.state,
      status = excluded.status,
      owner_run_id = excluded.owner_run_id,
      updated_at = excluded.updated_at,
      started_at = excluded.started_at;

    with woken_run as (
      update absurd.%4$I as r
      set
        state = 'pending',
        available_at = v_now,
        event_payload = p_payload,
        wake_event = null,
        claimed_by = null,
        claim_expires_at = null
      where r.run_id = any (v_run_ids)
      returning r.task_id
    ),
    locked_task as materialized (
      select t.task_id
      from absurd.%3$I as t
      where t.task_id in (select woken_run.task_id from woken_run)
        and t.state in ('pending', 'running', 'sleeping')
      order by t.task_id
      for update
    )
    update absurd.%3$I as t
    set state = 'pending'
    from locked_task
    where t.task_id = locked_task.task_id;

    delete from absurd.%7$I as w
    where w.event_name = p_event_name and w.run_id = any (v_run_ids);
  end if;

  v_late_ids := array(
    select w.run_id
    from absurd.%7$I as w
    where w.event_name = p_event_name and w.timeout_at <= v_now
  );

  -- A claim that takes such a run deletes its wait, too, and must not have to wait for us: it skips
  -- locked runs. A run that another session has locked keeps its wait; a wait without a run is
  -- deleted.
  if cardinality(v_late_ids) > 0 then
    v_late_ids := array(
      select r.run_id
      from absurd.%4$I as r
      where r.run_id = any (v_late_ids)
      for update skip locked
    ) || array(
      select late.run_id
      from unnest(v_late_ids) as late (run_id)
      left join absurd.%4$I as r on r.run_id = late.run_id
      where r.run_id is null
    );

    delete from absurd.%7$I as w
    where w.event_name = p_event_name
      and w.timeout_at <= v_now
      and w.run_id = any (v_late_ids);
  end if;
end;
$a_tag_longer_than_the_57_bytes_that_a_queue_name_may_have_at_most$
$create$
$template$;

create or replace function absurd.emit_event (
  p_queue_name text, p_event_name text, p_payload jsonb default null
)
  returns void language plpgsql volatile as $$
-- Emits an event. The first emission wins; a later one changes nothing and wakes no run. Every run
-- that sleeps in a wait for it, and whose timeout has not passed, becomes pending with the payload
-- as the checkpoint of its waiting step.
--   p_payload  any JSON; null becomes JSON null
--   Raises     22023 blank event, P0002 unknown queue.
--   Locks      the event, then the runs it wakes in the order of their ids, then their tasks; and
--              those of the runs whose timeout has passed that are free.
begin
  perform absurd._require_text(p_event_name, 'Event name');
  perform absurd._require_queue(p_queue_name);
  execute format('select %1$s($1, $2)', absurd._queue_function('emit', p_queue_name))
  using p_event_name, coalesce(p_payload, 'null');
end;
$$;

create or replace function absurd.await_events (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_waits jsonb
)
  returns table (should_suspend boolean, results jsonb) language plpgsql volatile as $$
-- Waits for several events and moments at once, each as a step of its own. If something has ended
-- already, it is returned and the run continues. If nothing has, the run sleeps until the first of
-- them ends; the others stay registered until the run awaits them again or ends. An addition to
-- the contract.
--   p_waits  an array of {"step", "event", "timeout"} (seconds; absent or null: no limit), {"step",
--            "sleep_until"} and {"step", "tasks", "mode"} (as in await_tasks; mode: all when
--            absent); a sleep leaves a checkpoint of its step: the moment, in UTC
--   Returns  should_suspend, and an array of what has ended, in the order of p_waits: {"step",
--            "event", "payload", "at"}, {"step", "event", "timed_out", "at"}, {"step",
--            "sleep_until", "at"} or {"step", "tasks", "at"}, the tasks as in _task_outcomes. It is
--            empty for a suspension.
--   Raises   22023 bad waits, P0002 unknown run or queue, AB001 cancelled task, AB002 failed run,
--            55000 run not running, or a wait that would close a cycle. As in await_event, a
--            checkpoint answers first, whatever the run's state.
--   Locks    the events shared, in the order of their names, then the awaited tasks, their waits,
--            the run, and its task.
declare
  v_now timestamptz := absurd.current_time();
  v_steps text[];
  v_events text[];
  v_ends timestamptz[];
  v_tasks jsonb[];
  v_modes text[];
  v_event text;
  v_payload jsonb;
  v_payloads jsonb := '{}';
  v_run record;
  v_running boolean;
  v_ended jsonb;
  v_results jsonb := '[]';
  v_wake_at timestamptz;
begin
  select array_agg(w.step order by w.place), array_agg(w.event order by w.place),
    array_agg(w.ends_at order by w.place), array_agg(w.tasks order by w.place),
    array_agg(w.mode order by w.place)
  into v_steps, v_events, v_ends, v_tasks, v_modes
  from absurd._read_waits(p_waits, v_now) as w;
  perform absurd._require_queue(p_queue_name);

  for v_event in select distinct e.event from unnest(v_events) as e (event) order by e.event loop
    if v_event is not null then
      v_payload := absurd._lock_event(p_queue_name, v_event);
      if v_payload is not null then
        v_payloads := v_payloads || jsonb_build_object(v_event, v_payload);
      end if;
    end if;
  end loop;
  perform absurd._lock_task_waits(
    p_queue_name, p_task_id, p_run_id, v_steps, v_tasks, v_modes, null
  );
  v_run := absurd._lock_run(p_queue_name, p_run_id, null, 'step', p_task_id);
  v_running := v_run.run_state = 'running' and v_run.task_state <> 'cancelled';

  for v_place in 1 .. cardinality(v_steps) loop
    if v_tasks[v_place] is null then
      v_ended := absurd._ended_wait(p_queue_name, p_task_id, p_run_id, v_steps[v_place],
        v_events[v_place], v_ends[v_place], v_payloads -> v_events[v_place], v_running);
    else
      v_ended := absurd._ended_task_wait(p_queue_name, p_task_id, p_run_id, v_steps[v_place],
        v_tasks[v_place], v_modes[v_place], v_running);
    end if;
    if v_ended is null and v_running and v_run.wake_event = v_events[v_place]
      and v_run.event_payload is null
    then
      perform absurd._forget_wake_up(p_queue_name, p_run_id);
      v_ended := jsonb_build_object('timed_out', true, 'at', v_now);
    end if;
    if v_ended is not null then
      v_results := v_results || jsonb_build_array(v_ended || jsonb_strip_nulls(
        jsonb_build_object('step', v_steps[v_place], 'event', v_events[v_place])));
    end if;
  end loop;

  if jsonb_array_length(v_results) > 0 then
    return query select false, v_results;
    return;
  end if;
  -- Only now: what has ended is answered whatever the run's state.
  perform absurd._lock_run(p_queue_name, p_run_id, '{running}', 'step', p_task_id);

  -- A run that a timeout wakes finds the event's name, as after await_event; one that a sleep wakes
  -- must not find any. A run that only an emission can wake says what it waits for.
  select w.event, w.ends_at
  into v_event, v_wake_at
  from unnest(v_events, v_ends) with ordinality as w (event, ends_at, place)
  order by w.ends_at, w.event is not null, w.place
  limit 1;
  execute format($sql$
    insert into absurd.%1$I as w (task_id, run_id, step_name, event_name, timeout_at, created_at)
    select $1, $2, wait.step, wait.event, nullif(wait.ends_at, 'infinity'), $6
    from unnest($3, $4, $5) as wait (step, event, ends_at)
    where wait.event is not null
    on conflict (run_id, step_name) do update
    set
      task_id = excluded.task_id,
      event_name = excluded.event_name,
      timeout_at = excluded.timeout_at,
      created_at =
        case w.event_name when excluded.event_name then w.created_at else excluded.created_at end
  $sql$, 'w_' || p_queue_name)
  using p_task_id, p_run_id, v_steps, v_events, v_ends, v_now;
  perform absurd._suspend_run(p_queue_name, p_task_id, p_run_id, v_wake_at, v_event);
  if array_remove(v_tasks, null) <> '{}' then
    perform absurd._refuse_cycle(p_queue_name, p_task_id, (
      select coalesce(jsonb_agg(task.value), '[]')
      from unnest(v_tasks) as given (tasks)
      cross join lateral jsonb_array_elements(given.tasks) as task
    ));
  end if;
  return query select true, '[]'::jsonb;
end;
$$;

create or replace function absurd._read_waits (p_waits jsonb, p_now timestamptz)
  returns table (
    place bigint, step text, event text, ends_at timestamptz, tasks jsonb, mode text
  ) language plpgsql volatile as $$
-- Reads the waits of await_events.
--   Returns  a row a wait: its place, step, event, tasks and mode (null for others), and when it
--            ends without an event ('infinity': never), or is to be looked at again for tasks.
--   Raises   22023 unless it is an array of waits, each of a step of its own.
declare
  v_wait jsonb;
  v_seen text[] := '{}';
begin
  perform absurd._require_array(p_waits, 'The waits');
  if p_waits = '[]' then
    raise exception 'At least one wait must be provided'
      using errcode = 'invalid_parameter_value';
  end if;

  for v_wait, place in select w.* from jsonb_array_elements(p_waits) with ordinality as w loop
    v_wait := absurd._require_object(v_wait, 'A wait');
    step := v_wait ->> 'step';
    event := v_wait ->> 'event';
    tasks := nullif(v_wait -> 'tasks', 'null');
    mode := case when tasks is not null then coalesce(v_wait ->> 'mode', 'all') end;
    perform absurd._require_text(step, 'Step name');
    if step = any (v_seen) then
      raise exception 'Step "%" waits twice', step
        using errcode = 'invalid_parameter_value';
    elsif num_nonnulls(event, v_wait ->> 'sleep_until', tasks) <> 1 then
      raise exception 'Step "%" must wait for either an event, a moment or tasks', step
        using errcode = 'invalid_parameter_value';
    end if;
    v_seen := v_seen || step;

    if tasks is not null then
      perform absurd._require_await(step, tasks, mode, null);
      ends_at := p_now + interval '1 minute';
    elsif event is null then
      ends_at := (v_wait ->> 'sleep_until')::timestamptz;
      if ends_at not between '0001-01-02 00:00Z' and '9999-12-30 00:00Z' then
        raise exception 'Step "%" cannot sleep until %', step, ends_at
          using errcode = 'invalid_parameter_value';
      end if;
    else
      perform absurd._require_text(event, 'Event name');
      ends_at := 'infinity';
      if v_wait ->> 'timeout' is not null then
        ends_at := p_now + make_interval(secs => absurd._read_seconds(v_wait -> 'timeout'));
        if ends_at is null then
          raise exception 'Timeout must be a number of seconds and not negative, it is %',
            v_wait -> 'timeout'
            using errcode = 'invalid_parameter_value';
        end if;
      end if;
    end if;
    return next;
  end loop;
end;
$$;

create or replace function absurd._ended_wait (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_step_name text, p_event_name text,
  p_ends_at timestamptz, p_payload jsonb, p_running boolean
)
  returns jsonb language plpgsql volatile as $$
-- Whether one wait of await_events has ended: its event was emitted or its moment has come. Keeps
-- that, or the moment of a sleep that begins, as the checkpoint of its step.
--   p_payload  what was emitted; null when nothing was
--   p_running  whether the run may write
--   Returns    {"payload", "at"} or {"sleep_until", "at"}; null while the wait continues.
--   Locks      the run.
declare
  v_checkpoint record;
begin
  select c.checkpoint_name, c.state, c.updated_at
  into v_checkpoint
  from absurd.get_task_checkpoint_state(p_queue_name, p_task_id, p_step_name, true) as c;

  if v_checkpoint.checkpoint_name is null and p_running then
    if p_event_name is null then
      p_payload := to_jsonb(
        to_char(p_ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      );
    end if;
    if p_payload is not null then
      perform absurd._save_wait(p_queue_name, p_task_id, p_run_id, p_step_name, p_payload, null);
      select c.checkpoint_name, c.state, c.updated_at
      into v_checkpoint
      from absurd.get_task_checkpoint_state(p_queue_name, p_task_id, p_step_name, true) as c;
    end if;
  end if;

  if p_event_name is null then
    if p_running and p_ends_at <= absurd.current_time() then
      return jsonb_build_object('sleep_until', p_ends_at, 'at', p_ends_at);
    end if;
  elsif v_checkpoint.checkpoint_name is not null then
    return jsonb_build_object(
      'payload', coalesce(v_checkpoint.state, 'null'),
      'at', v_checkpoint.updated_at
    );
  end if;
  return null;
end;
$$;

create or replace function absurd._save_wait (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_step_name text, p_state jsonb,
  p_began_at timestamptz
)
  returns void language plpgsql volatile as $$
-- Stores how a wait ended, or that a sleep began, as the checkpoint of its step.
--   p_began_at  when the wait began; null for one that is registered for an event, or begins now
begin
  if p_began_at is null then
    execute format(
      'select w.created_at from absurd.%1$I as w where w.run_id = $1 and w.step_name = $2',
      'w_' || p_queue_name
    )
    into p_began_at
    using p_run_id, p_step_name;
  end if;
  perform absurd.set_task_checkpoint_states(
    p_queue_name,
    jsonb_build_array(
      jsonb_build_object(
        'task_id', p_task_id,
        'step_name', p_step_name,
        'state', p_state,
        'owner_run', p_run_id,
        'started_at', coalesce(p_began_at, absurd.current_time())
      )
    )
  );
end;
$$;


-- =================================================================================================
-- 12. CLEANUP
-- Finished tasks and old events are deleted, oldest first and a batch at a time, so that a call
-- never takes long. Tasks that completed or failed are found through r_<queue>_end, cancelled ones
-- through t_<queue>_can, events through e_<queue>_eai: the cost of a batch does not depend on the
-- size of the queue. Locked tasks are left for the next call.
-- =================================================================================================

create or replace function absurd._time_ago (p_interval interval)
  returns timestamptz language sql volatile as $$
-- The time an interval ago, for an interval of any length.
--   Returns  -infinity if that is before the beginning of the calendar.
  select
    case
      when p_interval > interval '5000 years' then timestamptz '-infinity'
      else absurd.current_time() - p_interval
    end
$$;

create or replace function absurd._require_cleanup (
  p_queue_name text, p_ttl_seconds integer, p_limit integer
)
  returns integer language plpgsql volatile as $$
-- Checks the arguments of a cleanup.
--   Returns  the limit; null becomes 1000.
--   Raises   22023 for a null or negative ttl and a limit below 1, P0002 for an unknown queue.
begin
  perform absurd._require_queue(p_queue_name);

  if p_ttl_seconds is null or p_ttl_seconds < 0 then
    raise exception 'The ttl must be a number of seconds >= 0, not %',
        coalesce(p_ttl_seconds::text, 'null') using errcode = 'invalid_parameter_value';
  end if;

  if p_limit < 1 then
    raise exception 'The limit must be at least 1, not %', p_limit
      using errcode = 'invalid_parameter_value';
  end if;

  return coalesce(p_limit, 1000);
end;
$$;

create or replace function absurd.cleanup_tasks (
  p_queue_name text, p_ttl_seconds integer, p_limit integer default 1000
)
  returns integer language plpgsql volatile as $$
-- Deletes the oldest tasks that ended before the ttl, with all their rows.
--   p_limit  at most this many; null: 1000
--   Returns  how many tasks went.
--   Raises   22023 for a bad ttl or limit, P0002 for an unknown queue.
--   Locks    the tasks it deletes; it skips locked ones.
declare
  v_limit integer := absurd._require_cleanup(p_queue_name, p_ttl_seconds, p_limit);
begin
  return absurd._cleanup_tasks(
    p_queue_name, absurd._time_ago(make_interval(secs => p_ttl_seconds)), v_limit
  );
end;
$$;

create or replace function absurd.cleanup_events (
  p_queue_name text, p_ttl_seconds integer, p_limit integer default 1000
)
  returns integer language plpgsql volatile as $$
-- Deletes the oldest events that were emitted before the ttl. Events that are awaited and not
-- emitted yet stay.
--   p_limit  at most this many; null: 1000
--   Returns  how many events went.
--   Raises   22023 for a bad ttl or limit, P0002 for an unknown queue.
--   Locks    the events it deletes; it skips locked ones.
declare
  v_limit integer := absurd._require_cleanup(p_queue_name, p_ttl_seconds, p_limit);
begin
  return absurd._cleanup_events(
    p_queue_name, absurd._time_ago(make_interval(secs => p_ttl_seconds)), v_limit
  );
end;
$$;

create or replace function absurd.cleanup_all_queues (p_queue_name text default null)
  returns table (
    queue_name text, tasks_deleted integer, events_deleted integer
  ) language plpgsql volatile as $$
-- Cleans up one batch a queue, by each queue's own policy.
--   p_queue_name  null for all queues
--   Returns       a row a queue, in the order of their names.
--   Raises        P0002 for an unknown queue.
--   Locks         the tasks and events it deletes.
declare
  v_queue record;
begin
  if p_queue_name is not null then
    perform absurd._require_queue(p_queue_name);
  end if;

  for v_queue in
    select q.queue_name as name, q.cleanup_limit as batch, absurd._time_ago(q.cleanup_ttl) as before
    from absurd.queues as q
    where p_queue_name is null
      or q.queue_name = p_queue_name
    order by q.queue_name
  loop
    queue_name := v_queue.name;
    tasks_deleted := absurd._cleanup_tasks(v_queue.name, v_queue.before, v_queue.batch);
    events_deleted := absurd._cleanup_events(v_queue.name, v_queue.before, v_queue.batch);
    return next;
  end loop;

  -- The jobs of pg_cron call this function regularly: so schedules fire in queues that no worker
  -- claims from, too.
  perform absurd._cleanup_own_tables(p_queue_name);
  if absurd._may_fire_schedules() then
    perform absurd.fire_schedules(p_queue_name);
  end if;
end;
$$;

create or replace function absurd._cleanup_tasks (
  p_queue_name text, p_before timestamptz, p_limit integer
)
  returns integer language plpgsql volatile
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
-- Deletes up to p_limit tasks that ended before a moment. The SET clauses keep the planner on the
-- indexes that have the order of the batch: it expects so few rows from the join that it would read
-- all ended tasks and sort them.
--   Returns  how many tasks went.
--   Locks    the tasks it deletes; it skips locked ones.
declare
  v_task_ids uuid[] := absurd._lock_ended_tasks(p_queue_name, p_before, p_limit);
  v_table_name text;
begin
  if cardinality(v_task_ids) = 0 then
    return 0;
  end if;

  -- The runs first: a session that saves a step holds the run, so after that its checkpoint is
  -- visible. Only a partitioned queue has the table of keys.
  foreach v_table_name in array array[
    'r_' || p_queue_name,
    'w_' || p_queue_name,
    'c_' || p_queue_name,
    'i_' || p_queue_name,
    't_' || p_queue_name
  ] loop
    if v_table_name <> 'i_' || p_queue_name
      or to_regclass(format('absurd.%I', v_table_name)) is not null
    then
      execute format('delete from absurd.%1$I as old where old.task_id = any ($1)', v_table_name)
      using v_task_ids;
    end if;
  end loop;
  perform absurd._forget_waits_of_tasks(v_task_ids);

  return cardinality(v_task_ids);
end;
$$;

create or replace function absurd._lock_ended_tasks (
  p_queue_name text, p_before timestamptz, p_limit integer
)
  returns uuid[] language plpgsql volatile as $$
-- Finds the tasks that ended first, and locks them.
--   Returns  up to p_limit ids, oldest first.
--   Locks    the tasks; it skips locked ones.
declare
  v_task_ids uuid[];
begin
  execute format($sql$
    with finished_task as materialized (
      select t.task_id, coalesce(r.completed_at, r.failed_at) as ended_at
      from absurd.%2$I as r
      join absurd.%1$I as t on t.task_id = r.task_id
      where r.state in ('completed', 'failed')
        and coalesce(r.completed_at, r.failed_at) < $1
        and t.last_attempt_run = r.run_id
        and t.state in ('completed', 'failed')
      order by coalesce(r.completed_at, r.failed_at)
      limit $2
      for update of t skip locked
    ),
    cancelled_task as materialized (
      select t.task_id, t.cancelled_at as ended_at
      from absurd.%1$I as t
      where t.cancelled_at is not null and t.cancelled_at < $1 and t.state = 'cancelled'
      order by t.cancelled_at
      limit $2
      for update of t skip locked
    )
    select array(
      select ended.task_id
      from (
        select * from finished_task
        union all
        select * from cancelled_task
      ) as ended
      order by ended.ended_at, ended.task_id
      limit $2
    )
  $sql$, 't_' || p_queue_name, 'r_' || p_queue_name)
  into v_task_ids using p_before, p_limit;

  return v_task_ids;
end;
$$;

create or replace function absurd._cleanup_events (
  p_queue_name text, p_before timestamptz, p_limit integer
)
  returns integer language plpgsql volatile
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set max_parallel_workers_per_gather = 0
  set jit = off
as $$
-- Deletes up to p_limit events that were emitted before a moment.
--   Returns  how many events went.
--   Locks    the events it deletes; it skips locked ones.
declare
  v_rows integer;
begin
  execute format($sql$
    with old_event as materialized (
      select e.event_name
      from absurd.%1$I as e
      where e.payload is not null
        -- Awaited events have the time 'epoch': they come first in the index and are skipped at
        -- once.
        and e.emitted_at > timestamptz 'epoch'
        and e.emitted_at < $1
      order by e.emitted_at
      limit $2
      for update skip locked
    )
    delete from absurd.%1$I as e
    where e.event_name = any (array(select old_event.event_name from old_event))
  $sql$, 'e_' || p_queue_name)
  using p_before, p_limit;
  get diagnostics v_rows = row_count;

  return v_rows;
end;
$$;


-- =================================================================================================
-- 13. PARTITIONS
-- A partitioned queue keeps tasks and checkpoints by the week of the task's id, runs and waits by
-- the week of the run's id. ensure_partitions makes the weeks around now, and moves rows that
-- already sit in the default partition into the week that it makes. list_detach_candidates lists
-- old weeks that are empty; once detached, drop_detached_partition drops them. The catalogs alone
-- say which partition belongs to which table.
-- =================================================================================================

create or replace function absurd._default_partition (p_parent_table text)
  returns text language sql stable as $$
-- The default partition of a table.
--   Returns  its name without the schema; null if it has none.
  select c.relname::text
  from pg_catalog.pg_partitioned_table as parent
  join pg_catalog.pg_class as c on c.oid = parent.partdefid
  where parent.partrelid = to_regclass(format('absurd.%I', p_parent_table))
$$;

create or replace function absurd._has_rows (p_table_name text)
  returns boolean language plpgsql volatile as $$
-- Whether a table or partition holds a row.
declare
  v_found boolean;
begin
  execute format('select exists (select 1 from absurd.%1$I as any_row)', p_table_name) into v_found;
  return v_found;
end;
$$;

create or replace function absurd._wanted_partitions (p_queue_name text)
  returns table (
    parent_table text, partition_table text, lower_bound uuid, upper_bound uuid
  ) language plpgsql volatile as $$
-- The partitions that a queue should have by its policy.
--   Returns  a row a partition, the weeks first; the bounds are null for a default one. No row for
--            an unpartitioned queue.
--   Raises   22023 when the weeks span so many years that their tags would repeat.
declare
  v_queue absurd.queues := absurd._require_queue(p_queue_name);
  -- Everything in UTC: in the session's time zone a week can have 167 hours.
  v_now timestamp := absurd.current_time() at time zone 'UTC';
begin
  if v_queue.storage_mode <> 'partitioned' then
    return;
  end if;

  if v_queue.partition_lookback + v_queue.partition_lookahead > interval '9 years' then
    raise exception 'The partitions of queue "%" would span more than nine years', p_queue_name
      using
        errcode = 'invalid_parameter_value',
        hint = 'Lower partition_lookback or partition_lookahead with set_queue_policy.';
  end if;

  return query
  select
    letter.name || '_' || p_queue_name,
    letter.name || '_' || p_queue_name || '_'
      || absurd.partition_week_tag(week.start at time zone 'UTC'),
    absurd.uuidv7_floor(week.start at time zone 'UTC'),
    absurd.uuidv7_floor((week.start + interval '7 days') at time zone 'UTC')
  from generate_series(
    date_trunc('week', v_now - v_queue.partition_lookback),
    v_now + v_queue.partition_lookahead,
    interval '7 days'
  ) as week (start)
  cross join unnest(array['t', 'r', 'c', 'w']) as letter (name)
  order by week.start, letter.name;

  if v_queue.default_partition = 'enabled' then
    return query
    select
      letter.name || '_' || p_queue_name,
      letter.name || '_' || p_queue_name || '_d',
      null::uuid,
      null::uuid
    from unnest(array['t', 'r', 'c', 'w']) as letter (name)
    order by letter.name;
  end if;
end;
$$;

create or replace function absurd._has_partition (
  p_parent_table text, p_partition_table text, p_lower_bound uuid, p_upper_bound uuid
)
  returns boolean language plpgsql volatile as $$
-- Whether a partition is attached as it should be, by the catalogs alone.
--   Returns  true when it is; false when it has to be made (a table of its name that was a
--            partition once counts as missing).
--   Raises   42P07 when its name is taken by another queue's table, 55000 when it has other bounds
--            or its detaching was interrupted.
declare
  v_wanted text := format('FOR VALUES FROM (%L) TO (%L)', p_lower_bound, p_upper_bound);
  v_found record;
begin
  if p_lower_bound is null and absurd._default_partition(p_parent_table) is not null then
    return true;
  end if;

  select
    c.relkind,
    coalesce(h.inhdetachpending, false) as half_detached,
    h.inhparent as parent,
    pg_get_expr(c.relpartbound, c.oid) as bounds
  into v_found
  from pg_catalog.pg_class as c
  left join pg_catalog.pg_inherits as h on h.inhrelid = c.oid
  where c.oid = to_regclass(format('absurd.%I', p_partition_table));

  if not found then
    return false;
  end if;

  if v_found.parent is null and v_found.relkind = 'r'
    and not absurd._is_queue_table(p_partition_table)
  then
    return false;
  end if;

  if v_found.parent is distinct from to_regclass(format('absurd.%I', p_parent_table)) then
    raise exception 'The name absurd.% is taken by something that is not a partition of %',
        quote_ident(p_partition_table), quote_ident(p_parent_table)
      using
        errcode = 'duplicate_table',
        hint = 'Another queue''s tables have it: one of the two queues needs another name.';
  end if;

  if v_found.half_detached or v_found.bounds <> v_wanted then
    perform absurd._refuse_partition(p_parent_table, p_partition_table, v_found.half_detached);
  end if;
  return true;
end;
$$;

create or replace function absurd._refuse_partition (
  p_parent_table text, p_partition_table text, p_half_detached boolean
)
  returns void language plpgsql volatile as $$
-- Reports the fault of a partition that is attached.
--   Raises   55000, always.
begin
  if p_half_detached then
    raise exception 'Detaching absurd.% was interrupted', quote_ident(p_partition_table)
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = format(
          'Finish it with: alter table absurd.%I detach partition absurd.%I finalize',
          p_parent_table,
          p_partition_table
        );
  end if;

  raise exception 'Partition absurd.% has the bounds of another week',
      quote_ident(p_partition_table)
    using
      errcode = 'object_not_in_prerequisite_state',
      hint = 'Names come round every ten years: detach the old partition, then drop or rename it.';
end;
$$;

create or replace function absurd._is_queue_table (p_table_name text)
  returns boolean language sql stable as $$
-- Whether a name is that of a queue's table, and not of a partition.
  select
    p_table_name ~ '^[trcewi]_'
    and exists (select 1 from absurd.queues as q where q.queue_name = substr(p_table_name, 3))
$$;

create or replace function absurd._is_partition_name (p_table_name text)
  returns boolean language sql immutable as $$
-- Whether a name is that of a partition of some queue, which may no longer exist.
  select p_table_name ~ '^[trcw]_.+_([0-9]{3}|d)$'
$$;

create or replace function absurd._missing_partitions (p_queue_name text)
  returns table (
    parent_table text, partition_table text, lower_bound uuid, upper_bound uuid
  ) language plpgsql volatile as $$
-- The partitions that a queue should have and lacks, the weeks first.
--   Raises   what _has_partition raises.
begin
  return query
  select wanted.*
  from absurd._wanted_partitions(p_queue_name) as wanted
  where not absurd._has_partition(
    wanted.parent_table, wanted.partition_table, wanted.lower_bound, wanted.upper_bound
  );
end;
$$;

create or replace function absurd.ensure_partitions (p_queue_name text default null)
  returns void language plpgsql volatile as $$
-- Makes the partitions that partitioned queues lack: default partitions if enabled, and one for
-- each week from now - partition_lookback to now + partition_lookahead. Rows of such a week move
-- from the default partition to the new one. In a call for all queues, a queue whose partitions
-- cannot be made does not stop the others: it causes a warning, and an error if the others lack
-- nothing.
--   p_queue_name  null for all queues; an unpartitioned one has nothing to make
--   Raises        P0002 for an unknown queue, 42P07 and 55000 for a name that is taken, 55P03 when
--                 the tables stay busy.
--   Locks         nothing when nothing is missing; else the default partitions and their parents
--                 (not the weeks), and without default partitions nothing that a worker notices.
declare
  v_queue_name text;
  v_some_made boolean := false;
  v_failures text[] := '{}';
  v_sqlstate text;
begin
  if p_queue_name is not null then
    perform absurd._require_queue(p_queue_name);
  end if;

  for v_queue_name in
    select q.queue_name
    from absurd.queues as q
    where q.storage_mode = 'partitioned'
      and (p_queue_name is null or q.queue_name = p_queue_name)
    order by q.queue_name
  loop
    begin
      if exists (select 1 from absurd._missing_partitions(v_queue_name) as missing) then
        perform absurd._make_partitions(v_queue_name);
        v_some_made := true;
      end if;
    exception
      when others then
        if p_queue_name is not null then
          raise;
        end if;
        v_sqlstate := coalesce(v_sqlstate, sqlstate);
        v_failures := v_failures || format('queue "%s": %s', v_queue_name, sqlerrm);
    end;
  end loop;

  if v_some_made and v_sqlstate is not null then
    raise warning 'Partitions are missing: %', array_to_string(v_failures, '; ');
  elsif v_sqlstate is not null then
    -- 42P07, 55000 or 55P03, mostly: that of the first queue
    raise exception 'Partitions are missing: %', array_to_string(v_failures, '; ')
      using errcode = v_sqlstate;
  end if;
end;
$$;

create or replace function absurd._make_partitions (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Makes the missing partitions of one queue.
--   Raises   42P07 and 55000 for a name that is taken, 55P03 when the tables stay busy.
--   Locks    the default partitions and their parents; a parent that has none and gets none only
--            against other changes of its shape.
declare
  v_parents text[];
  v_defaults text[];
  v_wants_default boolean;
  v_missing record;
begin
  perform pg_advisory_xact_lock(hashtextextended('absurd.partitions:' || p_queue_name, 0));

  -- Checked again: another session may have made them by now.
  select
    array_agg(distinct format('only absurd.%I', missing.parent_table)),
    array_agg(distinct format('absurd.%I', absurd._default_partition(missing.parent_table)))
      filter (where absurd._default_partition(missing.parent_table) is not null),
    bool_or(missing.lower_bound is null)
  into v_parents, v_defaults, v_wants_default
  from absurd._missing_partitions(p_queue_name) as missing;

  -- An insert that waited only for the default partition would then put a row there that now
  -- belongs to a week, and fail. So if a default partition exists, inserts wait for the parent. If
  -- one is made, all sessions do: a session that looks at the partitions at that moment can see the
  -- default one and not yet that it is the default, which PostgreSQL reports as a broken catalog
  -- (XX000).
  if v_defaults is null and not v_wants_default then
    perform absurd._lock_tables(v_parents, 'share update exclusive');
  else
    perform absurd._lock_tables(v_parents || v_defaults, 'access exclusive');
  end if;

  for v_missing in
    select missing.parent_table, missing.partition_table, missing.lower_bound, missing.upper_bound
    from absurd._missing_partitions(p_queue_name) as missing
  loop
    perform absurd._make_partition(
      v_missing.parent_table,
      v_missing.partition_table,
      v_missing.lower_bound,
      v_missing.upper_bound
    );
  end loop;
end;
$$;

create or replace function absurd._make_partition (
  p_parent_table text, p_partition_table text, p_lower_bound uuid, p_upper_bound uuid
)
  returns void language plpgsql volatile as $$
-- Makes one partition, fills it with what the default partition holds of it, and attaches it, which
-- also gives it the indexes and triggers of its parent.
--   Raises   55000 when a table of its name is in the way.
--   Locks    the parent against other changes of its shape; the caller holds the default partition.
declare
  v_bounds text := 'default';
begin
  if to_regclass(format('absurd.%I', p_partition_table)) is not null then
    perform absurd._drop_leftover(p_parent_table, p_partition_table);
  end if;

  execute format(
    $ddl$
      create table absurd.%1$I (
        like absurd.%2$I including defaults including constraints including storage
      ) %3$s
    $ddl$,
    p_partition_table,
    p_parent_table,
    case when p_parent_table !~ '^w_' then 'with (fillfactor = 70)' end
  );

  if p_lower_bound is not null then
    v_bounds := format('for values from (%L) to (%L)', p_lower_bound, p_upper_bound);
    perform absurd._move_default_rows(
      p_parent_table, p_partition_table, p_lower_bound, p_upper_bound
    );
  end if;

  execute format(
    'alter table absurd.%1$I attach partition absurd.%2$I %3$s',
    p_parent_table,
    p_partition_table,
    v_bounds
  );
  perform absurd._share_reading(p_parent_table, p_partition_table);
end;
$$;

create or replace function absurd._share_reading (p_parent_table text, p_partition_table text)
  returns void language plpgsql volatile as $$
-- Gives the readers of a table the same right on its partition. Through the table they have it
-- anyway, but a query on the partition itself, such as whether it holds rows, needs a right on it.
declare
  v_reader text;
begin
  for v_reader in
    select
      case
        when acl.grantee = 0 then 'public'
        else quote_ident(pg_get_userbyid(acl.grantee))
      end
    from pg_catalog.pg_class as parent
    cross join aclexplode(parent.relacl) as acl
    where parent.oid = to_regclass(format('absurd.%I', p_parent_table))
      and acl.privilege_type = 'SELECT'
      and acl.grantee <> parent.relowner
  loop
    execute format('grant select on absurd.%1$I to %2$s', p_partition_table, v_reader);
  end loop;
end;
$$;

create or replace function absurd._drop_leftover (p_parent_table text, p_partition_table text)
  returns void language plpgsql volatile as $$
-- Drops a table that has the name of a partition to be made: one that was detached and forgotten.
--   Raises   55000 when it holds rows, or is no former partition by its columns.
--   Locks    the table.
declare
  v_leftover text := format('absurd.%I', p_partition_table);
  v_foreign_column text;
begin
  perform absurd._lock_tables(array[v_leftover], 'access exclusive');

  -- It may lack columns that its parent got later, but has none of its own.
  select a.attname
  into v_foreign_column
  from pg_catalog.pg_attribute as a
  where a.attrelid = to_regclass(v_leftover)
    and a.attnum > 0
    and not a.attisdropped
    and not exists (
      select 1
      from pg_catalog.pg_attribute as p
      where p.attrelid = to_regclass(format('absurd.%I', p_parent_table))
        and p.attname = a.attname
        and not p.attisdropped
    )
  limit 1;

  if v_foreign_column is not null or absurd._has_rows(p_partition_table) then
    raise exception 'Table % is in the way: it holds rows, or is no former partition of absurd.%',
        v_leftover, quote_ident(p_parent_table)
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = 'A partition has to be made by that name: attach it again, rename or drop it.';
  end if;

  execute format('drop table %1$s', v_leftover);
end;
$$;

create or replace function absurd._move_default_rows (
  p_parent_table text, p_partition_table text, p_lower_bound uuid, p_upper_bound uuid
)
  returns void language plpgsql volatile as $$
-- Moves the rows of a new partition out of the default one, if there is one.
--   Locks    nothing more: the caller holds the default partition.
declare
  v_default text := absurd._default_partition(p_parent_table);
  v_columns text;
  v_values text;
begin
  if v_default is null then
    return;
  end if;

  -- By name: the columns of the two tables may have different orders.
  select
    string_agg(format('%I', a.attname), ', ' order by a.attnum),
    string_agg(format('moved_row.%I', a.attname), ', ' order by a.attnum)
  into v_columns, v_values
  from pg_catalog.pg_attribute as a
  where a.attrelid = to_regclass(format('absurd.%I', p_partition_table))
    and a.attnum > 0
    and not a.attisdropped;

  execute format(
    $sql$
      with moved_row as (
        delete from absurd.%1$I as d
        where d.%3$I >= $1 and d.%3$I < $2
        returning d.*
      )
      insert into absurd.%2$I (%4$s)
      select %5$s
      from moved_row
    $sql$,
    v_default,
    p_partition_table,
    case when p_parent_table ~ '^[tc]_' then 'task_id' else 'run_id' end,
    v_columns,
    v_values
  )
  using p_lower_bound, p_upper_bound;
end;
$$;

create or replace function absurd._drop_default_partitions (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Drops the default partitions of a queue. Rows are never moved out of the way.
--   Raises   55000 when one holds rows, 55P03 when the tables stay busy.
--   Locks    the default partitions and their parents, before it looks for rows.
declare
  v_defaults text[];
  v_locks text[];
  v_filled text;
begin
  perform pg_advisory_xact_lock(hashtextextended('absurd.partitions:' || p_queue_name, 0));

  -- Parents alone, not their weeks: "lock table" would take those too.
  select
    array_agg(absurd._default_partition(parent.name)),
    array_agg(format('only absurd.%I', parent.name))
      || array_agg(format('absurd.%I', absurd._default_partition(parent.name)))
  into v_defaults, v_locks
  from (
    select letter.name || '_' || p_queue_name
    from unnest(array['t', 'r', 'c', 'w']) as letter (name)
  ) as parent (name)
  where absurd._default_partition(parent.name) is not null;

  if v_defaults is null then
    return;
  end if;
  perform absurd._lock_tables(v_locks, 'access exclusive');

  select d.name
  into v_filled
  from unnest(v_defaults) as d (name)
  where absurd._has_rows(d.name)
  limit 1;

  if v_filled is not null then
    raise exception 'Default partition absurd.% holds rows', quote_ident(v_filled)
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = 'Widen partition_lookback, call ensure_partitions to move them, or clean them up.';
  end if;

  -- Dropping a partition also detaches it.
  execute format(
    'drop table %1$s',
    (select string_agg(format('absurd.%I', d.name), ', ') from unnest(v_defaults) as d (name))
  );
end;
$$;

create or replace function absurd.list_detach_candidates (p_queue_name text default null)
  returns table (
    queue_name text, parent_table text, partition_table text
  ) language plpgsql volatile as $$
-- The weekly partitions that may be detached: those of queues with detach_mode empty that ended
-- longer ago than detach_min_age and hold no rows.
--   p_queue_name  null for all queues
--   Returns       names without the schema, by queue and parent, the oldest first.
begin
  return query
  select week.queue_name, week.parent_table, week.partition_table
  from (
    select
      q.queue_name,
      absurd._time_ago(q.detach_min_age) as before,
      parent.relname::text as parent_table,
      c.relname::text as partition_table,
      substring(
        pg_get_expr(c.relpartbound, c.oid)
        from 'TO [(]''([0-9a-f-]{36})''[)]'
      )::uuid as upper_bound
    from absurd.queues as q
    cross join unnest(array['t', 'r', 'c', 'w']) as letter (name)
    join pg_catalog.pg_class as parent
      on parent.oid = to_regclass(format('absurd.%I', letter.name || '_' || q.queue_name))
    join pg_catalog.pg_inherits as h
      on h.inhparent = parent.oid
      and not h.inhdetachpending
    join pg_catalog.pg_class as c
      on c.oid = h.inhrelid
      and c.relnamespace = parent.relnamespace
    where q.storage_mode = 'partitioned'
      and q.detach_mode = 'empty'
      and (p_queue_name is null or q.queue_name = p_queue_name)
  ) as week
  -- In a "case", because the planner could look for rows first. A default partition has no upper
  -- bound, and so is left out here.
  where case
      when absurd.uuidv7_timestamp(week.upper_bound) < week.before
        then not absurd._has_rows(week.partition_table)
    end
  order by week.queue_name, week.parent_table, week.upper_bound;
end;
$$;

create or replace function absurd.drop_detached_partition (
  p_partition_table text, p_unschedule_job_name text default null
)
  returns boolean language plpgsql volatile as $$
-- Drops a partition once it is detached. Called by the jobs of chapter 14 every minute until then,
-- but it works without pg_cron.
--   p_partition_table        its name without the schema
--   p_unschedule_job_name    the calling drop job; it is removed with its detach job
--   Returns  true when it was dropped; false when it is still attached or no longer there.
--   Raises   22023 for a table that is no former partition, 55000 when a job is to drop one that
--            holds rows (it was empty when the job was planned), 55P03 when it stays busy.
--   Locks    the partition, once it is detached.
declare
  v_attached boolean := absurd._is_attached(p_partition_table);
begin
  if v_attached then
    return false;
  elsif v_attached is null then
    perform absurd._unschedule_drop_job(p_unschedule_job_name);
    return false;
  end if;

  if not absurd._is_partition_name(p_partition_table)
    or absurd._is_queue_table(p_partition_table)
  then
    raise exception 'Table absurd.% is not a detached partition', quote_ident(p_partition_table)
      using errcode = 'invalid_parameter_value';
  end if;

  perform absurd._lock_tables(array[format('absurd.%I', p_partition_table)], 'access exclusive');
  if absurd._is_attached(p_partition_table) then
    return false;
  end if;

  if p_unschedule_job_name is not null and absurd._has_rows(p_partition_table) then
    raise exception 'Detached partition absurd.% holds rows', quote_ident(p_partition_table)
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = 'They came after it was found empty: attach it again, or drop it by hand.';
  end if;

  execute format('drop table absurd.%1$I', p_partition_table);
  perform absurd._unschedule_drop_job(p_unschedule_job_name);
  return true;
end;
$$;

create or replace function absurd._is_attached (p_table_name text)
  returns boolean language plpgsql volatile as $$
-- Whether a table of the schema is attached to a parent, also if its detaching is half done.
--   Returns  null when there is no such table.
--   Raises   22023 for a null name or the name of something else.
declare
  v_table record;
begin
  perform absurd._require_text(p_table_name, 'Partition name');

  -- Compared by the name that the catalog keeps: an overlong one is not cut to another's.
  select c.relkind, c.relispartition
  into v_table
  from pg_catalog.pg_class as c
  where c.relnamespace = to_regnamespace('absurd') and c.relname = p_table_name;

  if not found then
    return null;
  end if;

  if v_table.relkind <> 'r' then
    raise exception 'absurd.% is not a partition', quote_ident(p_table_name)
      using errcode = 'invalid_parameter_value';
  end if;
  return v_table.relispartition;
end;
$$;


-- =================================================================================================
-- 14. CRON
-- The chores of chapters 12 and 13 as jobs of pg_cron, for all queues or for one. A scope's jobs
-- carry a suffix, "all" or the start of the queue name's hash. Two jobs that run every minute
-- remove an empty old partition: one detaches it, the other drops it and then removes both jobs. A
-- table has one such pair at a time. All calls of pg_cron are dynamic SQL, so that this chapter
-- installs without it.
-- =================================================================================================

create or replace function absurd._has_cron ()
  returns boolean language sql stable as $$
-- Whether pg_cron is here and may be used. It reads the catalogs: a lookup by name raises an error
-- if the role may not use the schema.
  select
    exists (
      select 1
      from pg_catalog.pg_class as c
      where c.relnamespace = n.oid
        and c.relname = 'job'
        and has_table_privilege(c.oid, 'select')
    )
    and exists (
      select 1
      from pg_catalog.pg_proc as p
      where p.pronamespace = n.oid and p.proname = 'schedule'
    )
    and exists (
      select 1
      from pg_catalog.pg_proc as p
      where p.pronamespace = n.oid and p.proname = 'unschedule'
    )
  from pg_catalog.pg_namespace as n
  where n.nspname = 'cron' and has_schema_privilege(n.oid, 'usage')
$$;

create or replace function absurd._require_cron (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Checks that pg_cron can be used, and that the queue exists.
--   Raises   0A000 without pg_cron, P0002 for an unknown queue (null is all of them).
begin
  if absurd._has_cron() is not true then
    raise exception 'pg_cron is not available'
      using
        errcode = 'feature_not_supported',
        hint = 'Install it in this database (create extension pg_cron), or use another scheduler.';
  end if;

  if p_queue_name is not null then
    perform absurd._require_queue(p_queue_name);
  end if;
end;
$$;

create or replace function absurd._cron_suffix (p_queue_name text)
  returns text language sql immutable as $$
-- The suffix of a scope in the names of its jobs.
  select coalesce(left(md5(p_queue_name), 12), 'all')
$$;

create or replace function absurd._cron_jobs (p_pattern text)
  returns table (job_name text, job_id bigint) language plpgsql volatile as $$
-- The jobs whose names match a regular expression, ordered by name.
--   Returns  no row without pg_cron.
begin
  if absurd._has_cron() is not true then
    return;
  end if;

  return query execute $sql$
    select j.jobname::text, j.jobid::bigint
    from cron.job as j
    where j.jobname::text ~ $1
    order by j.jobname::text, j.jobid
  $sql$
  using p_pattern;
end;
$$;

create or replace function absurd._unschedule_jobs (p_pattern text)
  returns table (job_name text, job_id bigint) language plpgsql volatile as $$
-- Removes the jobs whose names match a regular expression.
--   Returns  what it removed, ordered by name.
declare
  v_job record;
begin
  for v_job in
    select j.job_name, j.job_id
    from absurd._cron_jobs(p_pattern) as j
  loop
    execute 'select cron.unschedule($1)' using v_job.job_id;
    job_name := v_job.job_name;
    job_id := v_job.job_id;
    return next;
  end loop;
end;
$$;

create or replace function absurd._schedule_job (p_job_name text, p_schedule text, p_command text)
  returns bigint language plpgsql volatile as $$
-- Schedules a job, in place of any of its name.
--   Returns  its id.
declare
  v_job_id bigint;
begin
  perform absurd._unschedule_jobs('^' || p_job_name || '$');
  execute 'select cron.schedule($1, $2, $3)'
  into v_job_id using p_job_name, p_schedule, p_command;
  return v_job_id;
end;
$$;

create or replace function absurd._cron_scope (p_queue_name text)
  returns text language sql immutable as $$
-- A regular expression for the jobs of a scope, its pipelines included.
  select format(
    '^absurd_((partitions|cleanup|detach_plan)_%1$s$|(detach|drop)_run_%1$s_)',
    absurd._cron_suffix(p_queue_name)
  )
$$;

create or replace function absurd._unschedule_queue_jobs (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Removes the jobs of a queue that is going; the jobs for all queues stay.
begin
  if p_queue_name is not null then
    perform absurd._unschedule_jobs(absurd._cron_scope(p_queue_name));
  end if;
end;
$$;

create or replace function absurd._unschedule_drop_job (p_job_name text)
  returns void language plpgsql volatile as $$
-- Removes a drop job and its twin, the detach job.
--   p_job_name  any text, taken literally; null: none
declare
  v_job record;
begin
  for v_job in
    select j.job_id
    from absurd._cron_jobs('') as j
    where j.job_name in (
      p_job_name,
      regexp_replace(p_job_name, '^absurd_drop_run_', 'absurd_detach_run_')
    )
  loop
    execute 'select cron.unschedule($1)' using v_job.job_id;
  end loop;
end;
$$;

create or replace function absurd.enable_cron (
  p_queue_name text default null, p_partition_schedule text default '5 * * * *',
  p_cleanup_schedule text default '17 * * * *', p_detach_schedule text default '29 * * * *'
)
  returns table (job_name text, job_id bigint) language plpgsql volatile as $$
-- Schedules the three chores: partitions, cleanup, and the planning of detach jobs. Jobs of the
-- same scope that are there already are replaced.
--   p_queue_name  null for all queues
--   p_*_schedule  in the syntax of pg_cron; null is the default
--   Returns       the three jobs.
--   Raises        0A000 without pg_cron, P0002 for an unknown queue.
declare
  v_suffix text := absurd._cron_suffix(p_queue_name);
  v_argument text := coalesce(quote_literal(p_queue_name), 'null::text');
begin
  perform absurd._require_cron(p_queue_name);

  job_name := 'absurd_partitions_' || v_suffix;
  job_id := absurd._schedule_job(
    job_name,
    coalesce(p_partition_schedule, '5 * * * *'),
    format('select absurd.ensure_partitions(%s);', v_argument)
  );
  return next;

  job_name := 'absurd_cleanup_' || v_suffix;
  job_id := absurd._schedule_job(
    job_name,
    coalesce(p_cleanup_schedule, '17 * * * *'),
    format('select * from absurd.cleanup_all_queues(%s);', v_argument)
  );
  return next;

  job_name := 'absurd_detach_plan_' || v_suffix;
  job_id := absurd._schedule_job(
    job_name,
    coalesce(p_detach_schedule, '29 * * * *'),
    format('select * from absurd.schedule_detach_jobs(%s);', v_argument)
  );
  return next;
end;
$$;

create or replace function absurd.disable_cron (p_queue_name text default null)
  returns table (job_name text, job_id bigint) language plpgsql volatile as $$
-- Removes the jobs of a scope: the three chores and its pipelines. The queue need not exist any
-- more.
--   p_queue_name  null for the scope of all queues; other scopes keep their jobs
--   Returns       what it removed, ordered by name.
--   Raises        0A000 without pg_cron.
begin
  perform absurd._require_cron(null);

  return query
  select removed.job_name, removed.job_id
  from absurd._unschedule_jobs(absurd._cron_scope(p_queue_name)) as removed
  order by removed.job_name, removed.job_id;
end;
$$;

create or replace function absurd.schedule_detach_jobs (p_queue_name text default null)
  returns table (
    job_name text, job_id bigint, queue_name text, partition_table text, job_kind text
  ) language plpgsql volatile as $$
-- Starts a pipeline for the oldest candidate of every table that has none going, in any scope.
--   p_queue_name  null for all queues
--   Returns       two rows a pipeline: the detach job, the drop job.
--   Raises        0A000 without pg_cron, P0002 for an unknown queue.
declare
  v_oldest record;
begin
  perform absurd._require_cron(p_queue_name);

  for v_oldest in
    select distinct on (candidate.queue_name, candidate.parent_table)
      candidate.queue_name,
      candidate.parent_table,
      candidate.partition_table
    from absurd.list_detach_candidates(p_queue_name)
      with ordinality as candidate (queue_name, parent_table, partition_table, position)
    where not exists (
      select 1
      from absurd._cron_jobs(
        '^absurd_(detach|drop)_run_.*_' || left(md5(candidate.parent_table), 8) || '_'
      ) as live_job
    )
    order by candidate.queue_name, candidate.parent_table, candidate.position
  loop
    return query
    select
      planned.job_name,
      absurd._schedule_job(planned.job_name, '* * * * *', planned.command),
      v_oldest.queue_name,
      v_oldest.partition_table,
      planned.job_kind
    from absurd._detach_pipeline(
      absurd._cron_suffix(p_queue_name), v_oldest.parent_table, v_oldest.partition_table
    ) as planned;
  end loop;
end;
$$;

create or replace function absurd._detach_pipeline (
  p_suffix text, p_parent_table text, p_partition_table text
)
  returns table (job_kind text, job_name text, command text) language plpgsql volatile as $$
-- The two jobs that remove a partition. Without a default partition it can be detached
-- concurrently, which workers do not notice.
--   p_suffix  the suffix of the scope
--   Returns   the detach job, then the drop job.
declare
  v_hashes text := left(md5(p_parent_table), 8)
    || '_' || left(md5(p_parent_table || ':' || p_partition_table), 12);
begin
  job_kind := 'detach';
  job_name := 'absurd_detach_run_' || p_suffix || '_' || v_hashes;
  command := format(
    'alter table absurd.%I detach partition absurd.%I%s',
    p_parent_table,
    p_partition_table,
    case when absurd._default_partition(p_parent_table) is null then ' concurrently' end
  );
  return next;

  job_kind := 'drop';
  job_name := 'absurd_drop_run_' || p_suffix || '_' || v_hashes;
  command := format(
    'select absurd.drop_detached_partition(%L, %L);',
    p_partition_table,
    job_name
  );
  return next;
end;
$$;


-- =================================================================================================
-- 15. WAKE-UPS
-- A queue can notify its workers when a run becomes pending, on the channel absurd_wakeup with the
-- queue's name as the payload. Wake-ups are off by default, because a NOTIFY makes every commit
-- slower, and cost nothing while off: turning them on creates a trigger on r_<queue>, which fires
-- for every run that becomes pending, whichever client wrote it. No client writes a sleeping run
-- when it becomes due, so workers continue to poll, only less often.
-- =================================================================================================

create or replace function absurd._notify_wakeup ()
  returns trigger language plpgsql volatile as $$
-- Notifies the workers of a queue, whose name is the trigger's argument. PostgreSQL sends equal
-- notifications of one transaction only once.
begin
  perform pg_notify('absurd_wakeup', tg_argv[0]);
  return null;
end;
$$;

create or replace function absurd.get_queue_wakeup (p_queue_name text)
  returns boolean language plpgsql volatile as $$
-- Whether a queue notifies its workers.
--   Raises   P0002 for an unknown queue.
begin
  perform absurd._require_queue(p_queue_name);

  return exists (
    select 1
    from pg_catalog.pg_trigger as g
    where g.tgrelid = to_regclass(format('absurd.%I', 'r_' || p_queue_name))
      and g.tgname = 'absurd_wakeup'
  );
end;
$$;

create or replace function absurd.set_queue_wakeup (p_queue_name text, p_enabled boolean)
  returns void language plpgsql volatile as $$
-- Turns the notifications of a queue on or off.
--   Raises   22023 for a null p_enabled, P0002 for an unknown queue, 55P03 when the table of runs
--            stays busy.
--   Locks    nothing when nothing changes; else the table of runs.
begin
  if p_enabled is null then
    raise exception 'Wake-ups must be turned on or off, not null'
      using errcode = 'invalid_parameter_value';
  end if;

  if absurd.get_queue_wakeup(p_queue_name) = p_enabled then
    return;
  end if;
  perform absurd._lock_tables(
    array[format('absurd.%I', 'r_' || p_queue_name)],
    case when p_enabled then 'share row exclusive' else 'access exclusive' end
  );

  -- Another session may have done it while this one waited for the lock.
  if absurd.get_queue_wakeup(p_queue_name) = p_enabled then
    return;
  end if;

  if p_enabled then
    execute format($ddl$
      create trigger absurd_wakeup
        after insert or update of state on absurd.%1$I
        for each row
        when (new.state = 'pending')
        execute function absurd._notify_wakeup(%2$L)
    $ddl$, 'r_' || p_queue_name, p_queue_name);
  else
    execute format('drop trigger absurd_wakeup on absurd.%1$I', 'r_' || p_queue_name);
  end if;
end;
$$;


-- =================================================================================================
-- 16. PAUSES
-- While a queue is paused, claim_task hands out nothing; all else continues: runs in progress,
-- spawns, events, sleeps, and the claim's own sweeps. A pause is a row, so it survives restarts,
-- and one with an end stops by itself. A claim must not pay for a feature that no queue uses: it
-- asks absurd.claim_gates, a table without an index, which costs no block while it is empty.
-- =================================================================================================

do $install$
begin
  if to_regclass('absurd.claim_gates') is null then
    -- The queues that have a pause or a schedule. An extra row is harmless, so no key is needed.
    create table absurd.claim_gates (
      queue_name text not null
    );
    -- A role that was granted its rights before this table existed must still be able to claim.
    grant select on absurd.claim_gates to public;
  end if;

  if to_regclass('absurd.queue_pauses') is null then
    create table absurd.queue_pauses (
      queue_name text primary key,
      paused_at timestamptz not null default absurd.current_time(),
      paused_until timestamptz,
      paused_by text not null default session_user,
      reason text
    );
    grant select on absurd.queue_pauses to public;
  end if;
end;
$install$;

create or replace function absurd._keep_claim_gate ()
  returns trigger language plpgsql volatile as $$
-- Keeps absurd.claim_gates in line with the pauses and schedules of a queue, whichever session
-- writes them.
--   Locks    an advisory lock of the queue's gate: one session at a time decides whether it stays.
declare
  v_queue_name text;
begin
  foreach v_queue_name in array array_remove(
    array[
      case when tg_op <> 'INSERT' then old.queue_name end,
      case when tg_op <> 'DELETE' then new.queue_name end
    ],
    null
  ) loop
    perform pg_advisory_xact_lock(hashtextextended('absurd.gate:' || v_queue_name, 0));
    if exists (select 1 from absurd.queue_pauses as p where p.queue_name = v_queue_name)
      or exists (select 1 from absurd.schedules as s where s.queue_name = v_queue_name)
    then
      insert into absurd.claim_gates (queue_name)
      select v_queue_name
      where not exists (select 1 from absurd.claim_gates as g where g.queue_name = v_queue_name);
    else
      delete from absurd.claim_gates as g
      where g.queue_name = v_queue_name;
    end if;
  end loop;
  return null;
end;
$$;

create or replace function absurd._may_fire_schedules ()
  returns boolean language sql stable as $$
-- Whether this role may read the schedules and move them on. A list of privileges would ask for any
-- one of them.
  select
    has_table_privilege('absurd.schedules', 'select')
    and has_column_privilege('absurd.schedules', 'next_at', 'update')
$$;

create or replace function absurd._pass_claim_gate (p_queue_name text, p_now timestamptz)
  returns boolean language plpgsql volatile as $$
-- Called by the claims of a queue that has a pause or a schedule: fires the schedules that are due,
-- unless the queue is paused. A role without rights on the schedules leaves them to other sessions.
--   Returns  true when the queue is paused: the claim hands out nothing.
--   Locks    the schedules that are due; locked rows are left for the next claim.
begin
  if exists (
    select 1
    from absurd.queue_pauses as p
    where p.queue_name = p_queue_name
      and (p.paused_until is null or p.paused_until > p_now)
  ) then
    return true;
  end if;

  if absurd._may_fire_schedules() and exists (
    select 1
    from absurd.schedules as s
    where s.queue_name = p_queue_name and s.next_at <= p_now
  ) then
    perform absurd.fire_schedules(p_queue_name);
  end if;
  return false;
end;
$$;

create or replace function absurd.pause_queue (
  p_queue_name text, p_until timestamptz default null, p_reason text default null
)
  returns void language plpgsql volatile as $$
-- Pauses a queue, or replaces the end and the reason of its pause.
--   p_until   when the pause stops by itself; null until resume_queue
--   Raises    P0002 for an unknown queue, 22023 for an end that is not in the future.
--   Locks     the row of the pause.
declare
  v_now timestamptz := absurd.current_time();
begin
  perform absurd._require_queue(p_queue_name);
  perform absurd._require_pause_end(p_until, v_now);

  insert into absurd.queue_pauses as p (queue_name, paused_at, paused_until, paused_by, reason)
  values (p_queue_name, v_now, p_until, session_user, p_reason)
  on conflict (queue_name) do update
  set
    -- A pause that had ended by itself starts again now.
    paused_at = case when p.paused_until <= v_now then excluded.paused_at else p.paused_at end,
    paused_until = excluded.paused_until,
    paused_by = excluded.paused_by,
    reason = excluded.reason;
end;
$$;

create or replace function absurd._require_pause_end (p_until timestamptz, p_now timestamptz)
  returns void language plpgsql immutable as $$
-- Checks that a pause ends in the future.
--   Raises   22023 otherwise; null, no end, is fine.
begin
  if p_until <= p_now then
    raise exception 'The end of a pause must be in the future, it is %', p_until
      using errcode = 'invalid_parameter_value';
  end if;
end;
$$;

create or replace function absurd.resume_queue (p_queue_name text)
  returns boolean language plpgsql volatile as $$
-- Ends the pause of a queue.
--   Returns  false when the queue was not paused.
--   Raises   P0002 for an unknown queue.
declare
  v_paused boolean;
begin
  perform absurd._require_queue(p_queue_name);

  delete from absurd.queue_pauses as p
  where p.queue_name = p_queue_name
  returning p.paused_until is null or p.paused_until > absurd.current_time() into v_paused;
  return coalesce(v_paused, false);
end;
$$;

create or replace function absurd.get_queue_pauses (p_queue_name text default null)
  returns table (
    queue_name text, paused_at timestamptz, paused_until timestamptz, paused_by text, reason text
  ) language sql volatile as $$
-- The pauses in force, in the order of the queues' names.
--   p_queue_name  null for all queues
--   Returns       no row for a queue that is not paused, or does not exist.
  select p.queue_name, p.paused_at, p.paused_until, p.paused_by, p.reason
  from absurd.queue_pauses as p
  where (p_queue_name is null or p.queue_name = p_queue_name)
    and (p.paused_until is null or p.paused_until > absurd.current_time())
  order by p.queue_name
$$;


-- =================================================================================================
-- 17. SCHEDULES
-- A schedule spawns a task at the times of a cron expression or at every interval. No process of
-- its own runs it: due schedules fire in the claims of their queue, and in maintenance. Each time
-- fires exactly once, even if many sessions look at the same time: the schedule's row is locked, a
-- locked one is skipped, and the spawn has an idempotency key made of the schedule and the time. A
-- schedule that fails notes that on its row and disturbs neither the claim nor the others.
-- =================================================================================================

do $install$
begin
  if to_regclass('absurd.schedules') is null then
    create table absurd.schedules (
      schedule_name text primary key,
      queue_name text not null,
      task_name text not null,
      params jsonb not null default '{}',
      headers jsonb,
      spawn_options jsonb not null default '{}',
      cron text,
      every interval check (every >= interval '1 second'),
      time_zone text not null default 'UTC',
      overlap text not null default 'skip' check (overlap in ('skip', 'allow', 'cancel')),
      missed text not null default 'latest' check (missed in ('latest', 'all', 'none')),
      catch_up interval not null default '1 hour' check (catch_up >= interval '0'),
      paused_at timestamptz,
      paused_until timestamptz,
      paused_by text,
      pause_reason text,
      next_at timestamptz,
      last_at timestamptz,
      last_task_id uuid,
      last_error text,
      last_error_at timestamptz,
      created_at timestamptz not null default absurd.current_time(),
      created_by text not null default session_user,
      check ((cron is null) <> (every is null))
    );
    create index schedules_queue_next on absurd.schedules (queue_name, next_at);
    create index schedules_next on absurd.schedules (next_at);
  end if;

  -- Here, because the function of these triggers reads both tables.
  if not exists (
    select 1
    from pg_catalog.pg_trigger as g
    where g.tgrelid = to_regclass('absurd.schedules') and g.tgname = 'keep_claim_gate'
  ) then
    create trigger keep_claim_gate
      after insert or delete or update of queue_name on absurd.schedules
      for each row
      execute function absurd._keep_claim_gate();
    create trigger keep_claim_gate
      after insert or delete or update of queue_name on absurd.queue_pauses
      for each row
      execute function absurd._keep_claim_gate();
  end if;
end;
$install$;

create or replace function absurd._cron_field (
  p_field text, p_label text, p_min integer, p_max integer, p_names text[]
)
  returns integer[] language plpgsql immutable as $$
-- Reads one field of a cron expression: lists, ranges, steps and names.
--   p_names  the names of the values from p_min on, three letters each; null for none
--   Returns  the values, in order and each once.
--   Raises   22023 for a field that cannot be read.
declare
  v_item text;
  v_part text[];
  v_low integer;
  v_high integer;
  v_step integer;
  v_values integer[] := '{}';
begin
  foreach v_item in array string_to_array(lower(p_field), ',') loop
    v_part := regexp_match(
      v_item, '^(?:([*])|([0-9]{1,4}|[a-z]{3})(?:-([0-9]{1,4}|[a-z]{3}))?)(?:/([0-9]{1,4}))?$'
    );
    v_step := coalesce(v_part[4]::integer, 1);
    if v_part[1] = '*' then
      v_low := p_min;
      v_high := case p_label when 'day of week' then 6 else p_max end;
    else
      v_low := absurd._cron_value(v_part[2], p_min, p_names);
      v_high := case
        when v_part[3] is not null then absurd._cron_value(v_part[3], p_min, p_names)
        -- "5/15" starts at 5 and continues to the end of the field.
        when v_part[4] is not null then p_max
        else v_low
      end;
      -- A week may end with Sunday: "fri-sun".
      if v_part[3] = 'sun' and v_low > 0 then
        v_high := 7;
      end if;
    end if;

    if v_low is null or v_high is null or v_low < p_min or v_high > p_max or v_low > v_high
      or v_step < 1
    then
      raise exception 'Cannot read "%" as the % of a cron expression', v_item, p_label
        using
          errcode = 'invalid_parameter_value',
          hint = format('Use values from %s to %s, such as "%s", "%s-%s" or "*/2".',
            p_min, p_max, p_min, p_min, p_min + 1);
    end if;
    v_values := v_values || array(select generate_series(v_low, v_high, v_step));
  end loop;

  return array(
    -- Sunday is 0 and 7.
    select distinct case when p_label = 'day of week' then value % 7 else value end as day
    from unnest(v_values) as value
    order by day
  );
end;
$$;

create or replace function absurd._cron_value (p_text text, p_min integer, p_names text[])
  returns integer language sql immutable as $$
-- One value of a cron field, a number or a name.
--   Returns  null for a name that is not known.
  select
    case
      when p_text ~ '^[0-9]+$' then p_text::integer
      else p_min + array_position(p_names, p_text) - 1
    end
$$;

create or replace function absurd._read_cron (
  p_cron text, out minutes integer[], out hours integer[], out days integer[], out months integer[],
  out weekdays integer[], out both_days boolean
)
  language plpgsql immutable as $$
-- Reads a cron expression: five fields, or a name such as @hourly.
--   Returns  the values of each field, and whether the day of the month and the day of the week
--            must both match: as in Vixie cron, unless both are restricted.
--   Raises   22023 for an expression that cannot be read or never matches.
declare
  v_fields text[];
begin
  v_fields := regexp_split_to_array(
    case lower(btrim(p_cron, E' \t\r\n'))
      when '@yearly' then '0 0 1 1 *'
      when '@annually' then '0 0 1 1 *'
      when '@monthly' then '0 0 1 * *'
      when '@weekly' then '0 0 * * 0'
      when '@daily' then '0 0 * * *'
      when '@midnight' then '0 0 * * *'
      when '@hourly' then '0 * * * *'
      else btrim(p_cron, E' \t\r\n')
    end,
    '[[:space:]]+'
  );
  if cardinality(v_fields) is distinct from 5 then
    raise exception 'A cron expression has five fields, "%" has %',
        p_cron, coalesce(cardinality(v_fields), 0)
      using
        errcode = 'invalid_parameter_value',
        hint = 'The fields are minute, hour, day of month, month, day of week: "0 9 * * mon".';
  end if;

  minutes := absurd._cron_field(v_fields[1], 'minute', 0, 59, null);
  hours := absurd._cron_field(v_fields[2], 'hour', 0, 23, null);
  days := absurd._cron_field(v_fields[3], 'day of month', 1, 31, null);
  months := absurd._cron_field(
    v_fields[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
  );
  weekdays := absurd._cron_field(v_fields[5], 'day of week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
  both_days := v_fields[3] like '*%' or v_fields[5] like '*%';

  if both_days and not exists (
    select 1
    from unnest(months) as month
    where days[1] <= (array[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[month]
  ) then
    raise exception 'The cron expression "%" never matches: no such day exists', p_cron
      using errcode = 'invalid_parameter_value';
  end if;
end;
$$;

create or replace function absurd._at_local_time (p_local timestamp, p_time_zone text)
  returns timestamptz language plpgsql immutable as $$
-- The instant at which a clock on the wall shows a local time. For one that a change of the clocks
-- skips it is the first instant after the gap; of one that occurs twice, the first counts.
--   Raises   22023 for an unknown time zone.
declare
  v_found timestamptz := p_local at time zone p_time_zone;
  v_earlier timestamptz;
  v_low timestamptz;
  v_middle timestamptz;
begin
  if v_found at time zone p_time_zone = p_local then
    -- PostgreSQL takes the second of two: look whether the offset of a little earlier fits as well.
    select min(candidate.at)
    into v_earlier
    from unnest(array[1, 3, 25]) as hours
    cross join lateral (
      select v_found - make_interval(hours => hours) as before
    ) as look
    cross join lateral (
      select (p_local - (look.before at time zone p_time_zone)) + look.before as at
    ) as candidate
    where candidate.at < v_found and candidate.at at time zone p_time_zone = p_local;
    return coalesce(v_earlier, v_found);
  end if;

  -- Skipped: find the first second whose local time is later.
  v_low := v_found - interval '26 hours';
  while v_found - v_low > interval '1 second' loop
    v_middle := v_low + date_trunc('second', (v_found - v_low) / 2);
    if v_middle at time zone p_time_zone > p_local then
      v_found := v_middle;
    else
      v_low := v_middle;
    end if;
  end loop;
  return v_found;
end;
$$;

create or replace function absurd.next_times (
  p_cron text, p_time_zone text, p_from timestamptz, p_count integer
)
  returns setof timestamptz language plpgsql volatile as $$
-- The next times of a cron expression. Day of month and day of week combine as in Vixie cron: when
-- both are restricted, either is enough.
--   p_cron       five fields (minute, hour, day of month, month, day of week) or @hourly, @daily,
--                @weekly, @monthly, @yearly
--   p_time_zone  an IANA name; null is UTC
--   p_from       the times after this moment; null is now
--   p_count      how many; null is 1
--   Returns      the times in order. A local time that a change of the clocks skips counts at the
--                first instant after the gap, one that occurs twice only the first time.
--   Raises       22023 for an expression that cannot be read or never matches, and for an unknown
--                time zone.
declare
  v_time_zone text := coalesce(p_time_zone, 'UTC');
  v_from timestamptz := coalesce(p_from, absurd.current_time());
  v_left integer := coalesce(p_count, 1);
  v_cron record := absurd._read_cron(p_cron);
  v_start timestamp := v_from at time zone v_time_zone;
  v_last timestamptz := v_from;
  v_month date := date_trunc('month', v_start);
  v_date date;
  v_clock record;
  v_at timestamptz;
begin
  if v_left <= 0 or not isfinite(v_from) then
    return;
  end if;

  -- February 29 on a given weekday can be 40 years away, where a century has no leap year.
  while v_month < v_start + interval '41 years' loop
    if extract(month from v_month)::integer = any (v_cron.months) then
      for v_date in
        select day::date
        from generate_series(
          greatest(v_month, v_start::date),
          v_month + interval '1 month' - interval '1 day',
          interval '1 day'
        ) as day
        where case
          when v_cron.both_days then
            extract(day from day)::integer = any (v_cron.days)
            and extract(dow from day)::integer = any (v_cron.weekdays)
          else
            extract(day from day)::integer = any (v_cron.days)
            or extract(dow from day)::integer = any (v_cron.weekdays)
        end
      loop
        for v_clock in
          select v_date + make_time(hour, minute, 0) as local
          from unnest(v_cron.hours) as hour
          cross join unnest(v_cron.minutes) as minute
          where v_date + make_time(hour, minute, 0) >= v_start
          order by local
        loop
          v_at := absurd._at_local_time(v_clock.local, v_time_zone);
          if v_at > v_last then
            return next v_at;
            v_last := v_at;
            v_left := v_left - 1;
            if v_left = 0 then
              return;
            end if;
          end if;
        end loop;
      end loop;
    end if;
    v_month := v_month + interval '1 month';
  end loop;
end;
$$;

create or replace function absurd._schedule_times (
  p_schedule absurd.schedules, p_after timestamptz, p_to timestamptz, p_limit integer
)
  returns setof timestamptz language plpgsql volatile as $$
-- The times of a schedule after one moment and up to another.
--   p_limit  at most this many
declare
  -- In seconds: a day of an interval is as long as the session's time zone makes it.
  v_seconds double precision := extract(epoch from p_schedule.every);
  v_step interval := make_interval(secs => v_seconds);
  v_at timestamptz := p_after;
  v_count integer := 0;
begin
  if p_schedule.every is not null then
    -- In steps from a time that the schedule has.
    v_at := coalesce(p_schedule.next_at, p_schedule.created_at);
    v_at := v_at + make_interval(
      secs => v_seconds * floor(extract(epoch from p_after - v_at) / v_seconds)
    );
    while v_at <= p_after loop
      v_at := v_at + v_step;
    end loop;
  end if;

  while v_count < p_limit loop
    if p_schedule.every is null then
      v_at := (
        select next_time
        from absurd.next_times(p_schedule.cron, p_schedule.time_zone, v_at, 1) as next_time
      );
    elsif v_count > 0 then
      v_at := v_at + v_step;
    end if;
    exit when v_at is null or v_at > p_to;
    return next v_at;
    v_count := v_count + 1;
  end loop;
end;
$$;

create or replace function absurd.set_schedule (
  p_schedule_name text, p_queue_name text, p_task_name text, p_params jsonb, p_options jsonb
)
  returns void language plpgsql volatile as $$
-- Creates a schedule, or replaces the one of that name. Its past is kept, and so is its next time
-- while the times stay the same: doing it twice changes nothing.
--   p_params   the parameters of each task; null is {}
--   p_options  cron or every (an interval of at least a second, without months), time_zone (an IANA
--              name, UTC), overlap (skip, allow, cancel), missed (latest, all, none), catch_up (an
--              interval, one hour), headers, and the options of a spawn but start_at and
--              idempotency_key
--   Raises     22023 for blank names, unknown or bad options; P0002 for an unknown queue; AB003 for
--              a retry_strategy that cannot be used.
--   Locks      the row of the schedule.
declare
  v_options jsonb := jsonb_strip_nulls(absurd._require_object(p_options, 'Options'));
  v_now timestamptz := absurd.current_time();
  v_new absurd.schedules;
  v_old absurd.schedules;
begin
  perform absurd._require_text(p_schedule_name, 'Schedule name');
  perform absurd._require_queue(p_queue_name);
  perform absurd._require_text(p_task_name, 'Task name');

  v_new := absurd._read_schedule(v_options);
  v_new.schedule_name := p_schedule_name;
  v_new.queue_name := p_queue_name;
  v_new.task_name := p_task_name;
  v_new.params := coalesce(p_params, '{}');
  v_new.created_at := v_now;

  select s.*
  into v_old
  from absurd.schedules as s
  where s.schedule_name = p_schedule_name
  for update;

  if (v_old.cron, v_old.every, v_old.time_zone)
    is not distinct from (v_new.cron, v_new.every, v_new.time_zone)
  then
    v_new.next_at := v_old.next_at;
  else
    v_new.next_at := (
      select next_time
      from absurd._schedule_times(v_new, v_now, 'infinity', 1) as next_time
    );
  end if;

  insert into absurd.schedules as s (
    schedule_name, queue_name, task_name, params, headers, spawn_options, cron, every, time_zone,
    overlap, missed, catch_up, next_at, created_at
  )
  values (
    v_new.schedule_name, v_new.queue_name, v_new.task_name, v_new.params, v_new.headers,
    v_new.spawn_options, v_new.cron, v_new.every, v_new.time_zone, v_new.overlap, v_new.missed,
    v_new.catch_up, v_new.next_at, v_new.created_at
  )
  on conflict (schedule_name) do update
  set
    queue_name = excluded.queue_name,
    task_name = excluded.task_name,
    params = excluded.params,
    headers = excluded.headers,
    spawn_options = excluded.spawn_options,
    cron = excluded.cron,
    every = excluded.every,
    time_zone = excluded.time_zone,
    overlap = excluded.overlap,
    missed = excluded.missed,
    catch_up = excluded.catch_up,
    next_at = excluded.next_at;
end;
$$;

create or replace function absurd._read_schedule (p_options jsonb)
  returns absurd.schedules language plpgsql volatile as $$
-- Reads and checks the options of a schedule.
--   Returns  a schedule with the values of the options; its other fields are null.
--   Raises   22023 for unknown or bad options, AB003 as spawn_task does.
declare
  v_schedule absurd.schedules;
  v_key text;
begin
  for v_key in select key from jsonb_object_keys(p_options) as key loop
    if v_key not in (
      'cron', 'every', 'time_zone', 'overlap', 'missed', 'catch_up', 'headers', 'retry_strategy',
      'max_attempts', 'cancellation', 'delay_seconds', 'parent'
    ) then
      raise exception 'A schedule has no option "%"', v_key
        using
          errcode = 'invalid_parameter_value',
          hint = 'Options are cron, every, time_zone, overlap, missed, catch_up, headers,'
            || ' retry_strategy, max_attempts, cancellation, delay_seconds and parent.';
    end if;
  end loop;

  v_schedule.cron := btrim(p_options ->> 'cron', E' \t\r\n');
  v_schedule.every := absurd._read_schedule_interval(p_options, 'every');
  v_schedule.time_zone := coalesce(p_options ->> 'time_zone', 'UTC');
  v_schedule.overlap := coalesce(p_options ->> 'overlap', 'skip');
  v_schedule.missed := coalesce(p_options ->> 'missed', 'latest');
  v_schedule.catch_up := coalesce(absurd._read_schedule_interval(p_options, 'catch_up'), '1 hour');
  v_schedule.headers := p_options -> 'headers';
  v_schedule.spawn_options := p_options - array[
    'cron', 'every', 'time_zone', 'overlap', 'missed', 'catch_up', 'headers'
  ];

  if (v_schedule.cron is null) = (v_schedule.every is null) then
    raise exception 'A schedule needs either cron or every'
      using errcode = 'invalid_parameter_value';
  end if;
  if v_schedule.every < interval '1 second' or extract(month from v_schedule.every) <> 0
    or extract(year from v_schedule.every) <> 0
  then
    raise exception 'Option every must be an interval of at least one second without months: %',
        p_options ->> 'every'
      using errcode = 'invalid_parameter_value', hint = 'For a day of each month use cron.';
  end if;
  if v_schedule.overlap not in ('skip', 'allow', 'cancel') then
    raise exception 'Option overlap must be skip, allow or cancel, not "%"', v_schedule.overlap
      using errcode = 'invalid_parameter_value';
  end if;
  if v_schedule.missed not in ('latest', 'all', 'none') then
    raise exception 'Option missed must be latest, all or none, not "%"', v_schedule.missed
      using errcode = 'invalid_parameter_value';
  end if;
  if jsonb_typeof(v_schedule.headers) <> 'object' then
    raise exception 'Option headers must be a JSON object'
      using errcode = 'invalid_parameter_value';
  end if;
  if not exists (
    select 1
    from pg_catalog.pg_timezone_names as z
    where z.name = v_schedule.time_zone
  ) then
    raise exception 'Time zone "%" is not known', v_schedule.time_zone
      using
        errcode = 'invalid_parameter_value',
        hint = 'Use an IANA name such as Europe/Vienna: select name from pg_timezone_names';
  end if;

  perform absurd._read_cron(v_schedule.cron) where v_schedule.cron is not null;
  perform absurd._spawn_options(v_schedule.spawn_options);
  return v_schedule;
end;
$$;

create or replace function absurd._read_schedule_interval (p_options jsonb, p_key text)
  returns interval language plpgsql stable as $$
-- Reads an interval among the options of a schedule: a text, or a number of seconds.
--   Raises   22023 for anything else, and for a negative one.
declare
  v_interval interval;
begin
  v_interval := case jsonb_typeof(p_options -> p_key)
    when 'number' then make_interval(secs => (p_options ->> p_key)::double precision)
    else (p_options ->> p_key)::interval
  end;
  if v_interval < interval '0' then
    -- 22023 invalid_parameter_value, caught below
    raise exception 'negative' using errcode = 'invalid_parameter_value';
  end if;
  return v_interval;
exception
  when data_exception then
    raise exception 'Option % must be an interval such as "5 minutes", not %',
        p_key, p_options -> p_key using errcode = 'invalid_parameter_value';
end;
$$;

create or replace function absurd.drop_schedule (p_schedule_name text)
  returns boolean language plpgsql volatile as $$
-- Deletes a schedule. Tasks that it spawned stay.
--   Returns  false when no such schedule exists.
begin
  delete from absurd.schedules as s
  where s.schedule_name = p_schedule_name;
  return found;
end;
$$;

create or replace function absurd.pause_schedule (
  p_schedule_name text, p_until timestamptz default null, p_reason text default null
)
  returns void language plpgsql volatile as $$
-- Pauses a schedule, or replaces the end and the reason of its pause.
--   p_until   when the pause stops by itself; null until resume_schedule
--   Raises    P0002 for an unknown schedule, 22023 for an end that is not in the future.
declare
  v_now timestamptz := absurd.current_time();
begin
  perform absurd._require_pause_end(p_until, v_now);

  update absurd.schedules as s
  set
    paused_at = case
      when s.paused_until <= v_now then v_now
      else coalesce(s.paused_at, v_now)
    end,
    paused_until = p_until,
    paused_by = session_user,
    pause_reason = p_reason
  where s.schedule_name = p_schedule_name;
  if not found then
    perform absurd._lock_schedule(p_schedule_name);
  end if;
end;
$$;

create or replace function absurd.resume_schedule (p_schedule_name text)
  returns boolean language plpgsql volatile as $$
-- Ends the pause of a schedule. Its option "missed" decides whether the times in between fire.
--   Returns  false when it was not paused.
--   Raises   P0002 for an unknown schedule.
declare
  v_schedule absurd.schedules := absurd._lock_schedule(p_schedule_name);
begin
  update absurd.schedules as s
  set paused_at = null, paused_until = null, paused_by = null, pause_reason = null
  where s.schedule_name = p_schedule_name;
  return v_schedule.paused_at is not null
    and coalesce(v_schedule.paused_until > absurd.current_time(), true);
end;
$$;

create or replace function absurd._lock_schedule (p_schedule_name text)
  returns absurd.schedules language plpgsql volatile as $$
-- Locks a schedule.
--   Raises   P0002 when no such schedule exists.
declare
  v_schedule absurd.schedules;
begin
  select s.*
  into v_schedule
  from absurd.schedules as s
  where s.schedule_name = p_schedule_name
  for update;

  if not found then
    raise exception 'Schedule "%" not found', p_schedule_name
      using errcode = 'no_data_found', hint = 'The schedules are in the table absurd.schedules.';
  end if;
  return v_schedule;
end;
$$;

create or replace function absurd._spawn_scheduled (
  p_schedule absurd.schedules, p_scheduled_for timestamptz, p_key text, out task_id uuid,
  out run_id uuid
)
  language plpgsql volatile as $$
-- Spawns the task of a schedule for one of its times, or finds the one that was spawned for it.
--   p_key     the idempotency key; null: always a new task
--   Returns   the task and its run.
begin
  select spawned.task_id, spawned.run_id
  into _spawn_scheduled.task_id, _spawn_scheduled.run_id
  from absurd.spawn_task(
    p_schedule.queue_name,
    p_schedule.task_name,
    p_schedule.params,
    p_schedule.spawn_options || jsonb_build_object(
      'idempotency_key', p_key,
      'headers', coalesce(p_schedule.headers, '{}') || jsonb_build_object(
        'absurd.schedule', p_schedule.schedule_name,
        'absurd.scheduled_for', absurd._iso_time(p_scheduled_for)
      )
    )
  ) as spawned;
end;
$$;

create or replace function absurd._iso_time (p_at timestamptz)
  returns text language sql immutable as $$
-- A moment as RFC 3339 in UTC, whatever the session's settings are.
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

create or replace function absurd._schedule_key (p_schedule_name text, p_scheduled_for timestamptz)
  returns text language sql immutable as $$
-- The idempotency key of a schedule's task for one of its times.
  select 'absurd.schedule:' || p_schedule_name || ':' || absurd._iso_time(p_scheduled_for)
$$;

create or replace function absurd.trigger_schedule (p_schedule_name text)
  returns table (task_id uuid, run_id uuid) language plpgsql volatile as $$
-- Spawns the task of a schedule once, now, also while the schedule is paused.
--   Raises   P0002 for an unknown schedule or queue.
--   Locks    the row of the schedule.
#variable_conflict use_column
declare
  v_schedule absurd.schedules := absurd._lock_schedule(p_schedule_name);
  v_now timestamptz := absurd.current_time();
  v_spawned record;
begin
  v_spawned := absurd._spawn_scheduled(v_schedule, v_now, null);

  update absurd.schedules as s
  set last_at = v_now, last_task_id = v_spawned.task_id
  where s.schedule_name = p_schedule_name;

  return query select v_spawned.task_id, v_spawned.run_id;
end;
$$;

create or replace function absurd.backfill_schedule (
  p_schedule_name text, p_from timestamptz, p_to timestamptz
)
  returns table (scheduled_for timestamptz, task_id uuid) language plpgsql volatile as $$
-- Spawns a task for every time of a schedule in a span, both ends included. A time that was fired
-- already gives the task that exists.
--   Returns  a row for each time, in order.
--   Raises   P0002 for an unknown schedule or queue, 22023 for a span without ends, one that ends
--            before it starts, or one with over 10,000 times.
--   Locks    the row of the schedule.
#variable_conflict use_column
declare
  v_schedule absurd.schedules := absurd._lock_schedule(p_schedule_name);
  v_times timestamptz[];
begin
  if p_from is null or p_to is null or p_to < p_from or not isfinite(p_to - p_from) then
    raise exception 'A backfill needs a start and a later end, not % and %', p_from, p_to
      using errcode = 'invalid_parameter_value';
  end if;

  v_times := array(
    select absurd._schedule_times(v_schedule, p_from - interval '1 microsecond', p_to, 10001)
  );
  if cardinality(v_times) > 10000 then
    raise exception 'Schedule "%" has over 10000 times between % and %',
        p_schedule_name, p_from, p_to
      using errcode = 'invalid_parameter_value', hint = 'Backfill a shorter span at a time.';
  end if;

  return query
  select
    due.at,
    (
      absurd._spawn_scheduled(v_schedule, due.at, absurd._schedule_key(p_schedule_name, due.at))
    ).task_id
  from unnest(v_times) with ordinality as due (at, ordinality)
  order by due.ordinality;
end;
$$;

create or replace function absurd.fire_schedules (
  p_queue_name text default null, p_limit integer default 100
)
  returns table (
    schedule_name text, scheduled_for timestamptz, task_id uuid
  ) language plpgsql volatile
  -- A claim plans without sequential scans and sorts, and its settings hold in here, too.
  set enable_seqscan = on
  set enable_sort = on
as $$
-- Fires the schedules that are due. If one fails, it continues with the next.
--   p_queue_name  null for all queues
--   p_limit       at most this many schedules, and tasks of each
--   Returns       a row for each task.
--   Locks         the schedules that are due; locked rows are left for the next call.
#variable_conflict use_column
declare
  v_now timestamptz := absurd.current_time();
  v_schedule absurd.schedules;
begin
  for v_schedule in
    select s.*
    from absurd.schedules as s
    where s.next_at <= v_now
      and (p_queue_name is null or s.queue_name = p_queue_name)
      and (s.paused_at is null or s.paused_until <= v_now)
      and not exists (
        select 1
        from absurd.queue_pauses as p
        where p.queue_name = s.queue_name
          and (p.paused_until is null or p.paused_until > v_now)
      )
    order by s.next_at, s.schedule_name
    limit greatest(coalesce(p_limit, 100), 1)
    for update of s skip locked
  loop
    begin
      return query
      select v_schedule.schedule_name, fired.scheduled_for, fired.task_id
      from absurd._fire_schedule(v_schedule, v_now, greatest(coalesce(p_limit, 100), 1)) as fired;
    exception
      -- Lost a race for a lock or a row: it is still due, and the next look fires it.
      when serialization_failure or deadlock_detected or lock_not_available then
        null;
      when others then
        update absurd.schedules as s
        set
          next_at = (
            select next_time
            from absurd._schedule_times(v_schedule, v_now, 'infinity', 1) as next_time
          ),
          last_error = sqlerrm,
          last_error_at = v_now
        where s.schedule_name = v_schedule.schedule_name;
    end;
  end loop;
end;
$$;

create or replace function absurd._fire_schedule (
  p_schedule absurd.schedules, p_now timestamptz, p_limit integer
)
  returns table (scheduled_for timestamptz, task_id uuid) language plpgsql volatile as $$
-- Fires one schedule, which is locked: spawns a task for each time that its options leave of those
-- that have passed, and moves it on to the next.
--   p_limit  at most this many tasks; the times after them stay due
declare
  v_oldest timestamptz := p_now - case
    -- On time means within a minute: workers may all have been busy.
    when p_schedule.missed = 'none' then least(p_schedule.catch_up, interval '1 minute')
    else p_schedule.catch_up
  end;
  v_times timestamptz[];
  v_at timestamptz;
  v_task_id uuid := p_schedule.last_task_id;
  v_last_at timestamptz := p_schedule.last_at;
begin
  v_times := absurd._due_times(p_schedule, v_oldest, p_now, p_limit);

  foreach v_at in array v_times loop
    if v_task_id is not null and p_schedule.overlap <> 'allow'
      and absurd._is_unfinished(p_schedule.queue_name, v_task_id)
    then
      continue when p_schedule.overlap = 'skip';
      perform absurd._cancel_promptly(p_schedule.queue_name, v_task_id);
    end if;

    v_task_id := (
      absurd._spawn_scheduled(
        p_schedule, v_at, absurd._schedule_key(p_schedule.schedule_name, v_at)
      )
    ).task_id;
    v_last_at := v_at;
    scheduled_for := v_at;
    task_id := v_task_id;
    return next;
  end loop;

  update absurd.schedules as s
  set
    next_at = (
      select next_time
      from absurd._schedule_times(
        p_schedule,
        case
          when cardinality(v_times) = p_limit and p_schedule.missed = 'all' then v_times[p_limit]
          else p_now
        end,
        'infinity',
        1
      ) as next_time
    ),
    last_at = v_last_at,
    last_task_id = v_task_id,
    last_error = null,
    last_error_at = null
  where s.schedule_name = p_schedule.schedule_name;
end;
$$;

create or replace function absurd._due_times (
  p_schedule absurd.schedules, p_oldest timestamptz, p_now timestamptz, p_limit integer
)
  returns timestamptz[] language plpgsql volatile as $$
-- The times of a due schedule that are to be fired.
--   p_oldest  older times are given up
--   Returns   for "all" up to p_limit times from the oldest on; else the latest one, or none.
declare
  v_after timestamptz := greatest(p_schedule.next_at, p_oldest) - interval '1 microsecond';
  v_times timestamptz[];
  v_more timestamptz[];
begin
  if p_schedule.missed = 'all' then
    return array(select absurd._schedule_times(p_schedule, v_after, p_now, p_limit));
  end if;

  if p_schedule.every is not null then
    -- All of an interval's times need not be walked through to find the last.
    v_after := greatest(v_after, p_now - p_schedule.every);
  end if;
  loop
    v_more := array(select absurd._schedule_times(p_schedule, v_after, p_now, 100));
    exit when cardinality(v_more) = 0;
    v_times := v_more;
    v_after := v_more[cardinality(v_more)];
  end loop;
  return coalesce(v_times[cardinality(v_times):], '{}');
end;
$$;

create or replace function absurd._is_unfinished (p_queue_name text, p_task_id uuid)
  returns boolean language plpgsql volatile as $$
-- Whether a task exists and has not ended.
declare
  v_state text;
begin
  select found_task.state
  into v_state
  from absurd.get_task_result(p_queue_name, p_task_id) as found_task;
  return coalesce(v_state in ('pending', 'running', 'sleeping'), false);
end;
$$;

create or replace function absurd._cancel_promptly (p_queue_name text, p_task_id uuid)
  returns void language plpgsql volatile
  set lock_timeout = '100ms'
as $$
-- Cancels a task, unless another session holds its rows: a claim must not wait for them.
--   Raises   55P03 when they stay locked.
begin
  perform absurd.cancel_task(p_queue_name, p_task_id);
end;
$$;


-- =================================================================================================
-- 18. FAMILIES
-- A task can have a parent, and a run can wait for tasks to end, in its own queue and in others,
-- without holding a worker's slot. A wait is a row of task_waits with one row of awaited_tasks for
-- each task; the tasks themselves are marked, so that the end of a task that no run awaits costs
-- nothing. A trigger on the marked task notes its end, whatever ends it, and at the end of the
-- transaction another trigger wakes the runs whose waits are over. A waiting run also looks again
-- every minute, for tasks that ended without the trigger, were cleaned up, or whose queue was
-- dropped.
--
-- Locks: awaited tasks in the order of queue and id, then the waits in the order of their steps,
-- then the run, then its task. A transaction that ends tasks holds them already; at its end it
-- takes the waits in one order. Rows of awaited_tasks that it has marked are passed over by all
-- others: it deletes them itself.
-- =================================================================================================

do $install$
begin
  if to_regclass('absurd.task_waits') is null then
    create table absurd.task_waits (
      queue_name text not null,
      run_id uuid not null,
      step_name text not null,
      task_id uuid not null,
      mode text not null check (mode in ('all', 'any')),
      children jsonb not null,
      timeout_at timestamptz,
      created_at timestamptz not null default absurd.current_time(),
      primary key (queue_name, run_id, step_name)
    );
    create index task_waits_task on absurd.task_waits (task_id);
    -- Cleanup reads this table, whichever role runs it.
    grant select on absurd.task_waits to public;
  end if;

  if to_regclass('absurd.awaited_tasks') is null then
    create table absurd.awaited_tasks (
      child_task_id uuid not null,
      child_queue text not null,
      queue_name text not null,
      run_id uuid not null,
      step_name text not null,
      ended boolean not null default false,
      primary key (child_task_id, child_queue, queue_name, run_id, step_name)
    );
    create index awaited_tasks_wait on absurd.awaited_tasks (queue_name, run_id, step_name);
    create index awaited_tasks_ended on absurd.awaited_tasks (queue_name, run_id, step_name)
      where ended;
  end if;
end;
$install$;

-- [part trigger functions]
create or replace function absurd._note_task_end ()
  returns trigger language plpgsql volatile as $$
-- Notes that an awaited task has ended. The queue is in the name of the trigger's table, or of the
-- table that it is a partition of.
begin
  update absurd.awaited_tasks as a
  set ended = true
  where a.child_task_id = new.task_id
    and a.child_queue = (
      select substr(c.relname, length('t_') + 1)
      from pg_catalog.pg_class as c
      where c.oid = coalesce(pg_partition_root(tg_relid)::oid, tg_relid)
    )
    and not a.ended;
  return null;
exception
  when insufficient_privilege then
    -- A role that may not write the waits of others ends its task all the same: the waiting run
    -- finds out when it looks again.
    return null;
end;
$$;
-- [end trigger functions]

create or replace function absurd._wake_waiting_runs ()
  returns trigger language plpgsql volatile as $$
-- Wakes the runs whose waits are satisfied by the tasks that the transaction has ended. The first
-- call at the end of a transaction does it for all of them, in one order; the others find nothing
-- left.
--   Locks    the waits, then the runs that sleep and are free, then their tasks.
declare
  v_key record;
  v_wait absurd.task_waits;
begin
  for v_key in
    select distinct a.queue_name, a.run_id, a.step_name
    from absurd.awaited_tasks as a
    where a.ended
    order by a.queue_name, a.run_id, a.step_name
  loop
    select w.*
    into v_wait
    from absurd.task_waits as w
    where w.queue_name = v_key.queue_name
      and w.run_id = v_key.run_id
      and w.step_name = v_key.step_name
    for update;

    perform absurd._delete_awaited(
      v_key.queue_name,
      v_key.run_id,
      v_key.step_name,
      v_wait.run_id is not null
    );

    if v_wait.run_id is not null and (
      v_wait.mode = 'any'
      or not exists (
        select 1
        from absurd.awaited_tasks as a
        where a.queue_name = v_key.queue_name
          and a.run_id = v_key.run_id
          and a.step_name = v_key.step_name
      )
    ) then
      perform absurd._end_task_wait(v_wait);
    end if;
  end loop;
  return null;
exception
  when insufficient_privilege then
    return null;
end;
$$;

do $install$
begin
  if not exists (
    select 1
    from pg_catalog.pg_trigger as g
    where g.tgrelid = to_regclass('absurd.awaited_tasks') and g.tgname = 'wake_waiting_runs'
  ) then
    create constraint trigger wake_waiting_runs
      after update of ended on absurd.awaited_tasks
      deferrable initially deferred
      for each row
      when (new.ended)
      execute function absurd._wake_waiting_runs();
  end if;
end;
$install$;

create or replace function absurd._end_task_wait (p_wait absurd.task_waits)
  returns void language plpgsql volatile as $$
-- Ends a wait that is satisfied, if its run still sleeps: the results become the checkpoint of its
-- step, and the run can be claimed. A run that is awake looks for itself.
--   Locks    the run, unless another session holds it, then its task.
declare
  v_now timestamptz := absurd.current_time();
  v_state text;
begin
  if to_regclass(format('absurd.%I', 'r_' || p_wait.queue_name)) is null then
    perform absurd._forget_task_wait(p_wait.queue_name, p_wait.run_id, p_wait.step_name);
    return;
  end if;

  execute format(
    'select r.state from absurd.%1$I as r where r.run_id = $1 for update skip locked',
    'r_' || p_wait.queue_name
  )
  into v_state using p_wait.run_id;
  if v_state is distinct from 'sleeping' then
    return;
  end if;

  perform absurd._put_wait_results(
    p_wait, absurd._task_outcomes(p_wait.queue_name, p_wait.children)
  );
  execute format($sql$
    update absurd.%1$I as r
    set
      state = 'pending',
      available_at = $2,
      wake_event = null,
      event_payload = null,
      claimed_by = null,
      claim_expires_at = null
    where r.run_id = $1
  $sql$, 'r_' || p_wait.queue_name)
  using p_wait.run_id, v_now;
  perform absurd._set_task_state(p_wait.queue_name, p_wait.task_id, 'pending');
  perform absurd._forget_task_wait(p_wait.queue_name, p_wait.run_id, p_wait.step_name);
end;
$$;

create or replace function absurd._put_wait_results (p_wait absurd.task_waits, p_results jsonb)
  returns void language plpgsql volatile as $$
-- Stores the results of a wait as the checkpoint of its step.
begin
  perform absurd._save_wait(
    p_wait.queue_name,
    p_wait.task_id,
    p_wait.run_id,
    p_wait.step_name,
    p_results,
    p_wait.created_at
  );
end;
$$;

create or replace function absurd._delete_awaited (
  p_queue_name text, p_run_id uuid, p_step_name text, p_ended boolean
)
  returns void language plpgsql volatile as $$
-- Deletes what connects a wait with its tasks. A row that another transaction has marked stays: at
-- its end that transaction waits for the wait, which the caller may hold, and deletes the row then.
--   p_ended  only those of tasks that have ended
begin
  delete from absurd.awaited_tasks as a
  using (
    select
      free.child_task_id,
      free.child_queue
    from absurd.awaited_tasks as free
    where free.queue_name = p_queue_name
      and free.run_id = p_run_id
      and free.step_name = p_step_name
      and (free.ended or not p_ended)
    for update skip locked
  ) as free
  where a.child_task_id = free.child_task_id
    and a.child_queue = free.child_queue
    and a.queue_name = p_queue_name
    and a.run_id = p_run_id
    and a.step_name = p_step_name;
end;
$$;

create or replace function absurd._forget_task_wait (
  p_queue_name text, p_run_id uuid, p_step_name text
)
  returns void language plpgsql volatile as $$
-- Deletes a wait for tasks.
begin
  perform absurd._delete_awaited(p_queue_name, p_run_id, p_step_name, false);

  delete from absurd.task_waits as w
  where w.queue_name = p_queue_name
    and w.run_id = p_run_id
    and w.step_name = p_step_name;
end;
$$;

create or replace function absurd._task_outcomes (p_queue_name text, p_children jsonb)
  returns jsonb language plpgsql volatile as $$
-- How tasks stand, in the order of the array.
--   p_children  [{"task_id", "queue"}]; without a queue, p_queue_name
--   Returns     [{"task_id", "queue", "state", "result", "failure_reason"}]; the state of a task
--               that does not exist, or whose queue does not, is "unknown".
declare
  v_queue_name text;
  v_states jsonb := '{}';
  v_some jsonb;
begin
  for v_queue_name in
    select distinct coalesce(child.value ->> 'queue', p_queue_name)
    from jsonb_array_elements(p_children) as child
  loop
    continue when octet_length(v_queue_name) > 57
      or to_regclass(format('absurd.%I', 't_' || v_queue_name)) is null;
    execute format($sql$
      select jsonb_object_agg(
        $1 || ':' || t.task_id,
        jsonb_build_object(
          'state', t.state,
          'result', case when t.state = 'completed' then t.completed_payload end,
          'failure_reason', case when t.state = 'failed' then r.failure_reason end
        )
      )
      from absurd.%1$I as t
      left join absurd.%2$I as r on r.run_id = t.last_attempt_run
      where t.task_id = any (array(
        select (child.value ->> 'task_id')::uuid
        from jsonb_array_elements($2) as child
        where coalesce(child.value ->> 'queue', $3) = $1
      ))
    $sql$, 't_' || v_queue_name, 'r_' || v_queue_name)
    into v_some using v_queue_name, p_children, p_queue_name;
    v_states := v_states || coalesce(v_some, '{}');
  end loop;

  return (
    select coalesce(
      jsonb_agg(
        jsonb_build_object(
          'task_id', child.value ->> 'task_id',
          'queue', coalesce(child.value ->> 'queue', p_queue_name)
        ) || coalesce(
          v_states -> (
            coalesce(child.value ->> 'queue', p_queue_name) || ':'
            || (child.value ->> 'task_id')::uuid
          ),
          '{"state": "unknown", "result": null, "failure_reason": null}'
        )
        order by child.ordinality
      ),
      '[]'
    )
    from jsonb_array_elements(p_children) with ordinality as child
  );
end;
$$;

create or replace function absurd._is_wait_over (p_results jsonb, p_mode text)
  returns boolean language sql immutable as $$
-- Whether results satisfy a wait. A task that does not exist any more has ended.
  select
    case p_mode
      when 'all' then not coalesce(bool_or(result.value ->> 'state' in (
        'pending', 'running', 'sleeping'
      )), false)
      else coalesce(bool_or(result.value ->> 'state' not in (
        'pending', 'running', 'sleeping'
      )), true)
    end
  from jsonb_array_elements(p_results) as result
$$;

create or replace function absurd.await_tasks (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_step_name text, p_children jsonb, p_mode text,
  p_timeout integer default null
)
  returns table (should_suspend boolean, results jsonb) language plpgsql volatile as $$
-- Waits for tasks to end, as a step of a task. In this order: a checkpoint of the step answers at
-- once; a satisfied wait is stored as that checkpoint; one whose timeout has passed is answered
-- with nothing; else the run goes to sleep.
--   p_children  [{"task_id", "queue"}]; without a queue, the run's own
--   p_mode      all: every one has ended; any: one of them has
--   p_timeout   seconds from the first call of this run; null waits indefinitely
--   Returns     should_suspend, and the results in the order of p_children, as in _task_outcomes;
--               results are SQL null for a suspension or a timeout.
--   Raises      22023 for bad arguments; P0002 unknown run or queue; AB001 cancelled task; AB002
--               failed run; 55000 run not running, or a wait that would close a cycle.
--   Locks       the awaited tasks, the wait, the run, its task.
declare
  v_now timestamptz := absurd.current_time();
  v_checkpoint record;
  v_wait absurd.task_waits;
  v_results jsonb;
begin
  perform absurd._require_await(p_step_name, p_children, p_mode, p_timeout);
  perform absurd._require_queue(p_queue_name);

  select c.state
  into v_checkpoint
  from absurd.get_task_checkpoint_state(p_queue_name, p_task_id, p_step_name, true) as c;
  if found then
    return query select false, v_checkpoint.state;
    return;
  end if;

  perform absurd._lock_task_waits(
    p_queue_name, p_task_id, p_run_id, array[p_step_name], array[p_children], array[p_mode],
    v_now + make_interval(secs => p_timeout)
  );
  select w.*
  into v_wait
  from absurd.task_waits as w
  where w.queue_name = p_queue_name and w.run_id = p_run_id and w.step_name = p_step_name;
  perform absurd._lock_run(p_queue_name, p_run_id, '{running}', 'step', p_task_id);

  v_results := absurd._task_outcomes(p_queue_name, p_children);
  if absurd._is_wait_over(v_results, p_mode) then
    perform absurd._put_wait_results(v_wait, v_results);
    perform absurd._forget_task_wait(p_queue_name, p_run_id, p_step_name);
    return query select false, v_results;
  elsif v_wait.timeout_at <= v_now then
    perform absurd._forget_task_wait(p_queue_name, p_run_id, p_step_name);
    return query select false, null::jsonb;
  else
    perform absurd._suspend_run(
      p_queue_name, p_task_id, p_run_id, least(v_wait.timeout_at, v_now + interval '1 minute'), null
    );
    perform absurd._refuse_cycle(p_queue_name, p_task_id, p_children);
    return query select true, null::jsonb;
  end if;
end;
$$;

create or replace function absurd._require_await (
  p_step_name text, p_children jsonb, p_mode text, p_timeout integer
)
  returns void language plpgsql volatile as $$
-- Checks the arguments of await_tasks.
--   Raises   22023 for arguments that cannot be used.
begin
  perform absurd._require_text(p_step_name, 'Step name');
  perform absurd._require_array(p_children, 'Children');
  if p_timeout < 0 then
    raise exception 'Timeout must not be negative, it is %', p_timeout
      using errcode = 'invalid_parameter_value';
  end if;
  if p_mode is null or p_mode not in ('all', 'any') then
    raise exception 'Mode must be all or any, not "%"', p_mode
      using errcode = 'invalid_parameter_value';
  end if;
  if exists (
    select 1
    from jsonb_array_elements(p_children) as child
    where jsonb_typeof(child.value) <> 'object'
      or coalesce(child.value ->> 'task_id', '') !~*
        '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
  ) then
    raise exception 'Each child must be an object with a task_id'
      using errcode = 'invalid_parameter_value';
  end if;
end;
$$;

create or replace function absurd._lock_task_waits (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_steps text[], p_children jsonb[],
  p_modes text[], p_timeout_at timestamptz
)
  returns void language plpgsql volatile as $$
-- Locks the waits of a run for tasks, registering those that an earlier call has not. Its other
-- waits for tasks are over, and so are those of the task's earlier attempts.
--   p_steps, p_children, p_modes  a wait a place; those without children are for something else
--   p_timeout_at                  of the waits that are registered now
--   Locks                         the tasks of the new waits, then the waits.
declare
  v_children jsonb;
  v_unfinished text[];
  v_old record;
begin
  -- Most runs wait for no task, and not every role that works may write here.
  if array_remove(p_children, null) = '{}'
    and not exists (select 1 from absurd.task_waits as w where w.task_id = p_task_id)
  then
    return;
  end if;

  select jsonb_agg(child.value)
  into v_children
  from unnest(p_steps, p_children, p_modes) as given (step_name, children, mode)
  cross join lateral jsonb_array_elements(given.children) as child
  where not exists (
    select 1
    from absurd.task_waits as w
    where w.queue_name = p_queue_name
      and w.run_id = p_run_id
      and w.step_name = given.step_name
      and w.children = given.children
      and w.mode = given.mode
  );
  select coalesce(array_agg(unfinished.child_queue || ':' || unfinished.child_task_id), '{}')
  into v_unfinished
  from absurd._mark_awaited(p_queue_name, coalesce(v_children, '[]')) as unfinished;

  for v_old in
    select w.run_id, w.step_name
    from absurd.task_waits as w
    where w.task_id = p_task_id
      and w.queue_name = p_queue_name
      and not exists (
        select 1
        from unnest(p_steps, p_children, p_modes) as given (step_name, children, mode)
        where w.run_id = p_run_id
          and w.step_name = given.step_name
          and w.children = given.children
          and w.mode = given.mode
      )
    order by w.run_id, w.step_name
  loop
    perform absurd._forget_task_wait(p_queue_name, v_old.run_id, v_old.step_name);
  end loop;

  perform 1
  from absurd.task_waits as w
  where w.queue_name = p_queue_name
    and w.run_id = p_run_id
  order by w.step_name
  for update;

  with new_wait as (
    insert into absurd.task_waits as w (
      queue_name, run_id, step_name, task_id, mode, children, timeout_at
    )
    select
      p_queue_name, p_run_id, given.step_name, p_task_id, given.mode, given.children, p_timeout_at
    from unnest(p_steps, p_children, p_modes) as given (step_name, children, mode)
    where given.children is not null
    on conflict do nothing
    returning w.step_name, w.children
  )
  -- One that has ended already would never be ticked off.
  insert into absurd.awaited_tasks (child_task_id, child_queue, queue_name, run_id, step_name)
  select distinct
    awaited.task_id,
    awaited.queue_name,
    p_queue_name,
    p_run_id,
    new_wait.step_name
  from new_wait
  cross join lateral jsonb_array_elements(new_wait.children) as child
  cross join lateral (
    select
      coalesce(child.value ->> 'queue', p_queue_name) as queue_name,
      (child.value ->> 'task_id')::uuid as task_id
  ) as awaited
  where awaited.queue_name || ':' || awaited.task_id = any (v_unfinished)
  on conflict do nothing;
end;
$$;

create or replace function absurd._ended_task_wait (
  p_queue_name text, p_task_id uuid, p_run_id uuid, p_step_name text, p_children jsonb, p_mode text,
  p_running boolean
)
  returns jsonb language plpgsql volatile as $$
-- Whether one wait of await_events for tasks is over. Keeps their outcomes as the checkpoint of its
-- step.
--   p_running  whether the run may write
--   Returns    {"tasks", "at"}; null while the wait continues.
--   Locks      the run.
declare
  v_wait absurd.task_waits;
  v_results jsonb;
  v_at timestamptz;
begin
  select c.state, c.updated_at
  into v_results, v_at
  from absurd.get_task_checkpoint_state(p_queue_name, p_task_id, p_step_name, true) as c;
  if found then
    perform absurd._forget_task_wait(p_queue_name, p_run_id, p_step_name);
    return jsonb_build_object('tasks', v_results, 'at', v_at);
  elsif not p_running then
    return null;
  end if;

  v_results := absurd._task_outcomes(p_queue_name, p_children);
  if not absurd._is_wait_over(v_results, p_mode) then
    return null;
  end if;
  select w.*
  into v_wait
  from absurd.task_waits as w
  where w.queue_name = p_queue_name
    and w.run_id = p_run_id
    and w.step_name = p_step_name;
  perform absurd._put_wait_results(v_wait, v_results);
  perform absurd._forget_task_wait(p_queue_name, p_run_id, p_step_name);
  return jsonb_build_object('tasks', v_results, 'at', absurd.current_time());
end;
$$;

create or replace function absurd._forget_waits_of_tasks (p_task_ids uuid[])
  returns void language plpgsql volatile as $$
-- Deletes the waits of tasks that are cleaned up.
declare
  v_old record;
begin
  -- Most tasks have none, and not every role that cleans up may write them: so look first.
  for v_old in
    select w.queue_name, w.run_id, w.step_name
    from absurd.task_waits as w
    where w.task_id = any (p_task_ids)
    order by w.queue_name, w.run_id, w.step_name
  loop
    perform absurd._forget_task_wait(v_old.queue_name, v_old.run_id, v_old.step_name);
  end loop;
end;
$$;

create or replace function absurd._mark_awaited (p_queue_name text, p_children jsonb)
  returns table (child_queue text, child_task_id uuid) language plpgsql volatile as $$
-- Marks tasks as awaited, so that their end is noted.
--   Returns  those that have not ended; while the caller holds their locks, they do not.
--   Locks    these tasks, in the order of queue and id.
declare
  v_queue_name text;
  v_task_ids uuid[];
begin
  for v_queue_name, v_task_ids in
    select
      coalesce(child.value ->> 'queue', p_queue_name) as queue_name,
      array_agg(distinct (child.value ->> 'task_id')::uuid)
    from jsonb_array_elements(p_children) as child
    group by 1
    order by 1
  loop
    continue when octet_length(v_queue_name) > 57
      or to_regclass(format('absurd.%I', 't_' || v_queue_name)) is null;
    return query execute format(
      $sql$
        with locked_task as materialized (
          select t.task_id
          from absurd.%1$I as t
          where t.task_id = any ($1)
            and t.state in ('pending', 'running', 'sleeping')
          order by t.task_id
          for no key update
        ),
        marked_task as (
          update absurd.%1$I as t
          set awaited = true
          from locked_task
          where t.task_id = locked_task.task_id
            and t.awaited is not true
        )
        select $2, locked_task.task_id
        from locked_task
      $sql$,
      't_' || v_queue_name
    )
    using v_task_ids, v_queue_name;
  end loop;
end;
$$;

create or replace function absurd._refuse_cycle (
  p_queue_name text, p_task_id uuid, p_children jsonb
)
  returns void language plpgsql volatile as $$
-- Refuses a wait that could never end: for the task itself, for one of its ancestors, or for a task
-- that waits, directly or through others, for it.
--   Raises   55000.
declare
  v_child record;
  v_ancestors text[] := absurd._ancestors(p_queue_name, p_task_id);
begin
  for v_child in
    select
      coalesce(child.value ->> 'queue', p_queue_name) as queue_name,
      (child.value ->> 'task_id')::uuid as task_id
    from jsonb_array_elements(p_children) as child
  loop
    if v_child.queue_name || ':' || v_child.task_id = any (v_ancestors) then
      raise exception 'Task "%" cannot wait for task "%": it is the same task or an ancestor',
          p_task_id, v_child.task_id
        using
          errcode = 'object_not_in_prerequisite_state',
          hint = 'A task can wait for its children and for tasks outside its own line.';
    end if;
  end loop;

  if exists (
    with recursive waiting (queue_name, task_id) as (
      select
        coalesce(child.value ->> 'queue', p_queue_name),
        (child.value ->> 'task_id')::uuid
      from jsonb_array_elements(p_children) as child
      union
      select
        a.child_queue,
        a.child_task_id
      from waiting
      join absurd.task_waits as w
        on w.task_id = waiting.task_id
        and w.queue_name = waiting.queue_name
        and absurd._is_asleep(w.queue_name, w.run_id)
      join absurd.awaited_tasks as a
        on a.queue_name = w.queue_name
        and a.run_id = w.run_id
        and a.step_name = w.step_name
    )
    select 1
    from waiting
    where waiting.task_id = p_task_id
      and waiting.queue_name = p_queue_name
  ) then
    raise exception 'Task "%" cannot wait for tasks that wait for it', p_task_id
      using
        errcode = 'object_not_in_prerequisite_state',
        hint = 'Cancel one of the waiting tasks, or let one of them go on without the other.';
  end if;
end;
$$;

create or replace function absurd._is_asleep (p_queue_name text, p_run_id uuid)
  returns boolean language plpgsql volatile as $$
-- Whether a run sleeps: the waits of one that is awake may be over.
declare
  v_asleep boolean;
begin
  if to_regclass(format('absurd.%I', 'r_' || p_queue_name)) is null then
    return false;
  end if;
  execute format(
    $sql$
      select exists (
        select 1
        from absurd.%1$I as r
        where r.run_id = $1
          and r.state = 'sleeping'
      )
    $sql$,
    'r_' || p_queue_name
  )
  into v_asleep
  using p_run_id;
  return v_asleep;
end;
$$;

create or replace function absurd._ancestors (p_queue_name text, p_task_id uuid)
  returns text[] language plpgsql volatile as $$
-- A task and its ancestors, each as "<queue>:<task_id>". A cycle of parents, which only other
-- programs can write, ends the walk.
declare
  v_queue_name text := p_queue_name;
  v_task_id uuid := p_task_id;
  v_line text[] := '{}';
begin
  while v_task_id is not null and v_queue_name || ':' || v_task_id <> all (v_line) loop
    v_line := v_line || (v_queue_name || ':' || v_task_id);
    exit when to_regclass(format('absurd.%I', 't_' || v_queue_name)) is null;
    execute format(
      'select t.parent_queue, t.parent_task_id from absurd.%1$I as t where t.task_id = $1',
      't_' || v_queue_name
    )
    into v_queue_name, v_task_id using v_task_id;
  end loop;
  return v_line;
end;
$$;

create or replace function absurd._task_tree (p_queue_name text, p_task_id uuid)
  returns table (depth integer, queue_name text, task_id uuid) language plpgsql volatile as $$
-- A task and all its descendants, level by level, in whichever queues they are.
--   Returns  a row for each task; the task itself has depth 0.
#variable_conflict use_column
declare
  v_seen uuid[] := array[p_task_id];
  v_level uuid[] := array[p_task_id];
  v_next uuid[];
  v_found uuid[];
  v_queue_name text;
  v_depth integer := 0;
begin
  return query select 0, p_queue_name, p_task_id;

  while cardinality(v_level) > 0 loop
    v_depth := v_depth + 1;
    v_next := '{}';
    for v_queue_name in select q.queue_name from absurd.queues as q order by q.queue_name loop
      continue when to_regclass(format('absurd.%I', 't_' || v_queue_name)) is null;
      execute format($sql$
        select array(
          select t.task_id
          from absurd.%1$I as t
          where t.parent_task_id = any ($1) and t.task_id <> all ($2)
          order by t.task_id
        )
      $sql$, 't_' || v_queue_name)
      into v_found using v_level, v_seen;
      return query select v_depth, v_queue_name, found_id from unnest(v_found) as found_id;
      v_next := v_next || v_found;
    end loop;
    v_seen := v_seen || v_next;
    v_level := v_next;
  end loop;
end;
$$;

create or replace function absurd.cancel_task_tree (p_queue_name text, p_task_id uuid)
  returns integer language plpgsql volatile as $$
-- Cancels a task and its unfinished descendants. It takes the locks of all of them or none, so that
-- it cannot deadlock with children that complete meanwhile; it tries again until it has them.
--   Returns  how many tasks were cancelled; those that had ended do not count.
--   Raises   P0002 unknown task or queue, 55P03 when rows stay locked for lock_timeout (10 s if
--            that is not set).
--   Locks    the unfinished runs of all these tasks, then the tasks.
declare
  v_patience interval := nullif(current_setting('lock_timeout')::interval, interval '0');
  v_deadline timestamptz := clock_timestamp() + coalesce(v_patience, interval '10 seconds');
  v_cancelled integer;
begin
  perform absurd._require_queue(p_queue_name);
  if not exists (select 1 from absurd.get_task_result(p_queue_name, p_task_id)) then
    raise exception 'Task "%" not found in queue "%"', p_task_id, p_queue_name
      using errcode = 'no_data_found';
  end if;

  loop
    begin
      v_cancelled := absurd._try_cancel_tree(p_queue_name, p_task_id);
      exit when v_cancelled is not null;
      -- 55P03 lock_not_available: caught below, it releases the locks
      raise exception 'start over' using errcode = 'lock_not_available';
    exception
      when lock_not_available then
        if clock_timestamp() > v_deadline then
          raise exception 'Could not lock the family of task "%" in time', p_task_id
            using
              errcode = 'lock_not_available',
              hint = 'A long transaction holds one of its rows: find it in pg_stat_activity.';
        end if;
    end;
    perform pg_sleep(0.005 + random() * 0.015);
  end loop;
  return v_cancelled;
end;
$$;

create or replace function absurd._try_cancel_tree (p_queue_name text, p_task_id uuid)
  returns integer language plpgsql volatile as $$
-- One try at cancelling a family, which waits for no lock.
--   Returns  how many tasks were cancelled; null when one got a new run or child meanwhile.
--   Raises   55P03 when a row is locked.
declare
  v_now timestamptz := absurd.current_time();
  v_size bigint;
  v_member record;
  v_runs uuid[];
  v_tasks uuid[];
  v_new_run boolean;
  v_cancelled integer := 0;
begin
  select count(*)
  into v_size
  from absurd._task_tree(p_queue_name, p_task_id);

  for v_member in
    select tree.queue_name, array_agg(tree.task_id order by tree.task_id) as task_ids
    from absurd._task_tree(p_queue_name, p_task_id) as tree
    group by tree.queue_name
    order by tree.queue_name
  loop
    execute format($sql$
      select array(
        select r.run_id
        from absurd.%1$I as r
        where r.task_id = any ($1) and r.state in ('pending', 'running', 'sleeping')
        order by r.run_id
        for update nowait
      )
    $sql$, 'r_' || v_member.queue_name)
    into v_runs using v_member.task_ids;

    execute format($sql$
      select array(
        select t.task_id
        from absurd.%1$I as t
        where t.task_id = any ($1) and t.state in ('pending', 'running', 'sleeping')
        order by t.task_id
        for update nowait
      )
    $sql$, 't_' || v_member.queue_name)
    into v_tasks using v_member.task_ids;

    execute format($sql$
      select exists (
        select 1
        from absurd.%1$I as r
        where r.task_id = any ($1)
          and r.state in ('pending', 'running', 'sleeping')
          and r.run_id <> all ($2)
      )
    $sql$, 'r_' || v_member.queue_name)
    into v_new_run using v_tasks, v_runs;
    if v_new_run then
      return null;
    end if;

    perform absurd._cancel_tasks(v_member.queue_name, v_tasks, v_now);
    v_cancelled := v_cancelled + cardinality(v_tasks);
  end loop;

  if v_size <> (select count(*) from absurd._task_tree(p_queue_name, p_task_id)) then
    return null;
  end if;
  return v_cancelled;
end;
$$;


-- =================================================================================================
-- 19. WORKERS AND OPERATIONS
-- The workers of our SDK keep a row of absurd.workers up to date while they run; those of other
-- SDKs have none. Every command that changes something writes a row of absurd.operations in the
-- transaction of the change.
-- =================================================================================================

do $install$
begin
  if to_regclass('absurd.workers') is null then
    create table absurd.workers (
      queue_name text not null,
      worker_id text not null,
      host text,
      pid integer,
      sdk_name text,
      sdk_version text,
      program_version text,
      task_names text[] not null default '{}',
      concurrency integer,
      running integer not null default 0,
      state text not null default 'running' check (state in ('running', 'draining')),
      started_at timestamptz not null default absurd.current_time(),
      heartbeat_at timestamptz not null default absurd.current_time(),
      primary key (queue_name, worker_id)
    );
  end if;

  if to_regclass('absurd.operations') is null then
    create table absurd.operations (
      operation_id uuid primary key default absurd.portable_uuidv7(),
      performed_at timestamptz not null default absurd.current_time(),
      database_role text not null default session_user,
      os_user text,
      os_host text,
      command text not null,
      arguments text[] not null default '{}',
      reason text,
      queue_name text,
      task_ids uuid[] not null default '{}',
      task_count bigint not null default 0
    );
    create index operations_performed on absurd.operations (performed_at);
    create index operations_tasks on absurd.operations using gin (task_ids);
  end if;
end;
$install$;

create or replace function absurd.heartbeat_worker (
  p_queue_name text, p_worker_id text, p_details jsonb default '{}'
)
  returns void language plpgsql volatile as $$
-- Keeps the row of a worker, and deletes those of workers that were silent for an hour.
--   p_details  host, pid, sdk_name, sdk_version, program_version, task_names (an array),
--              concurrency, running, state (running, draining); those that are absent keep their
--              value
--   Raises     22023 for a blank worker or details that cannot be used.
declare
  v_details jsonb := absurd._require_object(p_details, 'Details');
  v_now timestamptz := absurd.current_time();
  v_worker absurd.workers;
begin
  perform absurd._require_text(p_worker_id, 'Worker id');
  v_worker := jsonb_populate_record(null::absurd.workers, v_details);

  insert into absurd.workers as w (
    queue_name, worker_id, host, pid, sdk_name, sdk_version, program_version, task_names,
    concurrency, running, state, started_at, heartbeat_at
  )
  values (
    p_queue_name, p_worker_id, v_worker.host, v_worker.pid, v_worker.sdk_name,
    v_worker.sdk_version, v_worker.program_version, coalesce(v_worker.task_names, '{}'),
    v_worker.concurrency, coalesce(v_worker.running, 0), coalesce(v_worker.state, 'running'),
    v_now, v_now
  )
  on conflict (queue_name, worker_id) do update
  set
    host = coalesce(v_worker.host, w.host),
    pid = coalesce(v_worker.pid, w.pid),
    sdk_name = coalesce(v_worker.sdk_name, w.sdk_name),
    sdk_version = coalesce(v_worker.sdk_version, w.sdk_version),
    program_version = coalesce(v_worker.program_version, w.program_version),
    task_names = coalesce(v_worker.task_names, w.task_names),
    concurrency = coalesce(v_worker.concurrency, w.concurrency),
    running = coalesce(v_worker.running, w.running),
    state = coalesce(v_worker.state, w.state),
    -- Another process may have taken over the name.
    started_at = case
      when coalesce(v_worker.host, w.host) is distinct from w.host
        or coalesce(v_worker.pid, w.pid) is distinct from w.pid
        or coalesce(v_worker.program_version, w.program_version) is distinct from w.program_version
        then v_now
      else w.started_at
    end,
    heartbeat_at = v_now;

  delete from absurd.workers as w
  where w.ctid = any (array(
    select stale.ctid
    from absurd.workers as stale
    where stale.heartbeat_at < v_now - interval '1 hour'
    for update skip locked
  ));
end;
$$;

create or replace function absurd.forget_worker (p_queue_name text, p_worker_id text)
  returns boolean language plpgsql volatile as $$
-- Deletes the row of a worker that closes.
--   Returns  false when it had none.
begin
  delete from absurd.workers as w
  where w.queue_name = p_queue_name and w.worker_id = p_worker_id;
  return found;
end;
$$;

create or replace function absurd.record_operation (p_command text, p_details jsonb default '{}')
  returns uuid language plpgsql volatile as $$
-- Records a command of an operator. Call it in the transaction of the change.
--   p_details  arguments (an array of texts, secrets masked), os_user, os_host, reason, queue_name,
--              task_ids (the first 1,000 are kept), task_count (default: the number of task_ids),
--              and operation_id: of an operation in several transactions, the row that the first
--              one wrote. Its tasks are added to that row, and a row of several queues names none.
--   Returns    the id of the row.
--   Raises     22023 for a blank command or details that cannot be used.
declare
  v_operation absurd.operations;
begin
  perform absurd._require_text(p_command, 'Command');
  v_operation := jsonb_populate_record(
    null::absurd.operations, absurd._require_object(p_details, 'Details')
  );

  insert into absurd.operations as o (
    operation_id, command, arguments, os_user, os_host, reason, queue_name, task_ids, task_count
  )
  values (
    coalesce(v_operation.operation_id, absurd.portable_uuidv7()), p_command,
    coalesce(v_operation.arguments, '{}'), v_operation.os_user, v_operation.os_host,
    v_operation.reason, v_operation.queue_name, coalesce(v_operation.task_ids[:1000], '{}'),
    coalesce(v_operation.task_count, cardinality(v_operation.task_ids), 0)
  )
  on conflict (operation_id) do update
  set
    queue_name = case when o.queue_name = excluded.queue_name then o.queue_name end,
    task_ids = (o.task_ids || excluded.task_ids)[:1000],
    task_count = o.task_count + excluded.task_count
  returning o.operation_id into v_operation.operation_id;
  return v_operation.operation_id;
end;
$$;

create or replace function absurd._cleanup_own_tables (p_queue_name text)
  returns void language plpgsql volatile as $$
-- Deletes operations that are older than the cleanup policy of their queue, and than 90 days. A
-- role without the right to do so leaves them.
--   p_queue_name  null for all of them
begin
  if not (
    has_table_privilege('absurd.operations', 'select')
    and has_table_privilege('absurd.operations', 'delete')
  ) then
    return;
  end if;

  delete from absurd.operations as o
  where o.operation_id = any (array(
    select old.operation_id
    from absurd.operations as old
    left join absurd.queues as q on q.queue_name = old.queue_name
    where (p_queue_name is null or old.queue_name = p_queue_name)
      and old.performed_at < absurd.current_time()
        - greatest(coalesce(q.cleanup_ttl, interval '0'), interval '90 days')
    order by old.performed_at
    limit 1000
    for update of old skip locked
  ));
end;
$$;


-- =================================================================================================
-- 20. VERSION
-- Two numbers: the contract's version, which clients ask for, and our own revision, which
-- distinguishes this schema from others of the same version. At the end, existing queues get the
-- parts that they lack, so that an upgrade results in the same schema as a fresh installation.
-- =================================================================================================

create or replace function absurd.get_schema_version ()
  returns text language sql volatile as $$
-- The version of the contract that this schema honours.
  select '0.5.0'::text
$$;

create or replace function absurd.get_schema_revision ()
  returns integer language sql immutable as $$
-- Our own revision of the schema, a number that only grows. Not part of the contract.
  select 2
$$;

create or replace function absurd.get_schema_features ()
  returns text[] language sql immutable as $$
-- The additions of this schema to the contract: one name a line, without commas. Clients ask for
-- the feature that they need, never for a version or a revision.
--   Returns  the names, sorted.
  select array(
    select feature.name
    from regexp_split_to_table(
      $features$
        await_events
        await_tasks
        delayed_spawn
        operations
        pause
        schedules
        step_times
        task_tree
        wake_task
        worker_registry
      $features$,
      '[[:space:]]+'
    ) as feature (name)
    where feature.name <> ''
    order by feature.name
  )
$$;

-- The comment at the start of a function's body becomes its description: psql's \df+ shows it.
do $install$
declare
  v_function record;
begin
  for v_function in
    select p.oid::regprocedure::text as name, doc.text
    from pg_catalog.pg_proc as p
    cross join lateral (
      select regexp_replace(
        substring(p.prosrc from E'^\n(--[^\n]*(?:\n--[^\n]*)*)'), '^-- ?', '', 'gn'
      )
    ) as doc (text)
    where p.pronamespace = to_regnamespace('absurd')
      and pg_has_role(p.proowner, 'usage')
      and doc.text <> coalesce(obj_description(p.oid, 'pg_proc'), '')
  loop
    execute format('comment on function %1$s is %2$L', v_function.name, v_function.text);
  end loop;
end;
$install$;

-- [part queues]
do $install$
declare
  v_queue record;
  v_name text;
begin
  for v_queue in
    select q.queue_name, q.storage_mode
    from absurd.queues as q
    -- Old schemas took any name; one that is illegal today keeps its tables and can be dropped.
    where octet_length(convert_to(q.queue_name, 'UTF8')) between 1 and 57
    order by q.queue_name
  loop
    -- Always, because this script may have changed them; ensure_queue_tables only makes missing
    -- ones.
    perform absurd._make_queue_functions(v_queue.queue_name, v_queue.storage_mode);
    perform absurd.ensure_queue_tables(v_queue.queue_name);
  end loop;

  -- Functions that older revisions of ours had.
  for v_name in
    select p.oid::regprocedure::text
    from pg_catalog.pg_proc as p
    where p.pronamespace = to_regnamespace('absurd') and p.proname in ('_retry_delay')
  loop
    execute format('drop function %1$s', v_name);
  end loop;

  -- Functions of queues that were dropped by a schema without such functions.
  for v_name in
    select p.oid::regprocedure::text
    from pg_catalog.pg_proc as p
    where p.pronamespace = to_regnamespace('absurd')
      and split_part(p.proname, ':', 1) in (select made.kind from absurd._queue_templates() as made)
      and p.proname like '%:%'
      and not exists (
        select 1
        from absurd.queues as q
        where q.queue_name = regexp_replace(p.proname, '^[a-z]+:', '')
      )
  loop
    execute format('drop function %1$s', v_name);
  end loop;
end;
$install$;
-- [end queues]
