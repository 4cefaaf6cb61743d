/** The words of a command line as a shell would read them: blanks, both quotation marks, backslashes. */
export function parse(line: string): string[] {
  const words: string[] = [];
  for (const [, whole = ''] of line.matchAll(/((?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\])+)/gs)) {
    words.push(
      whole.replace(/'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)/gs, (_, single?: string, double?: string, escaped?: string) =>
        single !== undefined ? single : double !== undefined ? double.replace(/\\(["\\$`])/g, '$1') : (escaped ?? ''),
      ),
    );
  }
  return words;
}
