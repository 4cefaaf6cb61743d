/** What `install-skill` writes: how a coding agent debugs workflows with this program. A test runs every command in it. */
export const skill = `---
name: absurd
description: Debug durable workflows that Absurd keeps in Postgres, with the absurdctl command line - find out why a task is stuck, failed, slow or never started, read its history, and propose the repair.
---

# Debugging Absurd workflows with absurdctl

Absurd keeps everything in Postgres: queues, tasks (workflows), their attempts (runs), the results of finished steps
(checkpoints), events and who waits for them. Workers claim runs and hold leases on them. A retry goes on after the last finished
step. States: pending, running, sleeping (until a time, or for an event), completed, failed, cancelled.

## Rules

1. **Ask a person before anything that changes or deletes**: \`cancel-task\`, \`cleanup\`, \`drop-queue\`, \`uninstall\`, \`migrate\`,
   \`init\`, \`maintain\`, \`cron\`, \`queue-policy\` with a flag that sets, \`grants --apply\`, \`attach-partition\`, \`detach-candidate\`,
   \`retry-task\` and \`wake-task\` of more than one task, \`spawn-task\`, \`work\`, \`emit-event\` (it cannot be taken back). Show the
   command and what it would touch; where
   there is \`--dry-run\`, it lists that and changes nothing. Never add \`--yes\` or \`--force\` on your own.
2. Never write to the tables of schema absurd by hand, and stop no worker or session by yourself.
3. Reading is safe: \`why\`, \`doctor\`, \`dump-task\`, \`queue-stats\`, every \`list-…\` and \`show-…\` change nothing and end in seconds.
4. Believe the evidence's certainty. \`known\` is a row; \`inferred\` only fits the rows. An idle worker leaves no row: "nothing has
   claimed since 14:02" does not say that no worker runs.

The database: \`-d URI\` on any command, else ABSURD_DATABASE_URL. Add \`--json\` for exact data. Data comes on standard output, notes
and errors (with a hint of what to type) on standard error. \`absurdctl COMMAND --help\` tells the flags.

## From the symptom to the command

| symptom | type |
|---|---|
| one task is stuck, or ended oddly | \`absurdctl why ID\` (of a task or a run), then \`absurdctl dump-task ID\` |
| nothing moves in a queue | \`absurdctl why --queue QUEUE\` |
| tasks of one name do not get done | \`absurdctl why --task-name NAME\` |
| no idea; an alarm | \`absurdctl doctor\` |
| I have no id | \`absurdctl list-tasks --task-name NAME --status failed --since 2h\` |
| what failed lately, and of what | \`absurdctl list-runs --status failed --limit 20\` |
| slow, or a growing backlog | \`absurdctl queue-stats\`, then \`absurdctl queue-stats --by task-name --queue QUEUE\` |
| did a worker die? who works? | \`absurdctl list-workers\`, \`absurdctl list-runs --status running\` |
| waits for an event | \`absurdctl list-waits --event EVENT\`, \`absurdctl list-events --event EVENT\` |
| what an event carried | \`absurdctl show-event EVENT --queue QUEUE\` |
| where a task got to, what a step returned | \`absurdctl list-checkpoints ID\`, \`absurdctl show-checkpoint ID STEP\` |
| errors about the schema | \`absurdctl schema-version\`, \`absurdctl migrate --check\` |

## From why's code to the repair

\`absurdctl why ID --json\` gives a stable \`code\`:

| code | repair |
|---|---|
| \`failed\` | read the error and stack in dump-task; mend and deploy the code; then \`absurdctl retry-task ID\` |
| \`failed_leases_expired\`, \`lease_expired\` | the worker died or hung: look at its logs; start one, which takes the task over |
| \`never_claimed\`, \`not_claimed_since\` | start a worker on that queue, or find out why it cannot claim |
| \`put_back\` | no worker knows that task's name: deploy one that registers it |
| \`event_never_emitted\` | find the sender; if a person agrees, emit it (below) |
| \`event_name_close\`, \`event_in_other_queue\` | mend the name or the queue in the sender's code |
| \`locked\` | another session holds the rows; its pid and query are named: report them |
| \`retry_backoff\`, \`sleeping\`, \`claimed\`, \`behind_others\`, \`next_in_line\` | healthy: wait |
| \`contradiction\` | somebody wrote to the tables by hand: report it, change nothing |

## Repairs, once a person agreed

\`\`\`sh
absurdctl retry-task ID                                     # one more attempt of a failed task, finished steps are kept
absurdctl retry-task ID --spawn-new                         # the same again from its first step, as a new task
absurdctl retry-task --task-name NAME --since 2h --dry-run  # many: look first, then the same with --yes
absurdctl fork-task ID --from-step STEP                     # a new task that does STEP again, with the steps before it
absurdctl emit-event EVENT --queue QUEUE -P KEY=VALUE       # the first emission of a name wins for ever
absurdctl cancel-task ID                                    # for good; a running worker finds out at its next step
absurdctl spawn-task NAME --queue QUEUE -P KEY=VALUE        # another task; with --wait --timeout 60 its end is awaited
absurdctl await-task ID --timeout 60                        # until it ends: exit 0, 6 or 7
absurdctl cleanup QUEUE 30 --dry-run                        # what ended more than 30 days ago
\`\`\`

## Exit codes

0 done · 1 failed (doctor: something critical; migrate --check: behind) · 2 wrong usage · 3 not found · 4 refused: wrong state, or
not confirmed · 5 no server, or no schema · 6 the task that was awaited failed or was cancelled · 7 waiting timed out · 130 Ctrl-C

With \`--json\` an error is one object on standard error: \`code\`, \`message\`, \`hint\`.

## JSON members

- why: \`code\`, \`verdict\` (fine, waiting, stuck, ended), \`sentence\`, \`evidence\` [\`certainty\`, \`what\`, \`value\`], \`next\` (commands),
  \`also\`, \`unread\`, \`queue\`, \`task_id\`, \`run_id\`, \`task_name\`
- doctor: \`findings\` [\`check\`, \`severity\`, \`queue\`, \`seen\`, \`why\`, \`mend\`], \`counts\`, \`unread\`
- list-tasks: [\`task_id\`, \`queue_name\`, \`task_name\`, \`state\`, \`attempts\`, \`max_attempts\`, \`activity_at\`, \`run_id\`, \`wake_event\`,
  \`claimed_by\`, \`claim_expires_at\`]
- dump-task: \`task_name\`, \`state\`, \`params\`, \`runs\` [\`attempt\`, \`state\`, \`claimed_by\`, \`failure_reason\`, \`result\`], \`waits\`,
  \`checkpoints\` [\`checkpoint_name\`, \`state\`], \`cut\`

Times are RFC 3339 in UTC; numbers keep every digit.
`;
