import { adviceText } from '../../src/lib/cli/hint.js';
import { describe } from 'vitest';
import { CliError, exit, toCliError } from '../../src/lib/cli/errors.js';
import { unknownQueue } from '../../src/lib/cli/explain.js';
import { expect, test } from '../support/database.js';

describe('exit codes of what the server says', () => {
  test.for([
    ['P0002', exit.notFound, 'not_found'],
    ['AB001', exit.refused, 'task_cancelled'],
    ['AB002', exit.refused, 'run_failed'],
    ['55000', exit.refused, 'wrong_state'],
    ['22023', exit.usage, 'bad_value'],
    ['22P02', exit.usage, 'bad_value'],
    ['23514', exit.usage, 'bad_value'],
    ['3F000', exit.unreachable, 'schema_missing'],
    ['42501', exit.failed, 'not_permitted'],
    ['40001', exit.failed, 'retry'],
    ['0A000', exit.failed, 'sqlstate_0A000'],
  ] as const)('%s is %d, %s', async ([state, exitCode, code], { fileDb }) => {
    const raised = fileDb.query(
      `do $$ begin raise exception 'what happened' using errcode = '${state}', hint = 'what to do'; end $$`,
    );

    const error = toCliError(await raised.catch((thrown: unknown) => thrown));

    expect(error).toMatchObject({ exitCode, code, message: 'what happened', hint: 'what to do' });
  });

  test('a statement that is ended by its time limit, and a lock that did not come', async ({ fileDb }) => {
    await fileDb.query('begin');
    await fileDb.query(`set local statement_timeout = 1`);
    const late = await fileDb.query('select pg_sleep(5)').catch((thrown: unknown) => thrown);
    await fileDb.query('rollback');

    const error = toCliError(late);
    expect(error).toMatchObject({ exitCode: exit.failed, code: 'statement_timeout' });
    expect(adviceText(error.hint ?? '')).toContain('absurdctl doctor --only blocked');
  });

  test('a connection that was ended is exit 5', async ({ fileDb }) => {
    const doomed = await fileDb.connect();
    const pid = await doomed.pid();
    const waiting = doomed.query('select pg_sleep(60)').catch((thrown: unknown) => thrown);
    await expect
      .poll(
        async () =>
          (await fileDb.query(`select 1 from pg_stat_activity where pid = $1 and state = 'active'`, [pid])).rows,
      )
      .toHaveLength(1);
    await fileDb.query('select pg_terminate_backend($1)', [pid]);

    expect(toCliError(await waiting)).toMatchObject({ exitCode: exit.unreachable });
    const later = await doomed.query('select 1').catch((thrown: unknown) => thrown);
    expect(toCliError(later)).toMatchObject({ exitCode: exit.unreachable, code: 'unreachable' });
  });
});

test('an error of ours stays what it is', () => {
  const ours = new CliError('no', { exitCode: 6, code: 'mine' });
  expect(toCliError(ours)).toBe(ours);
  expect(toCliError('odd')).toMatchObject({ exitCode: exit.failed, message: 'odd' });
});

test('an unknown queue gets the nearest name, or what there is', () => {
  expect(unknownQueue('defualt', ['default', 'other'])).toMatchObject({ exitCode: 3, hint: 'did you mean "default"?' });
  expect(unknownQueue('zzz', ['default']).hint).toContain('"default"');
  expect(adviceText(unknownQueue('zzz', []).hint ?? '')).toContain('no queues yet');
});
