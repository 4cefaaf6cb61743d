-- The floor: what spawn, claim and complete cost when somebody writes them by hand for one queue, with static SQL and nothing
-- that the contract asks for beside (no keys, no sweeps, no cancellation, no checks).
create or replace function floor_spawn (p_params jsonb)
  returns uuid
  language plpgsql
as $$
declare
  v_task uuid := absurd.portable_uuidv7();
  v_run uuid := absurd.portable_uuidv7();
  v_now timestamptz := clock_timestamp();
begin
  insert into absurd.t_bench (task_id, task_name, params, enqueue_at, state, attempts, last_attempt_run)
  values (v_task, 'job', p_params, v_now, 'pending', 1, v_run);
  insert into absurd.r_bench (run_id, task_id, attempt, state, available_at, created_at)
  values (v_run, v_task, 1, 'pending', v_now, v_now);
  return v_task;
end;
$$;

create or replace function floor_claim (p_worker text)
  returns table (run_id uuid, task_id uuid, attempt integer, task_name text, params jsonb)
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
begin
  return query
  with candidate as materialized (
    select r.run_id, r.task_id, r.attempt, t.task_name, t.params
    from absurd.r_bench r
    join absurd.t_bench t on t.task_id = r.task_id
    where r.state in ('pending', 'sleeping') and r.available_at <= v_now
    order by r.available_at, r.run_id
    limit 1
    for update of r, t skip locked
  ),
  claimed_run as (
    update absurd.r_bench r
    set state = 'running', claimed_by = p_worker, claim_expires_at = v_now + interval '60 s', started_at = v_now,
        available_at = v_now
    where r.run_id = any (array(select candidate.run_id from candidate))
  ),
  claimed_task as (
    update absurd.t_bench t
    set state = 'running', first_started_at = coalesce(t.first_started_at, v_now)
    where t.task_id = any (array(select candidate.task_id from candidate))
  )
  select * from candidate;
end;
$$;

create or replace function floor_complete (p_run uuid, p_state jsonb)
  returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_task uuid;
begin
  update absurd.r_bench r
  set state = 'completed', completed_at = clock_timestamp(), result = p_state
  where r.run_id = p_run and r.state = 'running'
  returning r.task_id into v_task;
  update absurd.t_bench t
  set state = 'completed', completed_payload = p_state
  where t.task_id = v_task;
  delete from absurd.w_bench w where w.run_id = p_run;
end;
$$;
