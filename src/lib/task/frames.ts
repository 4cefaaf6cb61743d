/** Stacks without the frames of this package: a reader looks for their own code. */

/** Where code of this package lies: installed, in a clone, or bundled. Node's own frames below it lead nowhere either. */
const own =
  /^\s+at .*(?:[/\\]absurdctl[/\\](?:dist|src|bin)[/\\]|[/\\](?:src|dist)[/\\]sdk[/\\]|\(?node:internal[/\\])/;

/** Leaves those frames out, and says how many they were. */
export function withoutOwnFrames(text: string): string {
  const lines: string[] = [];
  let hidden = 0;
  for (const line of text.split('\n')) {
    if (own.test(line)) hidden++;
    else lines.push(line);
  }
  if (hidden === 0) return text;
  return [
    ...lines,
    `    (${hidden} ${hidden === 1 ? 'frame' : 'frames'} of absurdctl and Node hidden; -v shows all)`,
  ].join('\n');
}
