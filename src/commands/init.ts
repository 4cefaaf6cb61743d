import * as Flags from '@oclif/core/flags';
import { BaseCommand, changeFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Database } from '../lib/connection/database.js';
import { CliError, refused } from '../lib/cli/errors.js';
import { install, type Installation } from '../lib/schema/install.js';
import { findMissingIndexes, largeTable } from '../lib/schema/migrate/plan.js';
import type { Rendering } from '../lib/cli/output.js';
import { requireShippedRef } from '../lib/schema/schema-file.js';
import { command, hint } from '../lib/cli/hint.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';

const betweenTriesMs = 300;

export default class Init extends BaseCommand<Installation> {
  static override summary = 'Install the schema in a database, or upgrade it';
  static override description =
    'Safe to repeat: queues, tasks and running workers are kept, and an up-to-date schema is not changed.';
  static override examples = [
    '<%= config.bin %> init',
    '<%= config.bin %> init --database postgresql://localhost/app --wait 30',
  ];
  static override flags = {
    ...changeFlags,
    ref: Flags.string({
      helpValue: 'VERSION',
      description: 'version of the schema; only the shipped version is available',
    }),
    wait: wholeNumberFlag({
      helpValue: 'SECONDS',
      min: 0,
      default: 0,
      description: 'time to wait for a server that is still starting',
    }),
  };
  static declares: Declaration = {
    topic: 'SCHEMA',
    bringsSchema: true,
    needs: 'owner',
    samples: [''],
  };

  async execute(): Promise<Installation> {
    const { flags } = await this.parse(Init);
    requireShippedRef(flags.ref, '--ref');
    const db = await this.waitForServer(flags.wait);
    const indexes = await findMissingIndexes(db);
    const large = indexes.find(({ rows }) => rows >= largeTable);
    if (large !== undefined) {
      throw refused(
        `Queue "${large.queue_name}" has about ${large.rows} rows in ${large.table_name} and lacks the index ${large.index_name}`,
        hint`${command('migrate')} builds it while workers run, and then upgrades`,
        'large_queue',
      );
    }
    return install(
      db,
      (ms) => this.pause(ms),
      (reason) => this.note(`Trying again: ${reason}`),
    );
  }

  render({ action, database, previous_version, version, revision }: Installation): Rendering {
    const what = `schema ${version ?? 'of unknown version'}${revision === null ? '' : ` (revision ${revision})`}`;
    const said = {
      installed: hint`Installed ${what} in database "${database}"; next: ${command('create-queue', 'default')}`,
      upgraded: `Upgraded database "${database}" from ${previous_version ?? 'an older schema'} to ${what}`,
      unchanged: `Database "${database}" has ${what} already; nothing to do`,
    };
    return { note: said[action], name: database };
  }

  /** A server that is down or starting is asked again until the time is over; any other refusal counts at once. */
  private async waitForServer(seconds: number): Promise<Database> {
    const end = Date.now() + seconds * 1000;
    for (let noted = false; ; noted = true) {
      try {
        return await this.db();
      } catch (error) {
        const starting = error instanceof CliError && ['unreachable', 'database_missing'].includes(error.code);
        if (!starting || Date.now() + betweenTriesMs >= end) throw error;
        if (!noted) this.note(`Waiting up to ${seconds} s: ${error.message}`);
        await this.closeDatabase();
        await this.pause(betweenTriesMs);
      }
    }
  }
}
