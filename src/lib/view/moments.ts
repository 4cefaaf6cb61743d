/** Points in time as numbers: milliseconds since 1970, with the microseconds that the server writes behind the point. */

/** Of RFC 3339, `infinity`, and years that RFC 3339 cannot say; null where there is no time. */
export function momentOf(text: string | null): number | null {
  if (text === null) return null;
  if (text === 'infinity' || /^\d{5,}-/.test(text)) return Infinity;
  if (text === '-infinity' || / BC$/.test(text)) return -Infinity;
  const match = /^(.*?)(\.\d+)?(Z|[+-]\d\d(?::?\d\d)?)?$/.exec(text);
  const [, whole = '', fraction = '', zone = 'Z'] = match ?? [];
  const at = Date.parse(`${whole.replace(' ', 'T')}${zone.length === 3 ? `${zone}:00` : zone}`);
  return Number.isNaN(at) ? null : at + Math.round(Number(fraction === '' ? 0 : fraction) * 1e6) / 1000;
}

/** As RFC 3339 in UTC with microseconds. */
export function timestampOf(ms: number): string {
  const micros = Math.round(Math.min(Math.max(ms, earliest), latest) * 1000);
  const whole = Math.floor(micros / 1_000_000);
  const fraction = String(micros - whole * 1_000_000).padStart(6, '0');
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}

/** 0001-01-01. */
const earliest = -62_135_596_800_000;
const latest = Date.UTC(9999, 11, 31);

export const secondsBetween = (from: string, to: string): number =>
  Math.round(((momentOf(to) ?? 0) - (momentOf(from) ?? 0)) * 1000) / 1_000_000;
