/** Charts: the throughput of all queues, and a line for each queue. */
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { Overview } from '../lib/types.js';

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const height = 180;

/** `14:05` in the reader's time zone. */
const clock = (seconds: number): string => new Date(seconds * 1000).toTimeString().slice(0, 5);

function options(width: number): uPlot.Options {
  const axis = { stroke: colour('--muted'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  const line = (label: string, name: string): uPlot.Series => ({
    label,
    stroke: colour(name),
    fill: `${colour(name)}22`,
    width: 1.5,
    points: { show: false },
  });
  return {
    width,
    height,
    cursor: { y: false },
    legend: { show: false },
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [
      { ...axis, size: 30, values: (_plot, seconds) => seconds.map(clock) },
      { ...axis, size: 44 },
    ],
    series: [{}, line('completed', '--completed'), line('failed', '--failed')],
  };
}

/** Runs that ended, a minute: drawn again when the theme or the width changes. */
export function Throughput({ of }: { of: Overview['throughput'] | undefined }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const data = useRef<uPlot.AlignedData>([[], [], []]);
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(options(Math.max(200, element.clientWidth)), data.current, element);
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: Math.max(200, element.clientWidth), height }),
    );
    resized.observe(element);
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', draw);
    return () => {
      resized.disconnect();
      themed.disconnect();
      scheme.removeEventListener('change', draw);
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => {
    if (of === undefined) return;
    const perMinute = 60 / of.bucket_seconds;
    // The last bucket is still filling: it would look like a drop.
    const whole = <T,>(list: readonly T[]): T[] => list.slice(0, -1);
    data.current = [
      whole(of.at).map((at) => Date.parse(at) / 1000),
      whole(of.completed).map((count) => count * perMinute),
      whole(of.failed).map((count) => count * perMinute),
    ];
    plot.current?.setData(data.current);
  }, [of]);
  return <div class="chart" ref={box} role="img" aria-label="Runs that ended a minute, over the last 15 minutes" />;
}

/** A queue's line: what completed, and above it what failed. */
export function Spark({ completed, failed }: { completed: number[]; failed: number[] }): JSX.Element {
  const [width, tall] = [120, 24];
  const top = Math.max(1, ...completed.map((count, i) => count + (failed[i] ?? 0)));
  const step = width / Math.max(1, completed.length);
  const bar = (count: number): number => (count / top) * tall;
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${tall}`} width={width} height={tall} aria-hidden="true">
      <line x1="0" x2={width} y1={tall - 0.5} y2={tall - 0.5} class="base" />
      {completed.map((count, i) => {
        const bad = failed[i] ?? 0;
        if (count + bad === 0) return null;
        const [x, wide] = [i * step, Math.max(1, step - 0.4)];
        return (
          <g key={i}>
            <rect class="good" x={x} width={wide} y={tall - bar(count)} height={bar(count)} />
            {bad > 0 && (
              <rect class="bad" x={x} width={wide} y={tall - bar(count + bad)} height={Math.max(1.5, bar(bad))} />
            )}
          </g>
        );
      })}
    </svg>
  );
}
