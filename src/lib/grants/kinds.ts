/** The kinds of roles. */

/** Each kind includes the one before it. */
export const kinds = ['reader', 'worker', 'operator'] as const;
export type Kind = (typeof kinds)[number];

/** `owner`: makes, alters or drops tables, which PostgreSQL lets only their owner do. `none`: connects to no schema. */
export type Need = Kind | 'owner' | 'none';
