/** Lines of coloured pieces: pure data, painted only on a terminal. */

export type Paint = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan' | 'gray';

export interface Piece {
  text: string;
  paint?: Paint;
}

export type Line = readonly Piece[];

export const lineText = (line: Line): string => line.map(({ text }) => text).join('');
