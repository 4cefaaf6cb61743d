import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { CliError, refused } from '../lib/cli/errors.js';
import { kindOf, makeFolder, replaceFile } from '../lib/cli/files.js';
import type { Rendering } from '../lib/cli/output.js';
import { skill } from '../lib/cli/skill.js';

interface InstalledSkill {
  file: string;
  written: boolean;
}

export default class InstallSkill extends BaseCommand<InstalledSkill> {
  static override summary = 'Write a playbook for coding agents: how to debug with absurdctl';
  static override description =
    'Writes absurd/SKILL.md under DIR. It does not replace a file with other content without --force.';
  static override examples = ['<%= config.bin %> install-skill', '<%= config.bin %> install-skill .claude/skills'];
  static override args = { dir: Args.string({ default: '.agents/skills', description: 'folder of skills' }) };
  static override flags = { force: Flags.boolean({ description: 'replace a file that differs' }) };
  static declares: Declaration = {
    topic: 'WORK',
    needs: 'none',
    changesMachine: true,
    samples: ['skills --force'],
  };

  async execute(): Promise<InstalledSkill> {
    const { args, flags } = await this.parse(InstallSkill);
    const folder = resolve(this.io.cwd, args.dir, 'absurd');
    const file = join(folder, 'SKILL.md');
    const kind = kindOf(file);
    if (kind === 'file' && read(file) === skill) return { file, written: false };
    // A link in a repository may lead anywhere: it is not followed, --force replaces the link itself.
    const is = kind === 'link' ? 'a link' : kind === 'file' ? 'there with another text' : 'no ordinary file';
    if (kind === 'other' || (kind !== 'nothing' && !flags.force)) {
      const hint = kind === 'other' ? 'remove it first' : '--force replaces it';
      throw refused(`${file} is ${is}`, hint, 'file_differs');
    }
    try {
      makeFolder(folder);
      replaceFile(file, skill, 0o644);
    } catch (error) {
      throw new CliError(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    return { file, written: true };
  }

  render({ file, written }: InstalledSkill): Rendering {
    return { note: written ? `Wrote ${file}` : `${file} is up to date`, name: file };
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
