/**
 * Settings that every transaction of ours has, whatever the role or the database says. They are local to the transaction, so
 * a pooler in transaction mode is no hindrance.
 */

/** How values, identifiers and literals are written and read: rows and deparsed SQL are the same in every database. */
export const plainText = [
  `datestyle = 'ISO, MDY'`,
  'intervalstyle = postgres',
  'extra_float_digits = 1',
  'bytea_output = hex',
  'array_nulls = on',
  'transform_null_equals = off',
  'quote_all_identifiers = off',
  'standard_conforming_strings = on',
]
  .map((setting) => `set local ${setting}`)
  .join('; ');

/**
 * Names of the server's catalogs before anybody else's, and names of other schemas written whole. Not for transactions that
 * write: triggers of the user's own may rely on the search path.
 */
export const plainNames = 'set local search_path = pg_catalog, pg_temp';
