import { describe } from 'vitest';
import { run } from '../support/command.js';
import { expect, test, type SpawnedTask } from '../support/database.js';
import { hostileNames } from './names.js';

describe('hostile names', () => {
  for (const name of hostileNames) {
    test(`queue, task and event ${JSON.stringify(name)} go through every command`, async ({ db }) => {
      await db.queue(name);
      const taskName = name.trim() === '' ? 'job' : name;
      const spawned = await run(['spawn-task', `--queue=${name}`, '--max-attempts=1', '--json', '--', taskName], db);
      expect(spawned.stderr).toBe('');
      const { task_id: id, run_id: runId } = spawned.json<SpawnedTask>();
      const listed = (await run(['list-tasks', `--queue=${name}`, `--task-name=${taskName}`, '--json'], db)).json();
      expect(listed).toMatchObject([{ task_id: id, queue_name: name, task_name: taskName }]);
      expect((await run(['dump-task', id, `--queue=${name}`, '--json'], db)).json()).toMatchObject({
        queue_name: name,
        task_name: taskName,
      });
      expect((await run(['why', id, '--json'], db)).json()).toMatchObject({ queue: name, task_id: id });
      expect((await run(['why', `--queue=${name}`], db)).code).toBe(0);
      const [claimed] = await db.claim(name);
      await db.query('select absurd.await_event($1, $2, $3, $4, $5)', [name, id, claimed?.run_id, 's', taskName]);
      expect((await run(['emit-event', `--queue=${name}`, '--json', '--', taskName], db)).json()).toMatchObject({
        waiting: 1,
      });
      await db.query('select absurd.fail_run($1, $2, $3)', [name, (await db.claim(name))[0]?.run_id, '{}']);
      expect((await run(['retry-task', id, `--queue=${name}`, '--json'], db)).json()).toMatchObject({ attempt: 2 });
      expect((await run(['cancel-task', runId], db)).code).toBe(0);
      expect((await run(['await-task', id], db)).code).toBe(6);
      for (const argv of [['list-tasks'], ['dump-task', id], ['list-queues'], ['why', id], ['doctor']]) {
        const screen = await run(argv, { ...db, width: 100 });
        expect(screen.stdout + screen.stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      }
    });
  }
});
