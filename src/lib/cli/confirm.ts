import { CliError, exit, interrupted, refused } from './errors.js';
import { harmless } from './format/text.js';
import type { Io } from './io.js';

/** The streams of a question, and what ends it. */
interface Context {
  input: NodeJS.ReadableStream;
  output: NodeJS.WritableStream;
  signal: AbortSignal;
}

/** Shows a question. Raises `unanswered` at Ctrl-D; inquirer itself would wait forever. */
async function ask<T>(show: (context: Context) => Promise<T>, io: Io, unanswered: () => CliError): Promise<T> {
  const { stdin } = io;
  const ended = new AbortController();
  const onKey = (_text: string | undefined, key: { name?: string; ctrl?: boolean } | undefined): void => {
    if (key?.ctrl && key.name === 'd') ended.abort();
  };
  // Questions belong on standard error: standard output is for data.
  const context = { input: stdin, output: process.stderr, signal: ended.signal };
  stdin.on('keypress', onKey);
  try {
    return await show(context);
  } catch (error) {
    if (error instanceof Error && error.name === 'ExitPromptError') throw interrupted();
    if (ended.signal.aborted) throw unanswered();
    throw error;
  } finally {
    stdin.off('keypress', onKey);
  }
}

const noPassword = (): CliError =>
  new CliError('No password was typed', {
    exitCode: exit.unreachable,
    code: 'authentication_failed',
    hint: 'set PGPASSWORD, or add a line to ~/.pgpass: host:port:database:user:password',
  });

/** The prompts are loaded only for a question. */
export async function askPassword(io: Io, message: string): Promise<string> {
  const { password } = await import('./prompts.js');
  return ask((context) => password({ message: harmless(message) }, context), io, noPassword);
}

const noAnswer = (): CliError =>
  refused('Not confirmed: there was no answer', 'type yes, or add --yes to continue', 'not_confirmed');

/**
 * Asks for confirmation before a command deletes something or changes many tasks. `yes` is the command's --yes. Raises
 * exit code 4 if the answer is no, or if there is no terminal to ask on.
 */
export async function confirm(io: Io, question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!io.inTty || !io.errTty) {
    throw refused(
      `Not confirmed: ${question}`,
      'there is no terminal to ask on; add --yes to continue',
      'not_confirmed',
    );
  }
  const prompts = await import('./prompts.js');
  const message = harmless(question);
  const answer = await ask((context) => prompts.confirm({ message, default: false }, context), io, noAnswer);
  if (!answer) throw refused('Nothing was changed', undefined, 'not_confirmed');
}

/** `confirm` for a list: first shows up to 20 affected items on standard error. */
export async function confirmMany(
  io: Io,
  question: string,
  lines: readonly string[],
  yes: boolean | undefined,
): Promise<void> {
  if (!yes && io.inTty) {
    for (const line of lines.slice(0, 20)) io.err(`  ${harmless(line)}\n`);
    if (lines.length > 20) io.err(`  … and ${lines.length - 20} more\n`);
  }
  await confirm(io, question, yes);
}

/**
 * Asks for a typed `yes`, from a terminal or a pipe. Returns false for any other answer; raises exit code 4 if the
 * input ends without one.
 */
export async function confirmTyped(io: Io, question: string): Promise<boolean> {
  io.err(harmless(question));
  const answer = await readLine(io);
  if (!io.inTty) io.err('\n');
  if (answer === undefined) {
    throw noAnswer();
  }
  return answer.trim().toLowerCase() === 'yes';
}

/**
 * Asks the user to type a name, before a change that cannot be undone. Raises exit code 4 for any other answer.
 * Without a terminal, `yes` (the command's --yes) is required.
 */
export async function confirmByName(io: Io, question: string, name: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!io.inTty || !io.errTty) {
    throw refused(
      `Not confirmed: ${question}`,
      'there is no terminal to ask on; add --yes to continue',
      'not_confirmed',
    );
  }
  io.err(`${harmless(`${question} (${name})`)}: `);
  if ((await readLine(io))?.trim() !== name.trim()) throw refused('Nothing was changed', undefined, 'not_confirmed');
}

/** One line of standard input, or undefined if it ends without one. Ctrl-C ends the wait with exit code 130. */
function readLine(io: Io): Promise<string | undefined> {
  const { stdin } = io;
  return new Promise((resolve, reject) => {
    let text = '';
    const finish = (settle: () => void): void => {
      unwatch();
      stdin.off('data', onData).off('end', onEnd).off('error', onEnd).pause();
      settle();
    };
    const onData = (chunk: Buffer | string): void => {
      text += String(chunk);
      if (text.includes('\n')) finish(() => resolve(text.split(/\r?\n/)[0]));
    };
    const onEnd = (): void => finish(() => resolve(text === '' ? undefined : text));
    const unwatch = io.onInterrupt(() => finish(() => reject(interrupted())));
    stdin.on('data', onData).once('end', onEnd).once('error', onEnd).resume();
  });
}
