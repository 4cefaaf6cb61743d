/** The OpenMetrics text format 1.0: gauges, for a scrape. */

export type Labels = Record<string, string>;

export interface Family {
  name: string;
  help: string;
  samples: [Labels, number][];
}

const label = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

function lines({ name, help, samples }: Family): string {
  const body = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${label(text)}"`);
    return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}\n`;
  });
  return `# TYPE ${name} gauge\n# HELP ${name} ${help}\n${body.join('')}`;
}

export const openMetricsText = (families: readonly Family[]): string => `${families.map(lines).join('')}# EOF\n`;
