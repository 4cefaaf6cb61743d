/** The OpenMetrics text format 1.0: gauges, for a scrape. */

export type Labels = Record<string, string>;

/** A gauge. Its name is unique in this program, since one scrape may contain several outputs. */
export interface Family {
  name: string;
  help: string;
  samples: [Labels, number][];
}

const label = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

/** JavaScript spells infinite numbers and NaN differently. */
function numeral(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

function lines({ name, help, samples }: Family): string {
  const body = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${label(text)}"`);
    return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${numeral(value)}\n`;
  });
  return `# TYPE ${name} gauge\n# HELP ${name} ${help}\n${body.join('')}`;
}

export const openMetricsText = (families: readonly Family[]): string => `${families.map(lines).join('')}# EOF\n`;
