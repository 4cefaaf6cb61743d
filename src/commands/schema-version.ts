import { BaseCommand, dbFlags } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import type { Rendering } from '../lib/cli/output.js';
import { inspectSchema } from '../sql/schema.js';

interface Version {
  version: string;
  /** Null when another implementation installed the schema. */
  revision: number | null;
}

export default class SchemaVersion extends BaseCommand<Version> {
  static override summary = 'Print the version of the schema in a database';
  static override description =
    'Prints `unknown` if there is no schema, or one older than 0.2.0. --json adds the revision of our schema.';
  static override examples = ['<%= config.bin %> schema-version'];
  static override flags = { ...dbFlags };
  static declares: Declaration = {
    topic: 'SCHEMA',
    needs: 'reader',
    samples: [''],
  };

  async execute(): Promise<Version> {
    await this.parse(SchemaVersion);
    const { version, revision } = await this.read(inspectSchema);
    return { version: version ?? 'unknown', revision };
  }

  render({ version }: Version): Rendering {
    return { text: version };
  }
}
