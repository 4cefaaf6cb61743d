/**
 * What a query function needs of a connection: a statement with numbered parameters in, rows out. A pg client, a pool and
 * the command line's own `Database` all fit.
 */
export interface Queryable {
  query<T extends object>(sql: string, values?: unknown[]): Promise<{ rows: T[]; rowCount: number | null }>;
}
