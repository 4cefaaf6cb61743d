import { createDatabase, expect, test } from '../support/database.js';
import { installHistory, recordQueue } from './chaos/history.js';
import { invariants, type Violation } from './checker/invariants.js';
import { mutants, type Mutant } from './mutants.js';
import { installMutant } from './mutate.js';
import { Story } from './story.js';

/** Tells a mutant's story on a database of its own, with the engine broken or whole. */
async function tell({ mode, mutations, story }: Mutant, broken: boolean): Promise<Violation[]> {
  const { database: db, close } = await createDatabase('current', true);
  try {
    // Weeks that do not reach today: what is spawned sits in the default partition.
    if (mode === 'partitioned') await db.freeze('2024-01-01T00:00:00Z');
    await db.queue('q', mode);
    await db.unfreeze();
    await installHistory(db);
    await recordQueue(db, 'q');
    if (broken) await installMutant(db, mutations);
    const told = new Story(db);
    await story(told);
    return await told.violations();
  } finally {
    await close();
  }
}

const named = (violations: Violation[]): string[] => violations.map(({ invariant, words }) => `${invariant}: ${words}`);

for (const mutant of mutants) {
  test(`the checker names ${mutant.breaks}: ${mutant.name}`, async () => {
    const found = (await tell(mutant, true)).map(({ invariant }) => invariant);
    expect(found).toContain(mutant.breaks);
    if (mutant.mutations.length > 0) expect(named(await tell(mutant, false))).toEqual([]);
  });
}

test('every promise of the engine has a mutant that breaks it', () => {
  const broken = new Set(mutants.map(({ breaks }) => breaks));
  const unbroken = Object.keys(invariants).filter((name) => !broken.has(name as Mutant['breaks']));
  expect(unbroken).toEqual(['no-unexpected-error']);
});

test('a mutation that no longer fits the engine is refused', async ({ db }) => {
  const gone = [{ function: 'complete_run', from: 'no such text', to: '' }];
  await expect(installMutant(db, gone)).rejects.toThrow('is 0 times in absurd.complete_run');
  await expect(installMutant(db, [{ function: 'no_such', from: '', to: '' }])).rejects.toThrow('no function no_such');
});
