import { expect, test } from 'vitest';
import { toJson } from '../../src/lib/cli/format/json.js';
import { adviceText, command, hint, joined } from '../../src/lib/cli/hint.js';

const place = { database: 'shop', host: '-odd', port: 5433, user: 'me' };
const typed = "--database shop --host='-odd' --port 5433 --user me";

test('a command is words, quoted only when it is printed', () => {
  const line = command('list-runs', { queue: 'my queue', status: 'running', limit: 5, json: true, since: undefined });
  expect(line.parts).toEqual([
    { id: 'list-runs', args: ['--queue', 'my queue', '--status', 'running', '--limit', '5', '--json'] },
  ]);
  expect(line.text()).toBe("absurdctl list-runs --queue 'my queue' --status running --limit 5 --json");
  expect(command('grants', 'the role', { as: 'reader', U: 'owner' }).text()).toBe(
    "absurdctl grants 'the role' --as reader -U owner",
  );
});

test('names that start with a dash stay names', () => {
  expect(command('emit-event', '--all', { queue: '-q' }).text()).toBe("absurdctl emit-event --queue='-q' -- '--all'");
  expect(command('retry-task', '-').text()).toBe('absurdctl retry-task -');
});

test('every command in it leads to the database that was named', () => {
  const advice = hint`${command('why', 'ID')} names it, "absurdctl why" is a name; then ${command('init')}`;
  expect(advice.text()).toBe('absurdctl why ID names it, "absurdctl why" is a name; then absurdctl init');
  expect(advice.text(place)).toBe(
    `absurdctl why ${typed} ID names it, "absurdctl why" is a name; then absurdctl init ${typed}`,
  );
});

test('a role of its own is kept, help and commands without a database take no flags', () => {
  const user = { user: 'me' };
  for (const line of [command('init', { U: 'owner' }), command('init', { user: '-o' })])
    expect(line.text(user)).toBe(line.text());
  expect(command('cron', { help: true }).text(place)).toBe('absurdctl cron --help');
  expect(command('dev', { detach: true }).text(place)).toBe('absurdctl dev --detach');
});

test('advice in advice stays data, and JSON has its text', () => {
  const advice = hint`first ${joined([command('init'), 'then wait'], ', ')}; ${2} times`;
  expect(advice.parts).toEqual(['first ', { id: 'init', args: [] }, ', ', 'then wait', '; ', '2', ' times']);
  expect(toJson({ hint: advice })).toBe('{"hint":"first absurdctl init, then wait; 2 times"}');
  expect(JSON.stringify([advice])).toBe('["first absurdctl init, then wait; 2 times"]');
  expect(adviceText('start a worker', place)).toBe('start a worker');
});
