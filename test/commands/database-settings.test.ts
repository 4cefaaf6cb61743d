/** What commands answer does not depend on the settings of the database. */
import { makeScene, now, type Scene } from '../golden/scene.js';
import { run } from '../support/command.js';
import { afterAll, beforeAll, expect, test, createDatabase, type Lease } from '../support/database.js';
import { resetSettings, applySettings, databaseSettings } from '../support/database-settings.js';

const lines = (scene: Scene): string[][] => [
  ['schema-version', '--json'],
  ['list-queues', '--json'],
  ['queue-policy', 'ledger', '--json'],
  ['queue-policy', 'ledger'],
  ['list-detach-candidates', '--show-sql'],
  ['list-partitions', '--json'],
  ['list-tasks', '--json'],
  ['list-tasks', '-o', 'csv'],
  ['dump-task', '--task-id', scene.failed],
  ['dump-task', '--task-id', scene.completed, '--json'],
  ['export-task', scene.failed],
  ['retry-task', '-q', 'orders', '--all', '--dry-run'],
  ['cleanup', '--all', '--dry-run', '--older-than', '0', '--json'],
  ['why', scene.waiting, '--json'],
  ['why', scene.expired],
  ['why', scene.asleep],
  ['why', '--queue', 'orders', '--json'],
  ['why', '--task-name', 'charge', '--json'],
  ['doctor', '--fail-on', 'never', '--json'],
  ['queue-stats', '--json'],
  ['queue-stats', '--by', 'task-name', '--json'],
  ['queue-stats', '-o', 'openmetrics'],
  ['list-workers', '--json'],
  ['list-runs', '--json'],
  ['list-waits', '--json'],
  ['list-events', '--json'],
  ['list-checkpoints', scene.failed, '--json'],
  ['migrate', '--check'],
  ['migrate', '--dry-run'],
  ['grants', 'absurd_test_reader', '--as', 'reader'],
  ['uninstall', '--dry-run'],
];

let lease: Lease;
let scene: Scene;
const expected = new Map<string, unknown>();

const answers = async (argv: string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await run(argv, { url: lease.database.url, now });
  // The server counts dead rows when it comes to it.
  return { code, stdout: stdout.replace(/(dead_rows\W.*?)\d+(,?)$/gm, '$1N$2'), stderr };
};

beforeAll(async () => {
  lease = await createDatabase('current', true);
  scene = await makeScene(lease.database);
  for (const argv of lines(scene)) expected.set(argv.join(' '), await answers(argv));
});
afterAll(() => lease.close());

const all = {
  ...databaseSettings,
  'nothing may be written': { settings: ['default_transaction_read_only = on'] },
};

test.for(Object.entries(all))('%s', { timeout: 120_000 }, async ([, given]) => {
  await applySettings(lease.database, given);
  try {
    for (const argv of lines(scene)) {
      // To compare the schema, migrate makes its functions again and rolls that back.
      if (given.settings.includes('default_transaction_read_only = on') && argv[0] === 'migrate') continue;
      const line = argv.join(' ');
      expect.soft(await answers(argv), line).toEqual(expected.get(line));
    }
  } finally {
    await resetSettings(lease.database, given);
  }
});
