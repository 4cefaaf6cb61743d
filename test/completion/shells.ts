/** Real shells on a pseudo-terminal, in which Tab completes and Return shows the words that the shell made of a line. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bin } from '../support/cli.js';
import { ensureBuilt, onTestFinished } from '../support/database.js';
import { startTerminal, type PtySession } from '../support/pty.js';

export type ShellName = 'bash' | 'zsh' | 'fish';

export function hasShell(name: ShellName): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const start: Record<ShellName, { args: string[]; setup: string }> = {
  bash: {
    args: ['--norc', '--noprofile', '-i'],
    setup: `PS1='ready> '; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; source <(absurdctl completion bash)`,
  },
  zsh: {
    args: ['-f', '-i'],
    setup: `PS1='ready> '; unsetopt PROMPT_SP zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source <(absurdctl completion zsh)`,
  },
  fish: {
    args: ['--no-config', '-i'],
    setup: `function fish_prompt; echo 'ready> '; end; function fish_greeting; end; set -g fish_autosuggestion_enabled 0; absurdctl completion fish | source`,
  },
};

/** A folder with an `absurdctl` that completes as ours does, and otherwise says which words it was given. */
async function standIn(): Promise<string> {
  await ensureBuilt();
  const folder = mkdtempSync(join(tmpdir(), 'absurdctl-shell-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const file = join(folder, 'absurdctl');
  const program = `'${process.execPath}' '${bin}'`;
  writeFileSync(
    file,
    `#!/bin/sh\ncase $1 in completion|__complete) exec ${program} "$@" ;; esac\nprintf 'given'; printf '[%s]' "$@"; echo ' end'\n`,
  );
  chmodSync(file, 0o755);
  mkdirSync(join(folder, 'home'));
  return folder;
}

export interface ShellSession extends PtySession {
  /** Types `text`, in which \t is the Tab key, then Return, and answers with the words that the program was given. */
  words(text: string): Promise<string[]>;
}

/** An interactive shell that has loaded our script. */
export async function startShell(name: ShellName, url: string): Promise<ShellSession> {
  const folder = await standIn();
  const { args, setup } = start[name];
  const home = join(folder, 'home');
  const session = startTerminal(name, args, {
    columns: 200,
    timeoutMs: 60_000,
    cwd: home,
    env: {
      PATH: `${folder}:${process.env['PATH'] ?? ''}`,
      HOME: home,
      XDG_CONFIG_HOME: home,
      XDG_DATA_HOME: home,
      TERM: 'dumb',
      ABSURD_DATABASE_URL: url,
      PS1: '$ ',
    },
  });
  session.type(`${setup}; echo set''up\r`);
  await session.waitFor(/setup\s+[^\n]*ready> /);
  let seen = 0;
  const words = async (text: string): Promise<string[]> => {
    // A key at a time: the shell must have answered a Tab before the next key means something.
    for (const part of text.split(/(?<=\t)/)) session.type(part);
    session.type('\r');
    const answers = (): RegExpMatchArray[] => [...session.text().matchAll(/given((?:\[[^\]]*\])+) end/g)];
    await session.waitFor(new RegExp(`(?:given(?:\\[[^\\]]*\\])+ end[^]*){${seen + 1}}`));
    const answer = answers()[seen]?.[1] ?? '';
    seen++;
    return [...answer.matchAll(/\[([^\]]*)\]/g)].map(([, word = '']) => word);
  };
  return { ...session, words };
}
