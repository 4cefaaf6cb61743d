import * as Args from '@oclif/core/args';
import * as Flags from '@oclif/core/flags';
import { BaseCommand, dbFlags, queueFlag } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { usageError } from '../lib/cli/errors.js';
import { wholeNumberFlag } from '../lib/cli/flags.js';
import { writeNewFile } from '../lib/cli/files.js';
import { toJson } from '../lib/cli/format/json.js';
import { command, hint, type Advice } from '../lib/cli/hint.js';
import type { RenderContext, Rendering } from '../lib/cli/output.js';
import { locateTask } from '../lib/task/find-task.js';
import { readTimeline, stepsShown } from '../lib/task/timeline.js';
import { chromeTrace } from '../lib/view/chrome-trace.js';
import { drawTimeline } from '../lib/view/draw.js';
import type { Timeline } from '../lib/view/model.js';
import { otlpTraces } from '../lib/view/otlp.js';
import { timelineSvg } from '../lib/view/svg.js';

const formats = ['svg', 'chrome', 'otlp'] as const;
type Format = (typeof formats)[number];

const exported: Record<Format, (timeline: Timeline) => string> = {
  svg: timelineSvg,
  chrome: (timeline) => `${toJson(chromeTrace(timeline), 2)}\n`,
  otlp: (timeline) => `${toJson(otlpTraces(timeline), 2)}\n`,
};

interface Shown {
  timeline: Timeline;
  /** What was exported, and the file that it was written to; without one it is printed. */
  export?: { format: Format; text: string; file: string | undefined };
  /** Rows of the window, where the answer is to fit it. */
  height?: number;
  /** How many steps to ask for to see more of them. */
  more: number;
  children: boolean;
}

export default class ShowTimeline extends BaseCommand<Shown> {
  static override summary = 'Show where the time of a task went';
  static override description =
    'Draws the time in the queue, attempts, steps, sleeps, waits and backoffs against a common axis; long stretches in which nothing ran are shortened and labelled. It says which starts are not recorded and which moments are estimated. ' +
    '--export writes a picture or a trace to FILE, or to standard output without one.';
  static override examples = [
    '<%= config.bin %> show-timeline 019a32d3-8425-7ae2-a5af-2f17a6707666',
    '<%= config.bin %> show-timeline 019a32d3-8425-7ae2-a5af-2f17a6707666 --children --follow',
    '<%= config.bin %> show-timeline 019a32d3-8425-7ae2-a5af-2f17a6707666 --export svg ticket.svg',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'id of a task, or of a run' }),
    file: Args.string({ description: 'file that --export writes; one that exists is kept unless --force is given' }),
  };
  static override flags = {
    ...dbFlags,
    queue: queueFlag,
    children: Flags.boolean({ description: 'show the tasks that it started, and theirs' }),
    follow: Flags.boolean({ char: 'f', description: 'look again every two seconds until the task is over' }),
    limit: wholeNumberFlag({
      ...{ char: 'l', min: 1, max: 10_000, default: stepsShown, helpValue: 'N' },
      description: 'steps at most, the latest ones',
    }),
    export: Flags.option({
      options: formats,
      helpValue: 'svg|chrome|otlp',
      description: "a picture, a trace for Perfetto, or OpenTelemetry's JSON",
    })(),
    force: Flags.boolean({ description: 'write over a file that exists' }),
  };
  static declares: Declaration = {
    topic: 'TASKS',
    needs: 'reader',
    samples: ['<done>', '<failed> --children', '<done> --export svg'],
  };

  async execute(): Promise<Shown> {
    const { args, flags } = await this.parse(ShowTimeline);
    if (args.file !== undefined && flags.export === undefined) {
      throw usageError(
        'A file needs --export',
        hint`${command('show-timeline', args.id, args.file, { export: 'svg' })}`,
      );
    }
    if (flags.export !== undefined && flags.follow) throw usageError('Use either --export or --follow, not both');
    const task = await this.readRanges((db) => locateTask(db, args.id, flags.queue));
    const { children, limit } = flags;
    const look = async (): Promise<Shown> => {
      const scope = { steps: limit, children };
      const { timeline, skipped } = await this.readRanges((db) => readTimeline(db, task, scope));
      this.skipNone();
      this.skip(skipped);
      return { timeline, more: Math.min(10_000, limit * 2), children };
    };
    if (flags.follow) {
      const fitted = async (): Promise<Shown> => {
        const shown = await look();
        // One row is the watch's own, and the notes stand below.
        const notes = shown.timeline.notes.length + 3;
        return shown.timeline.ended ? shown : { ...shown, height: (this.io.height ?? Infinity) - notes };
      };
      return this.watch(fitted, ({ timeline }) => timeline.ended);
    }
    const shown = await look();
    if (flags.export === undefined) return shown;
    const text = exported[flags.export](shown.timeline);
    const file = args.file === '-' ? undefined : args.file;
    if (file !== undefined) writeNewFile(this.io.cwd, file, text, { force: flags.force === true });
    return { ...shown, export: { format: flags.export, text, file } };
  }

  render({ timeline, export: written, height, more, children }: Shown, context: RenderContext): Rendering {
    const base = { name: timeline.task_id, jsonResult: context.mode === 'json' ? timeline : spanRows(timeline) };
    if (written !== undefined && written.file === undefined) return { ...base, text: written.text };
    if (written?.file !== undefined) {
      const { format, file } = written;
      return {
        ...base,
        record: { 'Task ID': timeline.task_id, Format: format, File: file },
        note: notes(timeline, more),
      };
    }
    const { width, unicode } = context;
    const family = children || timeline.parent_task_id === null ? [] : [parentNote(timeline.parent_task_id)];
    return {
      ...base,
      lines: drawTimeline(timeline, { width, unicode, height }),
      note: [...notes(timeline, more), ...family],
    };
  }
}

function notes({ notes: said, task_id: id }: Timeline, more: number): Advice[] {
  return said.map(({ code, text }) =>
    code === 'steps_cut' ? hint`${text}; ${command('show-timeline', id, { limit: more })} shows more` : text,
  );
}

const parentNote = (id: string): Advice =>
  hint`It is a child: ${command('show-timeline', id, { children: true })} shows the family`;

/** A row for each span: what CSV and NDJSON print. */
const spanRows = ({ lanes }: Timeline): object[] =>
  lanes.flatMap(({ spans, kind: lane, ...of }) => spans.map((span) => ({ lane, ...of, ...span })));
