/** Each kind of role can do all that it is for, and nothing beyond. */
import { kinds, type Kind, type Need } from '../../src/lib/grants/kinds.js';
import { run, type RunResult } from '../support/command.js';
import { createDatabase, describe, expect, test } from '../support/database.js';
import { everyLine, named, type Given, type Line } from './every-command.js';
import { errorOf, fill, makeQueue, runLine, snapshot, standInForCron, withFolder, withRole } from './roles.js';

const includes = (kind: Kind, need: Need): boolean =>
  kinds.indexOf(need as Kind) <= kinds.indexOf(kind) && need !== 'owner';

/** What a command said, with the parts that could not be read: nothing, where all is well. */
function complaint(line: Line, { code, stdout, stderr }: RunResult): string {
  if (code !== 0) return `exit ${code}: ${stderr}`;
  const [command = ''] = line.argv({} as Given);
  if (!['why', 'doctor'].includes(command)) return '';
  const { unread } = JSON.parse(stdout) as { unread: { what: string }[] };
  return unread.map(({ what }) => what).join(', ');
}

for (const server of ['current', 'older'] as const) {
  describe(server === 'current' ? 'PostgreSQL 18' : 'PostgreSQL 15', () => {
    for (const kind of kinds) {
      for (const mode of ['unpartitioned', 'partitioned'] as const) {
        test(`${kind}, ${mode} queue`, { timeout: 120_000 }, async () => {
          const lease = await createDatabase(server, true);
          const { database: db } = lease;
          try {
            await standInForCron(db);
            const queue = await makeQueue(db, mode);
            await withFolder((folder) =>
              withRole(db, async (role) => {
                const granted = await run(['grants', role.name, '--as', kind, '--apply'], db);
                expect(granted.stderr).toContain(`"${role.name}" is ${kind === 'operator' ? 'an' : 'a'} ${kind} now`);
                const lines = everyLine.filter(
                  ({ needs, partitioned }) => needs !== 'none' && (!partitioned || mode === 'partitioned'),
                );
                const wrong: string[] = [];
                for (const line of lines) {
                  const given = await fill(db, queue, role, folder);
                  if (includes(kind, line.needs)) {
                    const said = complaint(line, await runLine(line, given, role.url, folder));
                    if (said !== '') wrong.push(`${named(line, given)}: ${said}`);
                    continue;
                  }
                  const before = await snapshot(db);
                  const refused = await runLine(line, given, role.url, folder);
                  const { code, hint } = errorOf(refused);
                  const words =
                    line.needs === 'owner' ? '-U postgres' : `absurdctl grants ${role.name} --as ${line.needs}`;
                  if (code !== 'not_permitted' || refused.code !== 1 || !hint?.includes(words)) {
                    wrong.push(`${named(line, given)}: exit ${refused.code}, ${refused.stderr}${refused.stdout}`);
                  }
                  expect(await snapshot(db), named(line, given)).toEqual(before);
                }
                expect(wrong).toEqual([]);
              }),
            );
          } finally {
            await lease.close();
          }
        });
      }
    }
  });
}
