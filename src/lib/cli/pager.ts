/** Long answers in the user's pager. Loaded only for them. */
import { spawnSync } from 'node:child_process';

/** Stays where the text fits after all (-F), keeps colours (-R), and leaves the text on the screen (-X). */
const lessFlags = 'FRX';

/** Shows a text in $PAGER, or in less; false where there is none, or where it is set to nothing. */
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
  // A reader who leaves before the end closes the pipe. 127 and 126 are a shell's words for a program that it cannot start.
  const started = error === undefined || ('code' in error && error.code === 'EPIPE');
  return started && status !== 127 && status !== 126;
}
