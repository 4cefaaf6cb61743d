/**
 * How values of the database look in rows that the command line reads (lib/connection/types.ts makes them so):
 *
 *   json, jsonb, numeric   RawJson, the server's own text, so that no digit is lost
 *   bigint                 number, or bigint beyond 2^53
 *   timestamptz            Timestamp: RFC 3339 in UTC with microseconds, or `infinity`
 *   int, smallint, float   number
 *   everything else        string, boolean or null as usual
 */

/** A JSON text as the server wrote it. It goes into JSON output as it is and is never parsed on the way. */
export class RawJson {
  constructor(readonly text: string) {}

  /** The parsed value, for looking at its shape; large numbers lose digits here, so never print what this returns. */
  parse(): unknown {
    return JSON.parse(this.text);
  }

  toString(): string {
    return this.text;
  }
}

/** An RFC 3339 time in UTC such as `2026-11-24T04:30:50.123456Z`, or `infinity`. */
export type Timestamp = string;

/** A point in time: an absolute one, or so many seconds before the server's present. */
export type Moment = { at: string } | { secondsAgo: number };
