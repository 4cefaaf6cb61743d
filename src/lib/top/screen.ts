/** The screen as components of Ink. Nothing reaches the terminal but through `Drawn`, which takes the effect from control characters. */
import { Box, Text } from 'ink';
import { createElement as h, type ReactElement } from 'react';
import { harmless } from '../cli/format/text.js';
import type { Line, Paint } from '../cli/format/pieces.js';
import { frameOf, type Frame } from './draw.js';
import type { State } from './model.js';

interface Style {
  bold?: boolean;
  dimColor?: boolean;
  color?: string;
}

const styleOf = (paint: Paint | undefined, colour: boolean): Style => {
  if (paint === undefined || !colour) return {};
  if (paint === 'bold') return { bold: true };
  return paint === 'dim' ? { dimColor: true } : { color: paint };
};

/** One line of the window. */
function Drawn({ line, colour, inverse = false }: { line: Line; colour: boolean; inverse?: boolean }): ReactElement {
  const pieces = line.map(({ text, paint }, i) => h(Text, { key: i, ...styleOf(paint, colour) }, harmless(text)));
  // A line without anything in it has no height.
  return h(Text, { wrap: 'truncate-end', inverse }, ...(line.some(({ text }) => text !== '') ? pieces : [' ']));
}

function Rows({ body, colour, marked }: { body: Frame['body']; colour: boolean; marked: boolean }): ReactElement[] {
  return body.map(({ line, selected }, i) => {
    const mark = marked ? [{ text: selected ? '> ' : '  ' }] : [];
    return h(Drawn, { key: i, line: [...mark, ...line], colour, inverse: selected && colour });
  });
}

function Dialog({ dialog, colour }: { dialog: NonNullable<Frame['dialog']>; colour: boolean }): ReactElement {
  return h(
    Box,
    { flexDirection: 'column', paddingX: 1, paddingY: 1 },
    h(Drawn, { line: [{ text: dialog.title, paint: 'bold' }], colour }),
    ...dialog.lines.map((text, i) => h(Drawn, { key: i, line: [{ text }], colour })),
  );
}

export function Screen({ state, colour }: { state: State; colour: boolean }): ReactElement {
  const { head, body, dialog, foot } = frameOf(state);
  // The last line stays empty: a screen of full height makes Ink clear the terminal, and its history, at every change.
  const height = Math.max(1, state.size.rows - 1);
  const marked = state.look?.data.kind !== 'text';
  return h(
    Box,
    { flexDirection: 'column', width: state.size.columns, height, overflow: 'hidden' },
    ...head.map((line, i) => h(Drawn, { key: `head ${i}`, line, colour })),
    h(
      Box,
      { key: 'body', flexDirection: 'column', flexGrow: 1, overflow: 'hidden' },
      ...(dialog === null ? Rows({ body, colour, marked }) : [h(Dialog, { key: 'dialog', dialog, colour })]),
    ),
    ...foot.map((line, i) => h(Drawn, { key: `foot ${i}`, line, colour })),
  );
}
