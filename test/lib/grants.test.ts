import { expect, test } from 'vitest';
import { grantCommand, rightHint } from '../../src/lib/grants/hint.js';
import { needOf } from '../../src/lib/grants/kinds.js';

test.for([
  ['list-tasks -n send', 'reader'],
  ['migrate', 'owner'],
  ['migrate --dry-run', 'reader'],
  ['cleanup q 3', 'operator'],
  ['cleanup q 3 -n', 'reader'],
  ['retry-task -n send --yes', 'worker'],
  ['retry-task --all --dry-run', 'reader'],
  ['queue-policy q', 'reader'],
  ['queue-policy q --cleanup-ttl=3d', 'operator'],
  ['queue-policy -- --cleanup-ttl', 'reader'],
  ['grants app --as worker', 'reader'],
  ['grants app --as worker --apply', 'owner'],
  ['dev', 'none'],
  ['no-such-thing', undefined],
] as const)('absurdctl %s needs %s', ([line, need]) => {
  const [command = '', ...argv] = line.split(' ');
  expect(needOf(command, argv)).toBe(need);
});

test('the hint is a command line for a shell, whatever the names are', () => {
  const standing = { me: `it's me`, owner: 'the boss', enters: true, standby: false };
  expect(grantCommand(standing, 'reader')).toBe(`absurdctl grants 'it'\\''s me' --as reader --apply -U 'the boss'`);
  expect(rightHint(standing, 'worker')).toBe(grantCommand(standing, 'worker'));
  expect(rightHint(standing, 'owner')).toBe(`only the owner of the schema may: -U 'the boss'`);
  expect(rightHint({ ...standing, owner: standing.me }, 'owner')).toContain('the role that owns that table');
  expect(rightHint({ ...standing, owner: null }, 'worker')).toBe('connect as a role that may (-U)');
});
