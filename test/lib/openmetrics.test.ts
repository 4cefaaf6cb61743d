import { expect, test } from 'vitest';
import { openMetricsText } from '../../src/lib/cli/format/openmetrics.js';
import { parseOpenMetrics } from '../support/openmetrics.js';

const hostile = 'a"b\\c\nd{e="f"} 1\r\u001b[31m # EOF \\n';

test('labels and numbers of every kind come out as they went in', () => {
  const text = openMetricsText([
    {
      name: 'absurd_a',
      help: 'One.',
      samples: [
        [{ queue: hostile }, 1.5e-9],
        [{ queue: '' }, 1e21],
      ],
    },
    { name: 'absurd_b', help: 'None.', samples: [] },
    { name: 'absurd_c', help: 'Odd.', samples: [[{}, Infinity]] },
    { name: 'absurd_d', help: 'Odd.', samples: [[{ a: '1', b: '2' }, Number.NaN]] },
  ]);

  const families = parseOpenMetrics(text);

  expect([...families.keys()]).toEqual(['absurd_a', 'absurd_b', 'absurd_c', 'absurd_d']);
  expect(families.get('absurd_a')).toEqual({
    type: 'gauge',
    help: 'One.',
    unit: undefined,
    metrics: [
      { labels: { queue: hostile }, value: 1.5e-9 },
      { labels: { queue: '' }, value: 1e21 },
    ],
  });
  expect(families.get('absurd_c')?.metrics).toEqual([{ labels: {}, value: Infinity }]);
  expect(families.get('absurd_d')?.metrics).toEqual([{ labels: { a: '1', b: '2' }, value: Number.NaN }]);
});

test('the reader that the tests use refuses what a scrape would', () => {
  const head = '# TYPE a gauge\n# HELP a Help.\n';
  expect(parseOpenMetrics(`${head}a 1\n# EOF\n`).get('a')?.metrics).toHaveLength(1);
  for (const bad of [
    `${head}a 1\n`,
    `${head}a 1\n# EOF`,
    `${head}a 1\n# EOF\n\n`,
    `${head}a  1\n# EOF\n`,
    `${head}a 1 \n# EOF\n`,
    `${head}a\n# EOF\n`,
    `${head}a one\n# EOF\n`,
    `${head}\na 1\n# EOF\n`,
    `${head}a 1\na 2\n# EOF\n`,
    `${head}a{x="1",x="2"} 1\n# EOF\n`,
    `${head}a{x="1",} 1\n# EOF\n`,
    `${head}a{x=1} 1\n# EOF\n`,
    `${head}a{x="\\t"} 1\n# EOF\n`,
    `${head}a{x="1" } 1\n# EOF\n`,
    `${head}a{1x="1"} 1\n# EOF\n`,
    `${head}a{x="1"}{y="1"} 1\n# EOF\n`,
    `${head}b 1\n# EOF\n`,
    `${head}a 1\n# TYPE b gauge\nb 1\n# HELP a Again.\n# EOF\n`,
    `${head}a 1\n# UNIT a seconds\n# EOF\n`,
    `# TYPE a gouge\na 1\n# EOF\n`,
    `# a comment\n# EOF\n`,
  ]) {
    expect(() => parseOpenMetrics(bad), JSON.stringify(bad)).toThrow();
  }
});
