import { describe } from 'vitest';
import { expect, test } from '../support/database.js';
import { hasShell, startShell, type ShellName } from './shells.js';

describe.each(['bash', 'zsh', 'fish'] as ShellName[])('%s on a terminal', (name) => {
  test('commands, flags, their values, queues and names come in as whole words', async ({ db, skip }) => {
    skip(!hasShell(name), `${name} is not installed here`);
    await db.queue('orders');
    await db.queue("it's my queue");
    await db.queue('tenant:north');
    await db.queue('tenant:south $HOME');
    await db.queue('say "x" !');
    await db.spawn('orders', 'send mail: now');
    const shell = await startShell(name, db.url);

    expect(await shell.words('absurdctl list-que\t')).toEqual(['list-queues']);
    expect(await shell.words('absurdctl list-tasks --stat\tcancel\t')).toEqual(['list-tasks', '--status', 'cancelled']);
    expect(await shell.words('absurdctl list-tasks -q ord\t')).toEqual(['list-tasks', '-q', 'orders']);
    expect(await shell.words('absurdctl list-tasks --queue=ord\t')).toEqual(['list-tasks', '--queue=orders']);
    expect(await shell.words('absurdctl drop-queue it\t')).toEqual(['drop-queue', "it's my queue"]);
    expect(await shell.words('absurdctl drop-queue "it\t')).toEqual(['drop-queue', "it's my queue"]);
    expect(await shell.words('absurdctl drop-queue tenant:n\t')).toEqual(['drop-queue', 'tenant:north']);
    expect(await shell.words('absurdctl list-tasks --queue=tenant:s\t')).toEqual([
      'list-tasks',
      '--queue=tenant:south $HOME',
    ]);
    expect(await shell.words('absurdctl drop-queue say\t')).toEqual(['drop-queue', 'say "x" !']);
    expect(await shell.words('absurdctl spawn-task -q orders send\t')).toEqual([
      'spawn-task',
      '-q',
      'orders',
      'send mail: now',
    ]);
    shell.kill();
    await shell.done;
  });
});
