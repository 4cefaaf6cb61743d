/** Incidents of one task, each asked of `why`. */
import { awaitEvent, before, claimOne, clock, complete, fail, hour, minute, save, type Incident } from './stage.js';

export const taskIncidents: Incident[] = [
  {
    title: 'A task waits for an event that somebody has emitted',
    command: 'why $task',
    says: /"order:42:payed" was, in the same queue/,
    types: ['show-event order:42:payed --queue mail'],
    async stage(db) {
      await db.queue('mail');
      await before(db, 2 * hour);
      await db.spawn('mail', 'send-invoice', { order: 42 });
      const run = await claimOne(db, 'mail', 'app-1:worker');
      await awaitEvent(db, 'mail', run, 'wait-paid', 'order:42:paid');
      await before(db, hour);
      await db.query(`select absurd.emit_event('mail', 'order:42:payed', '{"cents": 1999}')`);
      return { task: run.task_id };
    },
  },
  {
    title: 'The event was emitted on another queue',
    command: 'why $task',
    says: /emitted in queue "billing" and not in its own, "mail"/,
    types: [`emit-event order:42:paid --queue mail --payload '{"cents": 1999}'`],
    async stage(db) {
      await db.queue('mail');
      await db.queue('billing');
      await before(db, 2 * hour);
      await db.spawn('mail', 'send-invoice', { order: 42 });
      const run = await claimOne(db, 'mail', 'app-1:worker');
      await awaitEvent(db, 'mail', run, 'wait-paid', 'order:42:paid');
      await before(db, hour);
      await db.query(`select absurd.emit_event('billing', 'order:42:paid', '{"cents": 1999}')`);
      return { task: run.task_id };
    },
  },
  {
    title: 'A task fails again and again, and never gives up',
    command: 'why $task',
    says: /retrying without limit or delay/,
    types: ['cancel-task $task --queue mail'],
    async stage(db) {
      await db.queue('mail');
      await before(db, hour);
      const task = await db.spawn(
        'mail',
        'call-webhook',
        { url: 'https://example.org' },
        { retry_strategy: { kind: 'none' } },
      );
      for (let attempt = 1; attempt <= 40; attempt += 1) {
        await before(db, hour - attempt * 80);
        await fail(
          db,
          'mail',
          await claimOne(db, 'mail', 'app-1:worker'),
          'HttpError',
          `HTTP 410 for request ${attempt}`,
        );
      }
      return { task: task.task_id };
    },
  },
  {
    title: 'A task has failed since a deploy',
    command: 'why $task',
    says: /The code has changed since attempt 1/,
    types: ['list-checkpoints $task --queue docs'],
    async stage(db) {
      await db.queue('docs');
      await before(db, hour);
      const task = await db.spawn(
        'docs',
        'import',
        { url: 'https://example.org/a.pdf' },
        { retry_strategy: { kind: 'fixed', base_seconds: 60 } },
      );
      const first = await claimOne(db, 'docs', 'app-1:worker');
      await save(db, 'docs', first, 'fetch', { bytes: 81_000 });
      await fail(db, 'docs', first, 'TypeError', 'document.pages is not iterable');
      await before(db, 30 * minute);
      const next = await claimOne(db, 'docs', 'app-2:worker');
      await save(db, 'docs', next, 'fetch-document', { size: 81_000 });
      await fail(db, 'docs', next, 'TypeError', 'document.pages is not iterable');
      return { task: task.task_id };
    },
  },
  {
    title: 'Workers crash, and one task may be the cause',
    command: 'why $task',
    says: /this task may be what crashes them/,
    async stage(db) {
      await db.queue('images');
      await before(db, hour);
      const task = await db.spawn('images', 'resize', { key: 'raw/7.tiff' }, { max_attempts: 5 });
      await before(db, 50 * minute);
      await save(db, 'images', await claimOne(db, 'images', 'app-1:worker'), 'download');
      await before(db, 40 * minute);
      await claimOne(db, 'images', 'app-2:worker');
      return { task: task.task_id };
    },
  },
  {
    title: 'A task runs twice, and its lease expires while it works',
    command: 'why $task',
    says: /Its lease is shorter than its steps/,
    async stage(db) {
      await db.queue('images');
      await before(db, hour);
      await db.spawn('images', 'resize', { key: 'raw/6.tiff' });
      const done = await claimOne(db, 'images', 'app-1:worker', 30);
      await before(db, hour - 45);
      await complete(db, 'images', done);
      const task = await db.spawn('images', 'resize', { key: 'raw/7.tiff' });
      for (const seconds of [10 * minute, 5 * minute]) {
        await before(db, seconds);
        await claimOne(db, 'images', 'app-1:worker', 30);
      }
      await before(db, minute);
      return { task: task.task_id };
    },
  },
  {
    title: 'A task is claimed and put back',
    command: 'why $task',
    says: /none seems to know the name "send-sms"/,
    types: ['cancel-task $task --queue mail'],
    async stage(db) {
      await db.queue('mail');
      await before(db, minute);
      const task = await db.spawn('mail', 'send-sms', { to: '+43 1 555' });
      for (const seconds of [40, 10]) {
        await before(db, seconds);
        const run = await claimOne(db, 'mail', 'app-1:worker');
        await db.query(`select absurd.schedule_run('mail', $1, absurd.current_time() + interval '20 seconds')`, [
          run.run_id,
        ]);
      }
      return { task: task.task_id };
    },
  },
  {
    title: 'A parent waits for its child',
    command: 'why $task',
    says: /and that task: it waits for a worker/,
    async stage(db) {
      await db.queue('orders');
      await db.queue('reports');
      await before(db, hour);
      const child = await db.spawn('reports', 'render-report', { month: '2026-02' });
      await db.spawn('orders', 'close-month', { month: '2026-02' });
      const parent = await claimOne(db, 'orders', 'app-1:worker');
      await awaitEvent(db, 'orders', parent, 'wait-report', `report:${child.task_id}`);
      return { task: parent.task_id };
    },
  },
  {
    title: 'A task sleeps and wakes without end',
    command: 'why $task',
    says: /It polls: /,
    types: ['list-checkpoints $task --queue docs'],
    async stage(db) {
      await db.queue('docs');
      await before(db, hour);
      const task = await db.spawn('docs', 'watch-upload');
      const run = await claimOne(db, 'docs', 'app-1:worker', 2 * hour);
      for (let look = 0; look < 60; look += 1) {
        const seconds = 30 - look / 3;
        await before(db, seconds);
        const until = new Date(clock.at - seconds * 1000 + 300).toISOString();
        await save(db, 'docs', run, look === 0 ? 'sleep' : `sleep#${look + 1}`, until);
      }
      await db.query(`select absurd.schedule_run('docs', $1, absurd.current_time() + interval '30 seconds')`, [
        run.run_id,
      ]);
      return { task: task.task_id };
    },
  },
  {
    title: 'A task starts in a thousand years',
    command: 'why $task',
    says: /were milliseconds given where seconds are taken\?/,
    types: ['cancel-task $task --queue mail'],
    async stage(db) {
      await db.queue('mail');
      await before(db, 5 * minute);
      const task = await db.spawn('mail', 'remind');
      const run = await claimOne(db, 'mail', 'app-1:worker');
      await db.query(`select absurd.schedule_run('mail', $1, absurd.current_time() + interval '973 years 2 days')`, [
        run.run_id,
      ]);
      return { task: task.task_id };
    },
  },
  {
    title: 'A task failed although it had attempts left',
    command: 'why $task',
    says: /retry_strategy/,
    types: ['retry-task $task --queue mail'],
    async stage(db) {
      await db.queue('mail');
      await before(db, hour);
      const task = await db.spawn('mail', 'send-mail', {}, { max_attempts: 5 });
      await db.query(`update absurd.t_mail set retry_strategy = '{"kind": "fixed", "base_seconds": "soon"}'`);
      await fail(db, 'mail', await claimOne(db, 'mail', 'app-1:worker'), 'Error', 'connect ECONNREFUSED 10.0.0.7:25');
      return { task: task.task_id };
    },
  },
  {
    title: 'Somebody changed the rows by hand',
    command: 'why $task',
    says: /rows/,
    async stage(db) {
      await db.queue('mail');
      await before(db, hour);
      const task = await db.spawn('mail', 'send-mail');
      await claimOne(db, 'mail', 'app-1:worker');
      await db.query(`update absurd.t_mail set state = 'completed'`);
      return { task: task.task_id };
    },
  },
];
