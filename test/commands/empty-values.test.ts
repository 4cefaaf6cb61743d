/** Values that are empty, as an unset variable of a shell leaves them: refused by every command, before it connects. */
import { loadCommands } from '../../src/main.js';
import { expect, test } from '../support/database.js';
import { run } from '../support/command.js';

const nowhere = { url: 'postgresql://127.0.0.1:1/x' };

interface Described {
  type?: string;
  required?: boolean;
  options?: readonly string[];
}

const required = (args: object | undefined): string[] =>
  Object.values((args ?? {}) as Record<string, Described>).flatMap((arg) =>
    arg.required ? [arg.options?.[0] ?? 'x'] : [],
  );

test('a flag of any command', async () => {
  const wrong: string[] = [];
  for (const { id, args, flags = {}, baseFlags = {} } of await loadCommands()) {
    const texts = Object.entries({ ...flags, ...baseFlags } as Record<string, Described>).filter(
      ([, { type }]) => type === 'option',
    );
    for (const [name] of texts) {
      const { code, stderr } = await run([id, ...required(args), `--${name}`, ''], nowhere);
      if (code !== 2) wrong.push(`${id} --${name} "": ${code} ${stderr}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('a value of any flag that is refused is refused in one line', async () => {
  const wrong: string[] = [];
  for (const { id, args, flags = {}, baseFlags = {} } of await loadCommands()) {
    for (const [name, { type }] of Object.entries({ ...flags, ...baseFlags } as Record<string, Described>)) {
      if (type !== 'option') continue;
      const { code, stderr } = await run([id, ...required(args), `--${name}`, 'o\ndd'], nowhere);
      if (code === 2 && !/^Error: [^\n]+\n(Hint: [^\n]+\n)?$/.test(stderr)) wrong.push(`${id} --${name}: ${stderr}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('an argument of any command', async () => {
  const wrong: string[] = [];
  for (const { id, args = {} } of await loadCommands()) {
    for (const [at] of Object.keys(args).entries()) {
      const typed = Object.keys(args).map((_, i) => (i === at ? '' : 'x'));
      const { code, stderr } = await run([id, ...typed], nowhere);
      if (code !== 2) wrong.push(`${id} ${typed.map((word) => `"${word}"`).join(' ')}: ${code} ${stderr}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('an empty idempotency key does not make one task of many', async ({ db }) => {
  await db.queue('default');
  const { code, stderr } = await run(['spawn-task', 'a', '--idempotency-key', ''], db);
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'Error: --idempotency-key is empty\nHint: is a shell variable unset? Omit the flag to use its default\n',
  });
  expect((await run(['spawn-task', 'a', '-P', 'k=', '--idempotency-key', 'k'], db)).code).toBe(0);
});
