/** Long answers in the user's pager. Loaded only for them. */
import { spawnSync } from 'node:child_process';

/** -F: exit if the text fits; -R: keep colours; -X: leave the text on the screen. */
const lessFlags = 'FRX';

/** Shows a text in $PAGER, or in less; false if there is no pager, or if PAGER is empty. */
export function page(text: string, env: Record<string, string | undefined>): boolean {
  const chosen = env.PAGER;
  if (chosen !== undefined && ['', 'cat'].includes(chosen.trim())) return false;
  const options = {
    input: text,
    stdio: ['pipe', 'inherit', 'inherit'] as ['pipe', 'inherit', 'inherit'],
    env: { ...env, LESS: env.LESS ?? lessFlags },
  };
  const { error, status } =
    chosen === undefined ? spawnSync('less', [`-${lessFlags}`], options) : spawnSync('sh', ['-c', chosen], options);
  // A reader who quits early closes the pipe. A shell exits with 127 or 126 if it cannot start a program.
  const started = error === undefined || ('code' in error && error.code === 'EPIPE');
  return started && status !== 127 && status !== 126;
}
