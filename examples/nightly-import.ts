/**
 * A plain script for cron: it spawns one task for each file of the day, with the file's name and date as the key. Run twice, or again
 * after it broke in the middle, it spawns nothing twice. The tasks are run by a worker elsewhere.
 *
 *     ABSURD_DATABASE_URL=postgresql://… npx tsx nightly-import.ts 2026-03-01 customers.csv orders.csv
 */
import { pathToFileURL } from 'node:url';
import { Absurd } from 'absurdctl';

export interface ImportSummary {
  spawned: number;
  already: number;
}

export async function spawnImports(absurd: Absurd, day: string, files: readonly string[]): Promise<ImportSummary> {
  const results = await absurd.spawnMany(
    files.map((file) => ({
      name: 'import-file',
      params: { file, day },
      options: {
        queue: 'imports',
        idempotencyKey: `import:${day}:${file}`,
        retryStrategy: { kind: 'exponential', baseSeconds: 60, factor: 2, maxSeconds: 3600 },
        maxAttempts: 8,
      },
    })),
  );
  const spawned = results.filter((result) => result.created).length;
  return { spawned, already: results.length - spawned };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [day, ...files] = process.argv.slice(2);
  if (day === undefined || files.length === 0) {
    console.error('usage: nightly-import DAY FILE…');
    process.exitCode = 2;
  } else {
    const absurd = new Absurd();
    const { spawned, already } = await spawnImports(absurd, day, files);
    console.log(`${spawned} imports spawned, ${already} were there already`);
    await absurd.close();
  }
}
