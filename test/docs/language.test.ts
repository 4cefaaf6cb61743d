/**
 * Texts that users read keep to the word list: strings of the sources (help, errors, hints, notes) and the documents. Files
 * that had offenders when the list was made are allowed that many, in language-baseline.json: a rewrite lowers the number,
 * nothing raises it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';
import baseline from './language-baseline.json' with { type: 'json' };
import { words } from './words.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The texts of a source: what stands in quotation marks, with a mark for each value in between. Module names are none. */
function stringsOf(text: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    if (ts.isStringLiteralLike(node)) found.push(node.text);
    else if (ts.isTemplateExpression(node)) {
      found.push([node.head.text, ...node.templateSpans.map((span) => span.literal.text)].join('…'));
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('a.ts', text, ts.ScriptTarget.Latest, true));
  return found;
}

const offendersIn = (text: string): string[] =>
  words.flatMap(([not, but]) => {
    const found = [...text.matchAll(new RegExp(not, `g${not.flags}`))];
    return found.map(({ 0: hit, index }) => {
      const around = text.slice(Math.max(0, index - 30), index + hit.length + 20).replace(/\s+/g, ' ');
      return `"${hit.trim()}" in "${around.trim()}": write ${but}`;
    });
  });

/** src/sql holds statements, and docs/commands.md is written from the sources. */
const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.startsWith('sql/'))
  .map((file) => join('src', file));
const pages = readdirSync(join(root, 'docs'))
  .filter((file) => file.endsWith('.md') && file !== 'commands.md')
  .map((file) => join('docs', file));
const files = [...sources, ...pages, 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md'].sort();

const allowed: Record<string, number> = baseline;

test.each(files)('%s keeps to the word list', (file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const offenders = (file.endsWith('.ts') ? stringsOf(text) : [text]).flatMap(offendersIn);
  if (offenders.length > (allowed[file] ?? 0)) expect(offenders).toEqual([]);
});

test('the allowance names only files that exist', () => {
  expect(Object.keys(allowed).filter((file) => !files.includes(file))).toEqual([]);
});

test('strings are found in literals and templates, not in imports and code', () => {
  const text = "import 'anew'; const mend = 'it is moot'; throw new Error(`for ${mend} ever, in hand`);";
  expect(stringsOf(text).flatMap(offendersIn)).toEqual([
    '"moot" in "it is moot": write already handled',
    '"in hand" in "for … ever, in hand": write in progress; held',
  ]);
});
