import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand } from '../lib/base-command.js';
import { CliError, refused } from '../lib/errors.js';
import type { Rendering } from '../lib/output.js';
import { skill } from '../lib/skill.js';

interface InstalledSkill {
  file: string;
  written: boolean;
}

export default class InstallSkill extends BaseCommand<InstalledSkill> {
  static override summary = 'Write a playbook for coding agents: how to debug with absurdctl';
  static override description =
    'Writes absurd/SKILL.md under DIR. The same text there again is fine; another one is kept unless --force.';
  static override examples = ['<%= config.bin %> install-skill', '<%= config.bin %> install-skill .claude/skills'];
  static override args = { dir: Args.string({ default: '.agents/skills', description: 'folder of skills' }) };
  static override flags = { force: Flags.boolean({ description: 'replace a file that differs' }) };

  async execute(): Promise<InstalledSkill> {
    const { args, flags } = await this.parse(InstallSkill);
    const folder = resolve(this.io.cwd, args.dir, 'absurd');
    const file = join(folder, 'SKILL.md');
    const there = read(file);
    if (there === skill) return { file, written: false };
    if (there !== undefined && !flags.force) {
      throw refused(`${file} is there with another text`, '--force replaces it', 'file_differs');
    }
    try {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, skill);
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
