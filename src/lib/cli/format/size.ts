const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A number of bytes for people, in steps of 1,024 like pg_size_pretty: `12 kB`, `3.4 GB`. */
export function byteSize(value: unknown): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return '-';
  let [size, unit] = [value, 0];
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}
