/** The parts of sql/absurd.sql that an upgrade runs, or looks at, by themselves. The build makes them (scripts/build/schema.mjs). */
import type { ScriptParts } from '../../../sql/drift.js';
import type { TablePart } from '../../../sql/migrate.js';
import { CliError } from '../../cli/errors.js';
import { readPackageFile, readSchemaScript } from '../schema-file.js';

interface BuiltParts {
  /** The revision that the script brings. */
  revision: number;
  /** The first chapter, which can run by itself: it ends with the registry. */
  registryChapter: string;
  /** The block that makes and completes the registry. */
  registry: string;
  /** The block that completes the queues. */
  queues: string;
  /** The functions that the triggers of queues call, and the ones that these call. */
  triggerFunctions: string;
  /** The columns and triggers that an older queue may lack. */
  tableParts: TablePart[];
}

let parts: BuiltParts | undefined;

export function builtParts(): BuiltParts {
  return (parts ??= JSON.parse(readPackageFile('dist/schema.json')) as BuiltParts);
}

/** Everything except the blocks that touch tables, and the registry for a table of another name. */
export function comparisonParts(): ScriptParts {
  const { registry, queues } = builtParts();
  let functions = readSchemaScript();
  for (const block of [registry, queues]) {
    const [before, after, ...more] = functions.split(block);
    if (before === undefined || after === undefined || more.length > 0) {
      throw new CliError('dist/schema.json was not built from sql/absurd.sql', { hint: 'install absurdctl again' });
    }
    functions = before + after;
  }
  return { functions, registry: (table) => registry.replaceAll('absurd.queues', () => table) };
}
