/** The text that `install-skill` writes for coding agents. A test runs every command in it. */
export const skill = `---
name: absurd
description: Debug durable workflows that Absurd keeps in Postgres, with the absurdctl command line - find out why a task is stuck, failed, slow or never started, read its history, and propose a fix.
---

# Debugging Absurd workflows with absurdctl

Absurd keeps everything in Postgres: queues, tasks (workflows), their attempts (runs), the results of finished steps
(checkpoints), events, and the waits for them. Workers claim runs and hold leases on them. A retry resumes after the last finished
step. States: pending, running, sleeping (until a time, or for an event), completed, failed, cancelled.

## Rules

1. **Ask a person before anything that changes or deletes**: \`cancel-task\`, \`cleanup\`, \`drop-queue\`, \`uninstall\`, \`migrate\`,
   \`init\`, \`maintain\`, \`cron\`, \`queue-policy\` with a flag that sets, \`grants --apply\`, \`attach-partition\`, \`detach-candidate\`,
   \`retry-task\` and \`wake-task\` of more than one task, \`spawn-task\`, \`work\`, \`emit-event\` (it cannot be undone). Show the
   command and what it would change; \`--dry-run\`, if the command has it, lists that. Never add \`--yes\` or \`--force\` on your own.
2. Never write to the tables of schema absurd by hand, and never stop a worker or a session.
3. Reading is safe: \`why\`, \`doctor\`, \`dump-task\`, \`queue-stats\`, every \`list-…\` and \`show-…\` change nothing and end in seconds.
4. Respect the certainty of the evidence. \`known\` comes from a row; \`inferred\` is only consistent with the rows. An idle worker may
   leave no row: "nothing has claimed since 14:02" does not prove that no worker runs.

Choose the database with \`-d URI\` on any command, or with ABSURD_DATABASE_URL. Add \`--json\` for exact data. Data goes to standard
output; notes and errors (with a hint at the next command) go to standard error. \`absurdctl COMMAND --help\` lists the flags.

## From the symptom to the command

| symptom | run |
|---|---|
| one task is stuck, or ended unexpectedly | \`absurdctl why ID\` (of a task or a run), then \`absurdctl dump-task ID\` |
| nothing moves in a queue | \`absurdctl why --queue QUEUE\` |
| tasks of one name do not finish | \`absurdctl why --task-name NAME\` |
| no idea; an alarm | \`absurdctl doctor\` |
| I have no id | \`absurdctl list-tasks --task-name NAME --status failed --since 2h\` |
| what failed lately, and with what error | \`absurdctl list-runs --status failed --limit 20\` |
| slow, or a growing backlog | \`absurdctl queue-stats\`, then \`absurdctl queue-stats --by task-name --queue QUEUE\` |
| did a worker crash? which workers run? | \`absurdctl list-workers\`, \`absurdctl list-runs --status running\` |
| a task waits for an event | \`absurdctl list-waits --event EVENT\`, \`absurdctl list-events --event EVENT\` |
| the payload of an event | \`absurdctl show-event EVENT --queue QUEUE\` |
| the progress of a task, the result of a step | \`absurdctl list-checkpoints ID\`, \`absurdctl show-checkpoint ID STEP\` |
| errors about the schema | \`absurdctl schema-version\`, \`absurdctl migrate --check\` |

## From why's code to the fix

\`absurdctl why ID --json\` gives a stable \`code\`:

| code | fix |
|---|---|
| \`failed\` | read the error and stack in dump-task; fix and deploy the code; then \`absurdctl retry-task ID\` |
| \`failed_leases_expired\`, \`lease_expired\` | the worker crashed or hung: read its logs; start a worker, which claims the task |
| \`never_claimed\`, \`not_claimed_since\` | start a worker on that queue, or find out why none can claim |
| \`put_back\` | no worker knows that task's name: deploy one that registers it |
| \`event_never_emitted\` | find the sender; if a person agrees, emit it (below) |
| \`event_name_close\`, \`event_in_other_queue\` | fix the name or the queue in the sender's code |
| \`locked\` | another session has locked the rows: report its pid and query |
| \`retry_backoff\`, \`sleeping\`, \`claimed\`, \`behind_others\`, \`next_in_line\` | healthy: wait |
| \`contradiction\` | somebody wrote to the tables by hand: report it, change nothing |

## Fixes, after a person has agreed

\`\`\`sh
absurdctl retry-task ID                                     # one more attempt of a failed task; finished steps are kept
absurdctl retry-task ID --spawn-new                         # a copy as a new task, from its first step
absurdctl retry-task --task-name NAME --since 2h --dry-run  # many: check the list, then run it with --yes
absurdctl fork-task ID --from-step STEP                     # a new task that runs STEP again and keeps the steps before it
absurdctl emit-event EVENT --queue QUEUE -P KEY=VALUE       # only the first emission of a name counts
absurdctl cancel-task ID                                    # final; a running worker stops at its next step
absurdctl spawn-task NAME --queue QUEUE -P KEY=VALUE        # another task; --wait --timeout 60 waits for its end
absurdctl await-task ID --timeout 60                        # wait until it ends: exit 0, 6 or 7
absurdctl cleanup QUEUE 30 --dry-run                        # tasks that ended more than 30 days ago
\`\`\`

## Exit codes

0 done · 1 failed (doctor: something critical; migrate --check: behind) · 2 wrong usage · 3 not found · 4 refused: wrong state, or
not confirmed · 5 no server, or no schema · 6 the awaited task failed or was cancelled · 7 the wait timed out · 130 Ctrl-C

With \`--json\` an error is one object on standard error: \`code\`, \`message\`, \`hint\`.

## JSON members

- why: \`code\`, \`verdict\` (fine, waiting, stuck, ended), \`sentence\`, \`evidence\` [\`certainty\`, \`what\`, \`value\`], \`next\` (commands),
  \`also\`, \`unread\`, \`queue\`, \`task_id\`, \`run_id\`, \`task_name\`
- doctor: \`findings\` [\`check\`, \`severity\`, \`queue\`, \`seen\`, \`why\`, \`mend\`], \`counts\`, \`unread\`
- list-tasks: [\`task_id\`, \`queue_name\`, \`task_name\`, \`state\`, \`attempts\`, \`max_attempts\`, \`activity_at\`, \`run_id\`, \`wake_event\`,
  \`claimed_by\`, \`claim_expires_at\`]
- dump-task: \`task_name\`, \`state\`, \`params\`, \`runs\` [\`attempt\`, \`state\`, \`claimed_by\`, \`failure_reason\`, \`result\`], \`waits\`,
  \`checkpoints\` [\`checkpoint_name\`, \`state\`], \`cut\`

Times are RFC 3339 in UTC. Numbers keep all digits.
`;
