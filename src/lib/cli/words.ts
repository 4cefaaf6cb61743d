/** The words of a command line, before and after oclif parses them. */
import { emptyError } from './flags.js';

type Values = Record<string, unknown>;

/** oclif reads the value of `--queue=-dash` as the flag -d. A leading mark, which is removed later, prevents that. */
const mark = '\ue000';

export function shield(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((word, i) => (end >= 0 && i > end ? word : word.replace(/^(--[\w-]+=)(?=-[a-z-])/i, `$1${mark}`)));
}

export function unshield<T>(value: T): T {
  const bare = (text: string): string => text.replaceAll(mark, '');
  if (value instanceof Error) value.message = bare(value.message);
  if (Array.isArray(value)) return value.map((one: unknown) => unshield(one)) as T;
  return (typeof value === 'string' ? bare(value) : value) as T;
}

/**
 * An empty value usually comes from an unset shell variable: it names nothing, and must not count as absent, as all,
 * or as a name.
 */
export function refuseEmpty({ flags, args, argv }: { flags: Values; args: Values; argv: unknown[] }): void {
  const isEmpty = (value: unknown): boolean => value === '' || (Array.isArray(value) && value.includes(''));
  const refuse = (what: string): never => {
    throw emptyError(what);
  };
  for (const [name, value] of Object.entries(flags)) if (isEmpty(value)) refuse(`--${name}`);
  for (const [name, value] of Object.entries(args)) if (isEmpty(value)) refuse(name.toUpperCase());
  if (argv.includes('')) refuse('An argument');
}
