/** From a module's file to registered tasks. TypeScript and JavaScript, ES modules and CommonJS. */
import { existsSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import type { Absurd, TaskDefinition } from '../../sdk/index.js';
import { CliError, exit, notFound, usageError } from '../cli/errors.js';

const shapes =
  'export default (absurd) => { absurd.registerTask({ name: "…" }, async (params, ctx) => …); }, or an array of { name, handler }';

/**
 * Loads modules and lets each register its tasks with the client. What they import as `absurdctl` is this very program's SDK,
 * wherever it is installed. Raises CliError where a file is missing, does not load or exports something else.
 * @param fresh reads the user's own files again, though they were loaded before
 * @returns the user's own files that were read, to watch them
 */
export async function loadModules(
  files: readonly string[],
  client: Absurd,
  cwd: string,
  fresh = false,
): Promise<string[]> {
  const { createJiti } = await import('jiti');
  const sdk = await import('../../sdk/index.js');
  const jiti = createJiti(resolve(cwd, 'absurdctl.js'), { virtualModules: { absurdctl: sdk }, interopDefault: true });
  const own = (): string[] => Object.keys(jiti.cache).filter((path) => isOwn(path, cwd, files));
  if (fresh) for (const path of own()) delete jiti.cache[path];
  for (const file of files) {
    const path = resolve(cwd, file);
    if (!existsSync(path)) throw notFound(`There is no file ${file}`, undefined, 'file_not_found');
    let exported: unknown;
    try {
      exported = await jiti.import(path, { default: true });
    } catch (error) {
      throw broken(file, error);
    }
    await register(file, exported, client);
  }
  return [...new Set([...own(), ...files.map((file) => resolve(cwd, file))])];
}

/** Installed packages do not change under a running worker; files beside the modules do. */
function isOwn(path: string, cwd: string, files: readonly string[]): boolean {
  if (path.includes(`${sep}node_modules${sep}`)) return false;
  return path.startsWith(cwd + sep) || files.some((file) => path === resolve(cwd, file) || sibling(path, file, cwd));
}

const sibling = (path: string, file: string, cwd: string): boolean => path.startsWith(resolve(cwd, file, '..') + sep);

function broken(file: string, cause: unknown): CliError {
  const detail = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return new CliError(`${file} could not be loaded: ${detail}`, {
    exitCode: exit.failed,
    code: 'module_failed',
    lines: true,
    cause,
  });
}

async function register(file: string, exported: unknown, client: Absurd): Promise<void> {
  if (typeof exported === 'function') {
    try {
      await (exported as (absurd: Absurd) => unknown)(client);
    } catch (error) {
      throw broken(file, error);
    }
    return;
  }
  if (!Array.isArray(exported)) {
    throw usageError(`${file} has no default export that registers tasks`, shapes);
  }
  exported.forEach((item: unknown, index) => {
    if (!isDefinition(item))
      throw usageError(`Item ${index + 1} of the default export of ${file} is not a task`, shapes);
    const { handler, ...options } = item;
    client.registerTask(options, handler);
  });
}

function isDefinition(item: unknown): item is TaskDefinition {
  if (typeof item !== 'object' || item === null || !('name' in item) || !('handler' in item)) return false;
  return typeof item.name === 'string' && typeof item.handler === 'function';
}
