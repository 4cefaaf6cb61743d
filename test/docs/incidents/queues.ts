/** Incidents of a queue, and of the whole database. */
import pg from 'pg';
import { aged } from '../../diagnosis/support.js';
import { before, claimOne, complete, fail, hour, minute, type Incident } from './stage.js';

const connected: pg.Client[] = [];

export const queueIncidents: Incident[] = [
  {
    title: 'Nothing moves in a queue',
    command: 'why --queue billing',
    says: /no worker has claimed from this queue since/,
    types: ['list-workers --queue billing'],
    async stage(db) {
      await db.queue('billing');
      await before(db, hour);
      await db.spawn('billing', 'charge', { order: 41 });
      await complete(db, 'billing', await claimOne(db, 'billing', 'app-1:worker'));
      await before(db, 40 * minute);
      for (const order of [42, 43, 44]) await db.spawn('billing', 'charge', { order });
      return {};
    },
  },
  {
    title: 'A queue stands still although its workers run',
    command: 'doctor',
    says: /CRITICAL {2}blocked {2}billing/,
    async stage(db, second) {
      await db.queue('billing');
      await before(db, 20 * minute);
      for (const order of [42, 43, 44]) await db.spawn('billing', 'charge', { order });
      await db.unfreeze();
      await second.query(`set application_name = 'migration'`);
      await second.query('begin');
      await second.query('alter table absurd.r_billing add column note text');
      await aged(db, await second.pid(), 2);
      return {};
    },
    after: (second) => second.query('rollback'),
  },
  {
    title: 'Many tasks fail at once',
    command: 'doctor',
    says: /retry-storm/,
    async stage(db) {
      await db.queue('mail');
      for (let at = 40; at > 10; at -= 1) {
        await before(db, at * 5);
        await db.spawn(
          'mail',
          'send-mail',
          {},
          { max_attempts: 2, retry_strategy: { kind: 'fixed', base_seconds: 600 } },
        );
        await fail(
          db,
          'mail',
          await claimOne(db, 'mail', 'app-1:worker'),
          'Error',
          `connect ECONNREFUSED 10.0.0.${at}:25`,
        );
      }
      return {};
    },
  },
  {
    title: 'Workers cannot connect',
    command: 'doctor --only connections',
    says: /connection limit/i,
    async stage(db) {
      await db.queue('mail');
      const role = `app_worker_${db.name.slice(-8)}`;
      await db.query(`create role ${role} login password 'x' connection limit 2`);
      const address = new URL(db.url);
      [address.username, address.password] = [role, 'x'];
      for (let i = 0; i < 2; i += 1) {
        const client = new pg.Client({ connectionString: address.href, application_name: 'absurdctl work:app-1:4f1c' });
        await client.connect();
        connected.push(client);
      }
      return { role };
    },
    async after(second, { role }) {
      await Promise.all(connected.map((client) => client.end()));
      await second.query(`drop role ${role}`);
    },
  },
  {
    title: 'Ages and times make no sense',
    command: 'doctor',
    says: /clock-stopped/,
    stopped: true,
    async stage(db) {
      await db.queue('mail');
      await before(db, 26 * hour);
      await db.spawn('mail', 'send-mail');
      return {};
    },
  },
];
