import tseslint from 'typescript-eslint';

/**
 * The rooms and who may know whom: arrows point down only (ARCHITECTURE.md draws them).
 *
 *   commands    ->  lib, sdk, connection, sql
 *   lib         ->  sdk, connection, sql
 *   sdk         ->  connection, sql
 *   connection  ->  sql
 *   sql         ->  nothing of ours
 *
 * dashboard (the pages in the browser) knows the types of lib/view and nothing else of ours.
 */
const forbid = (files, rules) => ({
  files,
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      { patterns: rules.map(([regex, message]) => ({ regex, message })) },
    ],
  },
});

const terminal = '^(@oclif/|chalk|cli-table3|inquirer)';

/** A command that asks a database, written out in a text: as data (src/lib/cli/hint.ts) it gets the flags that name the database. */
const command =
  'absurdctl (?!dev\\b|demo\\b|install-skill)([a-z]+-[a-z]+|init|migrate|uninstall|grants|cleanup|maintain|cron|why|doctor|work(?= [\\w$]))(?![\\w-])';
const asData = 'Write it as command(…) of src/lib/cli/hint.ts: the base command adds the flags that name the database.';

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'bench/**/node_modules/', 'coverage/', '.absurd/'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-console': 'error',
      'no-restricted-properties': [
        'error',
        {
          object: 'process',
          property: 'exit',
          message: 'Set an exit code through CliError; only the start-up file ends the process.',
        },
      ],
    },
  },
  // Rules that need types: all of them for the sources, those about promises for the tests.
  {
    files: ['src/**/*.ts', 'src/**/*.tsx', 'test/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
    },
  },
  ...tseslint.configs.recommendedTypeCheckedOnly.map((config) => ({
    ...config,
    files: ['src/**/*.ts', 'src/**/*.tsx'],
  })),
  {
    files: ['src/**/*.ts', 'src/**/*.tsx'],
    rules: {
      // An interface may ask for a promise where the answer is known.
      '@typescript-eslint/require-await': 'off',
      // Many interfaces are records of functions, which are taken out of them.
      '@typescript-eslint/unbound-method': 'off',
      // What was caught is thrown again later, as it was: the rule takes it for something that is not an error.
      '@typescript-eslint/only-throw-error': 'off',
    },
  },
  {
    files: ['test/**', 'bench/**', 'examples/**', 'scripts/**'],
    rules: { 'no-console': 'off', 'no-restricted-properties': 'off' },
  },
  {
    files: ['src/commands/**', 'src/lib/**'],
    // The demo's own server, the skill's playbook, and metrics, which name no database.
    ignores: ['src/commands/demo.ts', 'src/commands/dev.ts', 'src/lib/work/demo.ts', 'src/lib/doctor/openmetrics.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: `Literal[value=/${command}/]`, message: asData },
        {
          selector: "MethodDefinition[key.name='render'] ThisExpression",
          message: 'render is pure: what it needs is in the result of execute, or in its context.',
        },
        { selector: `TemplateElement[value.raw=/^(?!---)[^]*${command}/]`, message: asData },
      ],
    },
  },
  // The one place where the library ends the process of the program that uses it.
  // So does the start-up file of the command line.
  { files: ['src/sdk/fatal.ts', 'src/cli.ts'], rules: { 'no-restricted-properties': 'off' } },
  forbid(
    ['src/sql/**'],
    [
      [
        '/(commands|lib|sdk|connection)/',
        'src/sql is the lowest room: it holds SQL text and typed rows and knows nobody above it.',
      ],
      [terminal, 'src/sql never renders: return typed rows and let a command show them.'],
    ],
  ),
  forbid(
    ['src/sdk/**'],
    [
      [
        '/(commands|lib)/',
        'src/sdk is a library for programs: it may use src/connection and src/sql only, so that importing it loads no CLI.',
      ],
      [terminal, 'src/sdk must not load oclif or a terminal library.'],
    ],
  ),
  forbid(
    ['src/connection/**'],
    [
      ['/(commands|lib|sdk)/', 'src/connection serves programs and commands alike: it may use src/sql only.'],
      [terminal, 'src/connection is part of the SDK and must not load oclif or a terminal library.'],
    ],
  ),
  {
    files: ['src/dashboard/**'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '/lib/view/',
              allowTypeImports: true,
              message: 'src/dashboard runs in a browser: of src/lib/view it may import types only.',
            },
            {
              regex:
                '/(commands|lib/(?!view/|text|api|router|types)[a-z]+|sdk|connection|sql)/|^node:|^(pg|hono|@hono/)',
              message: 'src/dashboard runs in a browser: it talks to the JSON API and knows the types of src/lib/view.',
            },
          ],
        },
      ],
    },
  },
  forbid(['src/lib/**'], [['/commands/', 'src/lib is shared by commands and must not know one of them.']]),
  forbid(
    ['src/commands/**'],
    [
      ['^pg$', 'A command asks src/sql; the base command owns the connection.'],
      ['^(chalk|cli-table3)', 'A command returns a Rendering; src/lib/cli/output draws it.'],
    ],
  ),
);
