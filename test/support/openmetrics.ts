/**
 * A strict reader of the OpenMetrics text format 1.0, as its ABNF and its rules about families have it; raises for whatever a
 * scrape may refuse. It knows gauges, which is all that is printed here.
 */
export interface Metric {
  labels: Record<string, string>;
  value: number;
}

export interface ReadFamily {
  type: string;
  help: string | undefined;
  unit: string | undefined;
  metrics: Metric[];
}

const nameForm = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const labelForm = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const numberForm = /^([+-]?\d+(\.\d*)?([eE][+-]?\d+)?|[+-]?\.\d+([eE][+-]?\d+)?|[+-]?inf(inity)?|nan)$/i;
const types = new Set(['counter', 'gauge', 'histogram', 'gaugehistogram', 'stateset', 'info', 'summary', 'unknown']);

/** Families by name, in their order. */
export function parseOpenMetrics(text: string): Map<string, ReadFamily> {
  const fail = (line: number, reason: string): never => {
    throw new Error(`line ${line + 1}: ${reason}`);
  };
  if (!text.endsWith('# EOF\n')) throw new Error('it must end with "# EOF" and one line feed');
  const lines = text.slice(0, -'# EOF\n'.length).split('\n');
  if (lines.pop() !== '') throw new Error('# EOF must stand on a line of its own');
  const families = new Map<string, ReadFamily>();
  let current = '';
  for (const [at, line] of lines.entries()) {
    if (line === '') fail(at, 'an empty line');
    if (line.startsWith('#')) {
      const [, kind = '', name = '', rest = ''] =
        /^# (TYPE|HELP|UNIT) (\S+) (.*)$/.exec(line) ?? fail(at, 'not a descriptor');
      if (!nameForm.test(name)) fail(at, `bad name ${name}`);
      if (name !== current && families.has(name)) fail(at, `the family ${name} is interleaved with another`);
      current = name;
      const family = families.get(name) ?? { type: '', help: undefined, unit: undefined, metrics: [] };
      families.set(name, family);
      if (family.metrics.length > 0) fail(at, 'a descriptor after a sample of its family');
      if (kind === 'TYPE') {
        if (family.type !== '' || !types.has(rest)) fail(at, `bad or second type ${rest}`);
        family.type = rest;
      } else if (kind === 'HELP') {
        if (family.help !== undefined || /\\(?![\\n"])/.test(rest)) fail(at, 'a second help, or a bad escape in it');
        family.help = rest;
      } else {
        if (family.unit !== undefined || !name.endsWith(`_${rest}`))
          fail(at, 'a second unit, or one that the name lacks');
        family.unit = rest;
      }
      continue;
    }
    const sample = readSample(line, (reason) => fail(at, reason));
    const family = families.get(sample.name);
    if (family === undefined || sample.name !== current)
      return fail(at, `a sample of ${sample.name} outside its family`);
    if (family.type !== 'gauge') fail(at, 'this reader knows gauges only');
    const key = JSON.stringify(Object.entries(sample.labels).sort());
    if (family.metrics.some((one) => JSON.stringify(Object.entries(one.labels).sort()) === key)) {
      fail(at, `the same labels twice: ${key}`);
    }
    family.metrics.push({ labels: sample.labels, value: sample.value });
  }
  return families;
}

function readSample(line: string, fail: (reason: string) => never): { name: string } & Metric {
  const name = /^[^{ ]*/.exec(line)?.[0] ?? '';
  if (!nameForm.test(name)) fail(`bad name in ${line}`);
  const labels: Record<string, string> = {};
  let rest = line.slice(name.length);
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    while (!rest.startsWith('}')) {
      const [all, label = '', value = ''] =
        /^([^=,{}"]*)="((?:[^"\\]|\\[\\n"])*)"/.exec(rest) ?? fail(`bad label in ${line}`);
      if (!labelForm.test(label) || label.startsWith('__')) fail(`bad label name ${label}`);
      if (label in labels) fail(`label ${label} twice`);
      labels[label] = value.replace(/\\([\\n"])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
      rest = rest.slice(all.length);
      if (rest.startsWith(',')) {
        rest = rest.slice(1);
        if (rest.startsWith('}')) fail('a comma after the last label');
      } else if (!rest.startsWith('}')) fail(`what follows a label in ${line}`);
    }
    rest = rest.slice(1);
  }
  const [, number = ''] = /^ (\S+)$/.exec(rest) ?? fail(`no single number in ${line}`);
  if (!numberForm.test(number)) fail(`bad number ${number}`);
  const value = /inf/i.test(number) ? (number.startsWith('-') ? -Infinity : Infinity) : Number(number);
  return { name, labels, value };
}
