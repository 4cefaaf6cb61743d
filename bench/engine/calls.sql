-- The floor of the other calls: what each is bound to write, by hand, for one queue, with static SQL and without any check.
create or replace function floor_checkpoint (p_task uuid, p_step text, p_state jsonb, p_run uuid)
  returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
as $$
begin
  insert into absurd.c_bench as c (task_id, checkpoint_name, state, status, owner_run_id, updated_at)
  values (p_task, p_step, p_state, 'committed', p_run, clock_timestamp())
  on conflict (task_id, checkpoint_name) do update
  set state = excluded.state, owner_run_id = excluded.owner_run_id, updated_at = excluded.updated_at;
  update absurd.r_bench r
  set claim_expires_at = clock_timestamp() + interval '60 s'
  where r.run_id = p_run;
end;
$$;

create or replace function floor_emit (p_event text, p_payload jsonb)
  returns void
  language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  insert into absurd.e_bench as e (event_name, payload, emitted_at)
  values (p_event, p_payload, v_now)
  on conflict (event_name) do update
  set payload = excluded.payload, emitted_at = excluded.emitted_at
  where e.payload is null;
  with gone as (
    delete from absurd.w_bench w where w.event_name = p_event returning w.run_id, w.task_id, w.step_name
  ),
  woken as (
    update absurd.r_bench r
    set state = 'pending', available_at = v_now, event_payload = p_payload, wake_event = null, claimed_by = null,
        claim_expires_at = null
    from gone
    where r.run_id = gone.run_id
  ),
  saved as (
    insert into absurd.c_bench (task_id, checkpoint_name, state, status, owner_run_id, updated_at)
    select gone.task_id, gone.step_name, p_payload, 'committed', gone.run_id, v_now from gone
  )
  update absurd.t_bench t
  set state = 'pending'
  from gone
  where t.task_id = gone.task_id;
end;
$$;

create or replace function floor_cleanup (p_before timestamptz, p_limit integer)
  returns integer
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
as $$
declare
  v_tasks uuid[];
begin
  v_tasks := array(
    select r.task_id
    from absurd.r_bench r
    where r.state in ('completed', 'failed') and coalesce(r.completed_at, r.failed_at) < p_before
    order by coalesce(r.completed_at, r.failed_at)
    limit p_limit
  );
  delete from absurd.w_bench w where w.task_id = any (v_tasks);
  delete from absurd.c_bench c where c.task_id = any (v_tasks);
  delete from absurd.r_bench r where r.task_id = any (v_tasks);
  delete from absurd.t_bench t where t.task_id = any (v_tasks);
  return cardinality(v_tasks);
end;
$$;
