/** What `install-skill` writes: how a coding agent debugs workflows with this program. */
export const skill = `---
name: absurd
description: Debug durable workflows kept in Postgres by Absurd with the absurdctl command line - find stuck or failed tasks, read their history, retry, cancel, or send the event they wait for.
---

# Debugging Absurd workflows with absurdctl

Absurd keeps tasks, their attempts (runs), the results of their steps (checkpoints) and events in a Postgres schema. A task is a
workflow; a retry goes on after its last finished step. Workers pull; a worker that is idle leaves no row.

The database: \`-d URI\`, or ABSURD_DATABASE_URL. Add \`--json\` to any command for exact data. Errors go to standard error
with a hint of what to type. Exit codes: 2 usage, 3 not found, 4 refused, 5 unreachable, 6 task failed, 7 timed out.

## Start here

1. \`absurdctl why ID\` says in one sentence why a task (or run) does not move, with evidence and the next commands. Without an
   id: \`absurdctl why --queue QUEUE\` or \`--task-name NAME\`.
2. \`absurdctl doctor\` examines the whole database: dead workers, expired leases, backlogs, retry storms, waits whose event
   never came.
3. \`absurdctl dump-task ID\` shows all there is of one task: parameters, each attempt with its error and stack, checkpoints.

## Find the task

- \`absurdctl list-tasks --status failed --since 2h\`, also \`-q QUEUE\`, \`-n NAME\`, \`--limit N\`
- \`absurdctl list-runs --status running\` (who holds which lease), \`absurdctl list-workers\`
- \`absurdctl list-waits\` (who waits for which event), \`absurdctl list-events\`
- \`absurdctl queue-stats\` (what comes in, goes out, how long it takes)

## Act, once you know

- Another attempt for a failed task: \`absurdctl retry-task ID\` (finished steps are kept); from scratch: \`--spawn-new\`.
- The event it waits for: \`absurdctl emit-event NAME -q QUEUE -P key=value\`. The first emission of a name wins for ever: look
  with \`absurdctl list-events --event NAME\` first.
- Stop it: \`absurdctl cancel-task ID\`.
- Try a fix: \`absurdctl spawn-task NAME -q QUEUE -P key=value --wait --timeout 60\`.

## Mind

- Reading commands change nothing; retry, emit and cancel do. Ask before acting on a production database.
- Evidence is marked known or inferred: "no claim since 14:02" is not "no worker".
- Do not write to the tables by hand; the functions of the schema keep runs and tasks consistent.
`;
